"""How much of what is large: `make test-all` looks at all of it, the tests before a commit at a part of it."""


class Tier:
    """Set once, when pytest begins: `-m "not long"` leaves out the cases marked `long`, and asks for parts here."""

    thorough = True


def some_of(count: int, *, part: float = 0.2) -> int:
    """So many examples, seeds or rounds of `count`: all, or a part (at least two) where `long` tests are left out."""
    return count if Tier.thorough else max(2, round(count * part))
