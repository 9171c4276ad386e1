"""Numbers for people: counts, durations, shares. Unknown is `?`, never a made-up number."""

from collections.abc import Callable
from typing import Protocol

UNKNOWN = "?"


def count(number: float | None) -> str:
    """1234567 -> "1.23M": three digits are enough to watch a run."""
    if number is None:
        return UNKNOWN
    for exponent, suffix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        scaled = number / 10**exponent
        if scaled >= 0.9995:
            return f"{scaled:.3g}{suffix}" if scaled < 999.5 else f"{scaled:.0f}{suffix}"
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def duration(seconds: float | None) -> str:
    """4210.0 -> "1h10m": the two largest units. Clocks of two machines may differ, so below zero is zero."""
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    if minutes == 0:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes}m{rest:02d}s"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h" if days else f"{hours}h{minutes:02d}m"


def percent(share: float | None) -> str:
    """0.4216 -> "42.2%"."""
    return UNKNOWN if share is None else f"{100 * share:.1f}%"


def ratio(part: float, whole: float | None) -> float | None:
    """`part` / `whole`; None where there is no whole."""
    return part / whole if whole else None


def points(share: float | None, sign: str = "") -> str:
    """0.0123 -> "1.2", 1.0 -> "100"; what rounds to 0 has no sign."""
    if share is None:
        return UNKNOWN
    number = round(100 * share, 1)
    if number == 0:
        return "0.0"
    return f"{number:{sign}.{0 if abs(number) == 100 else 1}f}"


def thousandths(value: float | None) -> str:
    """0.7431 -> ".743", 1.2 -> "1.200"."""
    return UNKNOWN if value is None else f"{value:.3f}".removeprefix("0")


class NumberWithInterval(Protocol):
    """A number with the ends of its interval; null where unknown."""

    @property
    def value(self) -> float | None:
        """The number."""
        ...

    @property
    def lower(self) -> float | None:
        """The lower end."""
        ...

    @property
    def upper(self) -> float | None:
        """The upper end."""
        ...


def with_interval(number: NumberWithInterval, written: Callable[[float | None], str]) -> str:
    """A number, and its interval below."""
    value = written(number.value)
    if number.lower is None:
        return value
    return f"{value}\n[{written(number.lower)} {written(number.upper)}]"
