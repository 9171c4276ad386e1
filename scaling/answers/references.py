"""What each built-in grader asks of an answer key. The input is checked with it, and the grader refuses by it."""

from collections.abc import Callable

from scaling.answers.canonical import canonical_answer
from scaling.answers.choices import stated_choice
from scaling.answers.numeric import stated_number
from scaling.answers.reading import Kind
from scaling.answers.verdict import read_stated


def reference_mistake(grader: str, reference: str) -> str | None:
    """Why `grader` cannot use this key, and what to do; None where it can, or where only trying would tell."""
    check = _CHECKS.get(grader)
    return None if check is None else check(reference)


def _exact(reference: str) -> str | None:
    return None if canonical_answer(reference) else _nothing_left(reference)


def _math_verify(reference: str) -> str | None:
    return None if read_stated(reference).text else _nothing_left(reference)


def _nothing_left(reference: str) -> str:
    return f"nothing is left of the answer key {_cut(reference)} to compare with"


def _numeric(reference: str) -> str | None:
    if stated_number(reference) is not None:
        return None
    return f"the answer key {_cut(reference)} is not a number, which the grader numeric needs; math-verify does not"


def _choice(reference: str) -> str | None:
    if stated_choice(reference) is not None:
        return None
    return f"the answer key {_cut(reference)} names no letter from A to J, which the grader multiple-choice needs"


def reference_doubt(grader: str, reference: str) -> str | None:
    """What of a key `grader` cannot read, so that only the same text has a verdict; None where it can."""
    return _readable(reference) if grader == "math-verify" else None


def _readable(reference: str) -> str | None:
    reading = read_stated(reference)
    if reading.kind is not Kind.UNREADABLE:
        return None
    return f"{_cut(reference)} ({reading.why})"


def _cut(reference: str) -> str:
    return repr(reference if len(reference) <= 60 else f"{reference[:57]}...")


_CHECKS: dict[str, Callable[[str], str | None]] = {
    "math-verify": _math_verify,
    "exact": _exact,
    "numeric": _numeric,
    "multiple-choice": _choice,
}
