r"""When are two answers the same? Decided on their readings, as wholes.

    mathematics   by meaning (`scaling.answers.mathematics.sameness`), unless the units of measure differ
    times         by the clock; one that does not say which half of the day it means may mean either
    letters, text by letter; by the words, whatever their case

Symmetric, and reflexive for whatever is not empty. Pure, but an expression may take long: graders run it in a process.
"""

import itertools

from scaling.answers.mathematics.naming import value_of
from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.sameness import same
from scaling.answers.mathematics.structure import structure
from scaling.answers.mathematics.syntax import Unreadable
from scaling.answers.reading import Kind, Reading, read_answer
from scaling.answers.units import units_differ


def same_answer(left: str, right: str) -> bool:
    r"""Two answers are the same.

    >>> same_answer("18 dollars", "18"), same_answer(r"\frac{\sqrt2}{2}", r"1/\sqrt{2}"), same_answer("6 or more", "6")
    (True, True, False)
    """
    return left == right != "" or same_reading(read_answer(left), read_answer(right))


def same_reading(left: Reading, right: Reading) -> bool:
    """Two readings are of the same answer; what cannot be read is the same as its like in writing only."""
    if left.text == right.text and left.kind == right.kind:
        return left.text != ""
    kinds = {left.kind, right.kind}
    if kinds == {Kind.TIME}:
        return _same_time(left.text, right.text)
    if kinds == {Kind.MATHEMATICS}:
        return _same_mathematics(left, right)
    if kinds == {Kind.TIME, Kind.MATHEMATICS}:
        return _hour_is(left, right) or _hour_is(right, left) or _ratio_is(left, right)
    if kinds == {Kind.CHOICE}:
        return left.text == right.text
    if kinds in ({Kind.TEXT}, {Kind.TEXT, Kind.CHOICE}):
        return _words(left.text) == _words(right.text)
    return False


def _words(text: str) -> str:
    return " ".join(text.replace("-", " ").casefold().split())


def _same_time(left: str, right: str) -> bool:
    """A time that does not say which half of the day it means may mean either; 12:00 is noon on either clock."""
    (clock, _, half), (other_clock, _, other_half) = left.partition(" "), right.partition(" ")
    if clock.startswith("0:"):
        half, other_half = half or "pm", other_half or "pm"
    return clock == other_clock and (half == other_half or "" in (half, other_half))


def _hour_is(time: Reading, hour: Reading) -> bool:
    """`5 p.m.` is 5 where a number was asked for."""
    clock, _, half = time.text.partition(" ")
    value = None if hour.node is None else exact(hour.node)
    fits = value is not None and not hour.unit and 1 <= value <= 12
    return time.kind is Kind.TIME and half != "" and fits and value is not None and clock == f"{value % 12}:00"


def _ratio_is(left: Reading, right: Reading) -> bool:
    """`7:32` is the ratio where the other one is a ratio beyond doubt: it has a name."""
    if left.node is None or right.node is None:
        return False
    one, other = value_of(left.node), value_of(right.node)
    if one == left.node and other == right.node:
        return False
    return one.op == other.op == "rel" and one.name == other.name == ":" and same(one, other)


def _same_mathematics(left: Reading, right: Reading) -> bool:
    if units_differ(left.unit, right.unit):
        return False
    for one, other in itertools.product(left.nodes, right.nodes):
        try:
            if same(one, other):
                return True
        except Unreadable:  # nothing to compare it by but its writing
            if structure(one) == structure(other):
                return True
    return False
