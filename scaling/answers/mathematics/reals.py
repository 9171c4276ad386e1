r"""Sets of real numbers: what an inequality, an interval or a union of them stands for.

    x < 4    (-\infty, 4)    -x > -4    \{x \mid x < 4\}    x \in (-\infty, 4)        all the same set

A set is a sorted list of pieces that do not touch. Bounds are compared to `numerics.AGREEMENT` digits.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scaling.answers.mathematics.naming import is_name
from scaling.answers.mathematics.numerics import agree, mp, numeric
from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.syntax import Node, Unreadable, negative, symbol

_FLIPPED = {"<": ">", ">": "<", "le": "ge", "ge": "le"}
_ORDERS = frozenset(_FLIPPED)


@dataclass(frozen=True, slots=True)
class Piece:
    """All numbers between two, which may be infinite or one and the same; whether each of them belongs to it."""

    low: Any
    high: Any
    has_low: bool
    has_high: bool


RealSet = tuple[Piece, ...]

_ALL: RealSet = (Piece(-mp.inf, mp.inf, False, False),)


def real_set(node: Node) -> RealSet:
    """The set that a tree stands for.

    Raises:
        Unreadable: it stands for none, or for one in several variables.
    """
    if node.op == "rel":
        return _of_relation(node)
    if node.op == "builder" and node.args[1].op in ("rel", "seq"):
        return real_set(node.args[1])
    if node.op in ("union", "intersection", "difference"):
        left, right = (_points_or_set(part) for part in node.args)
        return merged([*left, *right]) if node.op == "union" else _cut(left, right, keep=node.op == "intersection")
    if node.op == "seq" and node.name == "":  # {2, 3} without backslashes, where a set has to be
        return real_set(Node("seq", node.args, "{}"))
    if node.op == "sym" and node.name in ("mathbb R", "emptyset"):
        return _ALL if node.name == "mathbb R" else ()
    if node.op == "seq" and len(node.args) == 2 and node.name in ("()", "[]", "(]", "[)"):
        low, high = (_bound(part) for part in node.args)
        if not low < high and not (agree(low, high) and node.name == "[]"):
            raise Unreadable("an interval ends before it begins")
        return (Piece(low, high, node.name[0] == "[", node.name[1] == "]"),)
    if node.op == "seq" and node.name == "{}":
        return merged([Piece(value, value, True, True) for value in map(_bound, node.args)])
    if node.op == "seq" and node.name in ("or", "and") and all(part.op == "rel" for part in node.args):
        sets = [real_set(part) for part in node.args]
        if node.name == "or":
            return merged(list(itertools.chain(*sets)))
        found = sets[0]
        for other in sets[1:]:
            found = _cut(found, other, keep=True)
        return found
    raise Unreadable("it is no set of numbers")


def _points_or_set(node: Node) -> RealSet:
    if node.op in ("num", "mul", "add", "pow", "call"):
        return merged([Piece(value, value, True, True) for value in [_bound(node)]])
    return real_set(node)


def is_set(node: Node) -> bool:
    """Whether a tree says by its form that it is a set of numbers: a pair in round brackets may be a point."""
    if node.op == "rel":
        return any(name in _ORDERS or name in ("ne", "in") for name in node.name.split())
    if node.op == "seq" and node.name in ("or", "and"):
        return any(is_set(part) for part in node.args)
    if node == symbol("mathbb R"):
        return True
    return node.op in ("union", "intersection", "difference", "builder") or (
        node.op == "seq" and node.name in ("(]", "[)", "[]") and len(node.args) == 2
    )


def same_set(left: RealSet, right: RealSet) -> bool:
    """Both have the same pieces."""
    return len(left) == len(right) and all(
        agree(one.low, other.low)
        and agree(one.high, other.high)
        and (one.has_low, one.has_high) == (other.has_low, other.has_high)
        for one, other in zip(left, right, strict=True)
    )


def merged(pieces: Sequence[Piece]) -> RealSet:
    """The union of some pieces."""
    found: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece.low, not piece.has_low)):
        last = found[-1] if found else None
        touches = last is not None and (
            piece.low < last.high or (agree(piece.low, last.high) and (piece.has_low or last.has_high))
        )
        if last is None or not touches:
            found.append(piece)
        elif piece.high > last.high or (agree(piece.high, last.high) and piece.has_high):
            found[-1] = Piece(last.low, piece.high, last.has_low, piece.has_high)
    return tuple(found)


def _cut(left: RealSet, right: RealSet, *, keep: bool) -> RealSet:
    """What of `left` lies within `right`, or outside of it."""
    others = right if keep else _complement(right)
    found = []
    for one, other in itertools.product(left, others):
        low, has_low = max((one.low, not one.has_low), (other.low, not other.has_low))
        high, has_high = min((one.high, one.has_high), (other.high, other.has_high))
        if low < high or (agree(low, high) and not has_low and has_high):
            found.append(Piece(low, high, not has_low, has_high))
    return merged(found)


def _complement(pieces: RealSet) -> RealSet:
    found: list[Piece] = []
    low, has_low = -mp.inf, False
    for piece in pieces:
        if low < piece.low or (agree(low, piece.low) and has_low and not piece.has_low):
            found.append(Piece(low, piece.low, has_low, not piece.has_low))
        low, has_low = piece.high, not piece.has_high
    if low < mp.inf:
        found.append(Piece(low, mp.inf, has_low, False))
    return tuple(found)


def _bound(node: Node) -> Any:
    if node.symbols:
        raise Unreadable("a bound has variables")
    if node == symbol("infty") or node == negative(symbol("infty")):
        return -mp.inf if node.op == "mul" else mp.inf
    value = numeric(node, {})
    if isinstance(value, mp.mpc) or mp.isnan(value):
        raise Unreadable("a bound is not real")
    return value


def _of_relation(node: Node) -> RealSet:
    r"""`x < 4`, `2 < x \le 5`, `x \ne 3`, `x \in S`, `-x > -4`: solved for what stands in the middle."""
    names = node.name.split()
    if names == ["in"]:
        return real_set(node.args[1])
    sides, found = node.args, _ALL
    for at, name in enumerate(names):
        found = _cut(found, _half_line(sides[at], name, sides[at + 1]), keep=True)
    subjects = {_subject(side) for side in sides} - {None}
    if len(subjects) != 1 or not all(name in _ORDERS or name == "ne" for name in names):
        raise Unreadable("no one thing is bounded")
    subject = next(subject for subject in subjects if subject is not None)
    return _without_bars(found, subject) if subject.op == "call" and subject.name == "abs" else found


def _without_bars(sizes: RealSet, subject: Node) -> RealSet:
    """What `|ax + b|` being in a set says of x."""
    linear = _linear(subject.args[0])
    if linear is None:
        return sizes
    above = _cut(sizes, (Piece(mp.mpf(0), mp.inf, True, False),), keep=True)
    below = [Piece(-piece.high, -piece.low, piece.has_high, piece.has_low) for piece in above]
    slope, offset = (mp.mpf(value.numerator) / value.denominator for value in linear)
    found = []
    for piece in (*above, *below):
        low, high = (piece.low - offset) / slope, (piece.high - offset) / slope
        ends = (piece.has_low, piece.has_high)
        found.append(Piece(low, high, *ends) if slope > 0 else Piece(high, low, *reversed(ends)))
    return merged(found)


def _subject(node: Node) -> Node | None:
    """What is bounded: a variable (multiplied, moved), a name, or the size of such; None for a constant."""
    if not node.symbols:
        return None
    if _linear(node) is not None:
        return Node("sym", name=next(iter(node.symbols)))
    if is_name(node) or (node.op == "call" and node.name == "abs" and _linear(node.args[0]) is not None):
        return node
    raise Unreadable("what is bounded is no one thing")


def _half_line(left: Node, name: str, right: Node) -> RealSet:
    if not left.symbols and right.symbols:
        left, right, name = right, left, _FLIPPED.get(name, name)
    if right.symbols or not left.symbols:
        raise Unreadable("not a bound of one thing")
    bound = _bound(right)
    linear = _linear(left)
    if linear is not None:
        slope, offset = (mp.mpf(value.numerator) / value.denominator for value in linear)
        bound = (bound - offset) / slope
        name = _FLIPPED.get(name, name) if slope < 0 else name
    point = Piece(bound, bound, True, True)
    if name == "ne":
        return _complement((point,))
    if name in ("<", "le"):
        return (Piece(-mp.inf, bound, False, name == "le"),)
    return (Piece(bound, mp.inf, name == "ge", False),)


def _linear(node: Node) -> tuple[Fraction, Fraction] | None:
    """Slope and offset of an expression that is linear in its one variable."""
    if len(node.symbols) != 1:
        return None
    name = next(iter(node.symbols))
    values = [exact(_at(node, name, Fraction(point))) for point in (0, 1, -1, 7)]
    if None in values:
        return None
    first, second, third, fourth = (value for value in values if value is not None)
    slope = second - first
    is_linear = first - third == slope and fourth - first == 7 * slope and slope != 0
    return (slope, first) if is_linear else None


def _at(node: Node, name: str, value: Fraction) -> Node:
    if node.op == "sym":
        return Node("num", value=value) if node.name == name else node
    return Node(node.op, tuple(_at(part, name, value) for part in node.args), node.name, node.value)
