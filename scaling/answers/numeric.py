r"""Numbers as numbers: for the grader `numeric`, which takes the value of an answer and nothing else."""

from fractions import Fraction

from scaling.answers.mathematics.naming import value_of
from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.syntax import Node
from scaling.answers.reading import Kind, read_answer
from scaling.answers.units import units_differ

RELATIVE_TOLERANCE = Fraction(1, 10**6)
"""How far `numeric_equal` lets a rounded decimal be off."""


def numeric_equal(answer: str, reference: str) -> bool:
    """Both are one number, in no different units: equal if both are integers, else to one part in a million.

    >>> numeric_equal("0.3333333", "1/3"), numeric_equal("18 apples", "18"), numeric_equal("3 of 4", "3")
    (True, True, False)
    """
    left, right = stated_number(answer), stated_number(reference)
    if left is None or right is None or units_differ(read_answer(answer).unit, read_answer(reference).unit):
        return False
    if left.denominator == right.denominator == 1:
        return left == right
    return abs(left - right) <= RELATIVE_TOLERANCE * max(abs(left), abs(right))


def stated_number(answer: str) -> Fraction | None:
    r"""The rational number that an answer is, with or without a unit, a name, or a percent sign; None otherwise.

    >>> [stated_number(answer) for answer in ("18 apples", "x = 18", "5 million")] == [18, 18, 5_000_000]
    True
    >>> [stated_number(answer) for answer in (r"\sqrt{3}", r"3\pi", r"\pm 3", "not 3")]
    [None, None, None, None]
    """
    reading = read_answer(answer)
    if reading.kind is not Kind.MATHEMATICS or reading.node is None:
        return None
    for node in (reading.other, reading.node):  # `1,22` is one number
        value = None if node is None else _value(node)
        if value is not None:
            return value
    return None


def _value(node: Node) -> Fraction | None:
    value = value_of(node)
    return exact(value.args[0] if value.op == "percent" else value)
