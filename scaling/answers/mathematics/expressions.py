"""When do two expressions have one value? Exactly if they are rational; to many digits, or as functions, if not."""

from scaling.answers.mathematics.modular import residues
from scaling.answers.mathematics.numerics import agree, agree_closely, mp, numeric, same_function
from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.structure import structure
from scaling.answers.mathematics.syntax import Node, number, quotient

MIN_SHOWN = 10**6
"""A decimal of seven digits, in units of its last place: fewer are no approximation of anything."""


def same_expression(left: Node, right: Node) -> bool:
    """Two expressions have the same value: exactly, as functions at points, or to many digits.

    Raises:
        Unreadable: one has no value that can be computed.
    """
    values = exact(left), exact(right)
    if values[0] is not None and values[1] is not None:
        return values[0] == values[1] or _rounds(left, right) or _rounds(right, left)
    if left.symbols or right.symbols:
        return same_function(left, right)
    if "infty" in constants_of(left) | constants_of(right):
        return structure(left) == structure(right)
    return _same_constant(left, right) or _rounds(left, right) or _rounds(right, left)


def _same_constant(left: Node, right: Node) -> bool:
    """Equal to many digits; of rational numbers that are too large to write out also modulo two primes."""
    if not agree(numeric(left, {}), numeric(right, {})):
        return False
    mine, theirs = residues(left), residues(right)
    if mine is not None and theirs is not None:
        return mine == theirs
    if _is_rational(left) and _is_rational(right):  # and too large for everything
        return structure(left) == structure(right)
    return agree_closely(left, right)


def _is_rational(node: Node) -> bool:
    return all(part.op in ("num", "add", "mul", "pow", "fact") or part.name == "binom" for part in node.walk())


def constants_of(node: Node) -> frozenset[str]:
    """The names in it, of variables and of constants such as `infty`."""
    return frozenset(part.name for part in node.walk() if part.op == "sym")


def _rounds(decimal: Node, node: Node) -> bool:
    """A decimal is the other value, cut or rounded where the decimal ends: if that value has no end itself."""
    ulp, value = decimal.ulp, decimal.value
    if decimal.op != "num" or ulp is None or value is None or _ends(node):
        return False
    if abs(value) < ulp * MIN_SHOWN:
        return False
    whole = exact(node)
    other = numeric(node, {}) if whole is None else whole
    if isinstance(other, mp.mpc):
        return False
    step, shown = (part if whole is not None else mp.mpf(part.numerator) / part.denominator for part in (ulp, value))
    return bool(abs(other - shown) * 2 <= step or 0 <= abs(other) - abs(shown) < step)


def _ends(node: Node) -> bool:
    """Whether it is a number with finitely many decimals."""
    value = exact(node)
    if value is None:
        return False
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def same_percent(left: Node, right: Node) -> bool:
    """`28%` is `28%`, 28, and 0.28."""
    if left.op == right.op == "percent":
        return same_expression(left.args[0], right.args[0])
    percent, other = (left, right) if left.op == "percent" else (right, left)
    if percent.op != "percent" or other.has("percent"):
        return same_expression(left, right)
    return same_expression(percent.args[0], other) or same_expression(quotient(percent.args[0], number(100)), other)
