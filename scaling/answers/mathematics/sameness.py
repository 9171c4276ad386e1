r"""When do two trees mean the same? Symmetric, and reflexive; the policy is the table of docs/problems.md.

numbers       exactly; a decimal of seven digits or more also equals what it is the rounding of, or cut from
expressions   as functions: at points, to 40 digits; with dots or sums as written
tuples        in order; lists and sets in any order; pairs and open intervals alike
equations     `x = 5` is 5; others up to a factor; inequalities as the sets that they stand for
congruences   modulo, and the residue; numbers in a base by value
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from scaling.answers.mathematics.expressions import constants_of, same_expression, same_percent
from scaling.answers.mathematics.matrices import as_matrix, cells_of
from scaling.answers.mathematics.naming import is_name, name_of, value_of
from scaling.answers.mathematics.numerics import agree, mp, numeric, point
from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.reals import is_set, real_set, same_set
from scaling.answers.mathematics.structure import structure
from scaling.answers.mathematics.syntax import Node, Unreadable, negative, quotient, total

MAX_UNORDERED = 64
"""Items of a list that are compared in any order."""


def same(left: Node, right: Node) -> bool:
    """Two trees mean the same.

    Raises:
        Unreadable: there is no rule for it.
    """
    if left == right or _same_equation(left, right):
        return True
    left, right = _spread(left), _spread(right)
    if _named_apart(left, right) or {left.op, right.op} == {"mod", "rel"}:
        return False
    left, right = value_of(left), value_of(right)
    if left.has("dots", "big") or right.has("dots", "big"):
        return structure(left) == structure(right)
    if is_set(left) or is_set(right):
        return _same_set_or_relation(left, right)
    if left.op == "rel" or right.op == "rel":
        return _same_relation(left, right)
    if left.op == "mod" or right.op == "mod":
        return _same_residue(left, right)
    if left.op == "seq" or right.op == "seq" or left.has("pm", "mp") or right.has("pm", "mp"):
        return _same_items(left, right)
    if left.has("matrix") or right.has("matrix"):
        left, right = as_matrix(left), as_matrix(right)
        return (
            (left.op, left.name) == (right.op, right.name)
            and _all_same(cells_of(left), cells_of(right))
            and len(left.args) == len(right.args)
        )
    if left.has("percent") or right.has("percent"):
        return same_percent(left, right)
    return same_expression(left, right)


def _spread(node: Node) -> Node:
    """`(x, y) = (1, 2)` as `x = 1, y = 2`."""
    if (node.op, node.name) != ("rel", "=") or any(side.op != "seq" for side in node.args):
        return node
    names, values = node.args
    if len(names.args) != len(values.args) or not is_name(names):
        return node
    pairs = zip(names.args, values.args, strict=True)
    return Node("seq", tuple(Node("rel", pair, "=") for pair in pairs))


def _named_apart(left: Node, right: Node) -> bool:
    """`x = 5` and `y = 5` say different things."""
    names = name_of(left), name_of(right)
    return None not in names and names[0] != names[1]


def _same_equation(left: Node, right: Node) -> bool:
    """`2x - y = 3` and `y = 2x - 3`: one is a constant times the other."""
    if (left.op, left.name, right.op, right.name) != ("rel", "=", "rel", "="):
        return False
    try:
        return _proportional(_difference(left), _difference(right), any_sign=True)
    except Unreadable:
        return False


_ORDERED = frozenset({"()", "[]", "row"})


def _same_items(left: Node, right: Node) -> bool:
    if _all_named(left) and _all_named(right):
        return _same_unordered(left.args, right.args, as_sets=False)
    names = _names(left), _names(right)
    for own, other in zip(names, (right, left), strict=True):
        spelled = [str(structure(name)) for name in own]
        if spelled != sorted(spelled) and other.name == "()":
            return False  # `y = 1, x = 2` is no `(1, 2)`
    if any(names) and sum(_has_name(node) for node in (left, right)) == 2:
        return False  # two things are named here, one there
    if names[0] and names[1] and set(map(structure, names[0])) == set(map(structure, names[1])):
        return _same_named(dict(zip(map(structure, names[0]), left.args, strict=True)), right)
    left, right = _expanded(left, named=bool(names[0])), _expanded(right, named=bool(names[1]))
    if "seq" not in (left.op, right.op):
        return same(left, right)
    if left.op != right.op:
        sequence, single = (left, right) if left.op == "seq" else (right, left)
        alone = len(sequence.args) == 1 and sequence.name not in _ORDERED and not single.symbols
        return alone and "emptyset" not in constants_of(single) and same(sequence.args[0], single)
    brackets = {left.name, right.name}
    if len(left.args) == 2 and brackets == {"()", "[]"}:
        return False  # an open and a closed interval
    if any(len(brackets & {name, "()", "[]"}) == 2 for name in ("(]", "[)")) or brackets == {"(]", "[)"}:
        return False
    if brackets & _ORDERED:
        return "{}" not in brackets and _all_same(left.args, right.args)
    return _same_unordered(left.args, right.args, as_sets="{}" in brackets or _all_tuples(left, right))


def _all_tuples(*nodes: Node) -> bool:
    return all(part.op == "seq" for node in nodes for part in node.args)


def _all_named(node: Node) -> bool:
    return node.op == "seq" and node.name not in _ORDERED and all(name_of(part) is not None for part in node.args)


def _has_name(node: Node) -> bool:
    return node.op == "seq" and node.name not in _ORDERED and any(name_of(part) is not None for part in node.args)


def _names(node: Node) -> list[Node]:
    """What the items of a list are called, where several names tell them apart; [] where not."""
    if node.op != "seq" or node.name in _ORDERED or not all(part.op == "rel" for part in node.args):
        return []
    names = [part.args[0] for part in node.args if is_name(part.args[0]) and part.name.split()[0] in ("=", "approx")]
    return names if len(names) == len(node.args) == len(set(map(structure, names))) and len(names) > 1 else []


def _same_named(values: dict[object, Node], other: Node) -> bool:
    return all(_quietly_same(values[structure(part.args[0])], part) for part in other.args)


def _all_same(left: Sequence[Node], right: Sequence[Node]) -> bool:
    return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))


def _same_unordered(left: Sequence[Node], right: Sequence[Node], *, as_sets: bool) -> bool:
    """Each item has its like among the others; in sets repeats do not count."""
    if len(left) > MAX_UNORDERED or len(right) > MAX_UNORDERED:
        return _all_same(left, right)
    if as_sets:
        return all(any(_quietly_same(one, other) for other in right) for one in left) and all(
            any(_quietly_same(one, other) for one in left) for other in right
        )
    rest = list(right)
    for one in left:
        at = next((at for at, other in enumerate(rest) if _quietly_same(one, other)), None)
        if at is None:
            return False
        del rest[at]
    return not rest


def _quietly_same(left: Node, right: Node) -> bool:
    try:
        return same(left, right)
    except Unreadable:
        return structure(left) == structure(right)


def _expanded(node: Node, *, named: bool = False) -> Node:
    r"""`1 \pm 2` as both of its values, within sequences too; named values in their order, as a tuple."""
    if node.op == "seq":
        parts = [_expanded(value_of(part)) for part in node.args]
        spread = [inner for part in parts for inner in (part.args if _was_pm(part) else (part,))]
        return replace(node, args=tuple(spread), name="()" if named else node.name)
    if node.has("pm", "mp"):
        return Node("seq", (_signed(node, 1), _signed(node, -1)))
    return node


def _was_pm(node: Node) -> bool:
    return node.op == "seq" and node.name == ""


def _signed(node: Node, sign: int) -> Node:
    if node.op in ("pm", "mp"):
        inner = _signed(node.args[0], sign)
        return inner if (sign > 0) == (node.op == "pm") else negative(inner)
    return replace(node, args=tuple(_signed(part, sign) for part in node.args))


def _same_set_or_relation(left: Node, right: Node) -> bool:
    if left.op == right.op == "rel" and left.symbols != right.symbols:
        return False  # x > 3 is not y > 3
    if left.op == right.op == "rel" and _subjects(left) != _subjects(right):
        return False  # nor f(x) > 3
    try:
        sets = real_set(left), real_set(right)
    except Unreadable:
        if left.op == right.op == "rel":
            return _same_relation(left, right)
        return _same_items(left, right) if left.op == right.op == "seq" else False
    return same_set(*sets)


def _subjects(node: Node) -> set[object]:
    """What of a relation is no plain expression: a function's value."""
    return {structure(part) for side in node.args for part in side.walk() if part.name.startswith("letter ")}


def _same_relation(left: Node, right: Node) -> bool:
    if left.op != "rel" or right.op != "rel":
        one, other = (left, right) if left.op == "rel" else (right, left)
        return one.name == ":" and other.op not in ("seq", "mod") and same(quotient(*one.args), other)
    left, right = _upwards(left), _upwards(right)
    if left.name != right.name or len(left.args) != len(right.args):
        return False
    if set(left.name.split()) == {":"}:
        mine, theirs = ([quotient(part, node.args[0]) for part in node.args[1:]] for node in (left, right))
        return _all_same(mine, theirs)
    if _all_sides_same(left, right):
        return True
    if len(left.args) != 2 or left.name not in ("=", "<", "le", "ne"):
        return False
    return _proportional(_difference(left), _difference(right), any_sign=left.name in ("=", "ne"))


def _all_sides_same(left: Node, right: Node) -> bool:
    sides = zip(left.args, right.args, strict=True)
    return all(
        one == other or ("nothing" not in (one.op, other.op) and _quietly_same(one, other)) for one, other in sides
    )


def _upwards(node: Node) -> Node:
    """`a > b` as `b < a`."""
    names = node.name.split()
    if not set(names) <= {">", "ge"} or node.args[0].op == "nothing":
        return node
    flipped = " ".join("<" if name == ">" else "le" for name in reversed(names))
    return replace(node, args=node.args[::-1], name=flipped)


def _difference(node: Node) -> Node:
    return total(node.args[0], negative(node.args[1]))


def _proportional(left: Node, right: Node, *, any_sign: bool) -> bool:
    """One is a constant times the other; above 0, unless the sign does not matter."""
    names = sorted(left.symbols)
    if left.symbols != right.symbols or not names:
        return False
    ratios = []
    for at in range(4):
        values = {name: point(name, at) for name in names}
        under = numeric(right, values)
        if under == 0:
            return False
        ratios.append(numeric(left, values) / under)
    first = ratios[0]
    return (
        all(agree(first, ratio) for ratio in ratios) and first != 0 and (any_sign or (mp.im(first) == 0 and first > 0))
    )


def _same_residue(left: Node, right: Node) -> bool:
    if left.op == right.op == "mod":
        (mine, modulus), (theirs, other) = left.args, right.args
        subjects = [side.args[0] for side in (mine, theirs) if side.op == "rel"]
        if not same(modulus, other) or (len(subjects) == 2 and not same(*subjects)):
            return False
        residues = _residue(mine, modulus), _residue(theirs, other)
        return residues[0] is not None and residues[0] == residues[1]
    congruence, plain = (left, right) if left.op == "mod" else (right, left)
    value = exact(plain)
    return value is not None and value == _residue(*congruence.args)


def _residue(node: Node, modulus: Node) -> Fraction | None:
    value = exact(node.args[-1] if node.op == "rel" else node)
    by = exact(modulus)
    return None if value is None or not by else value % by
