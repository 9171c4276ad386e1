r"""The form of an answer that votes are counted by: one text for what is read alike.

    "0.50"  "1/2"  "\frac12"  "$\dfrac{1}{2}$."  "x = 0.5"  -->  "1/2"
    "18 dollars"  "\$18"  "18.0"                            -->  "18"
    "(B)"  "B) Paris"  "\text{B}"                           -->  "B"
    "3, 2"  "2,3"  "2 and 3"                                -->  "2, 3"

A form is its own form. Answers with one form are the same; the same answer may still have two (`(x+1)^2` expanded):
those are put together by the run's grader (`scaling.answers.classes`).
"""

import re
from fractions import Fraction
from functools import lru_cache

from scaling.answers.mathematics.naming import value_of
from scaling.answers.mathematics.normal import MAX_CHARS
from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.syntax import Node
from scaling.answers.reading import Kind, Reading, read_answer

MAX_WRITTEN_BITS = 1200
"""Of a number that is written out."""
MAX_PASSES = 8
"""Until a form is its own form: what is left when marks are taken away may be a mark."""
_SEQUENCES = ("", "and", "or", "()", "[]", "(]", "[)", "{}")
_MAY_BE_ROUNDED = 10**5
"""A decimal of six digits or more may be the rounding of something else."""
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")


@lru_cache(maxsize=2**15)
def canonical_answer(answer: str) -> str:
    r"""The form of an answer; a fixed point of itself, and empty only where nothing is left.

    >>> [canonical_answer(answer) for answer in ("0.50", r"$\dfrac{1}{2}$.", "1 1/2", "1,234", "(1,234)", "(B)", "50%")]
    ['1/2', '1/2', '3/2', '1234', '(1, 234)', 'B', '50']
    """
    form = _form(answer)
    for _ in range(MAX_PASSES):
        if (again := _form(form)) == form:
            break
        form = again
    return form


def _form(answer: str) -> str:
    reading = read_answer(answer)
    if reading.kind is Kind.MATHEMATICS and reading.node is not None:
        written = _written(value_of(reading.node))
        return _compact(reading) if written is None else written
    return reading.text.casefold() if reading.kind is Kind.TEXT and len(reading.text) <= MAX_CHARS else reading.text


def _compact(reading: Reading) -> str:
    """The normal form without spaces that separate nothing; as it is where it would be read otherwise."""
    text = _LOOSE_SPACE.sub("", reading.text)
    return text if read_answer(text).node == reading.node else reading.text


def _written(node: Node) -> str | None:
    """A number, or a sequence of numbers; None for what is neither."""
    value = exact(node.args[0] if node.op == "percent" else node)
    if value is not None:
        return _digits(value)
    if node.op != "seq" or node.name not in _SEQUENCES or any(part.op == "rel" for part in node.args):
        return None
    values = [exact(part) for part in map(value_of, node.args)]
    if None in values:
        return None
    known = [item for item in values if item is not None]
    unordered = node.name in ("", "and", "or", "{}")
    parts = [_digits(item) for item in (sorted(known) if unordered else known)]
    if None in parts:
        return None
    inner_text = ", ".join(part for part in parts if part is not None)
    if node.name == "{}":
        return rf"\{{{inner_text}\}}"
    return f"{node.name[0]}{inner_text}{node.name[1]}" if not unordered else inner_text


def _digits(value: Fraction) -> str | None:
    if max(abs(value.numerator), value.denominator).bit_length() > MAX_WRITTEN_BITS:
        return None
    return str(value)


def exact_equal(answer: str, reference: str) -> bool:
    """The canonical forms are the same, and not empty."""
    form = canonical_answer(answer)
    return form != "" and form == canonical_answer(reference)


def is_decided(answer: str) -> bool:
    """Whether its form says all, so that another form is another answer: it is a number or a letter."""
    reading = read_answer(answer)
    if reading.kind is Kind.CHOICE:
        return True
    if reading.kind is not Kind.MATHEMATICS or reading.node is None or reading.other is not None:
        return False
    node = value_of(reading.node)
    value = exact(node)
    return value is not None and (node.ulp is None or abs(value) < node.ulp * _MAY_BE_ROUNDED)
