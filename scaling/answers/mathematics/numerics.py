r"""What an expression is worth to `PRECISION` digits (mpmath), and whether two are one function.

Two expressions with variables are one function if they agree at `NUM_POINTS` points that a hash of nothing but the
point's number chooses: polynomials of degree d that differ agree at a random point of a set S with a chance of at most
d / |S| (Schwartz 1980, Zippel 1979), which S makes negligible.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from mpmath import MPContext

from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.syntax import Node, Unreadable

PRECISION = 60
"""Decimal digits of numeric values."""
AGREEMENT = 40
"""Leading digits that two numeric values share when they are called equal."""
CLOSE_PRECISION = 240
NUM_POINTS = 8

mp: Any = MPContext()
mp.dps = PRECISION

_TINY = mp.mpf(10) ** -AGREEMENT


def numeric(node: Node, at: Mapping[str, Any]) -> Any:
    """The value of an expression to `PRECISION` digits, real or complex.

    Args:
        node: an expression.
        at: value of each variable.

    Raises:
        Unreadable: no rule computes it, or it has no value there.
    """
    try:
        return _numeric(node, at)
    except (ZeroDivisionError, ValueError, OverflowError, TypeError, mp.NoConvergence) as error:
        raise Unreadable(f"no value: {error}") from error


def _numeric(node: Node, at: Mapping[str, Any]) -> Any:
    if node.op == "num" and node.value is not None:
        return mp.mpf(node.value.numerator) / node.value.denominator
    if node.op == "sym" and node.name == "infty":
        raise Unreadable("infinity is no number")
    if node.op == "sym":
        return _constant(node.name) if node.name in _CONSTANTS else at[node.name]
    values = [_numeric(part, at) for part in node.args]
    if node.op == "add":
        return mp.fsum(values)
    if node.op == "mul":
        return mp.fprod(values)
    if node.op == "pow":
        return _power(values[0], values[1], exact(node.args[1]))
    if node.op == "fact":
        return mp.factorial(values[0])
    if node.op == "percent":
        return values[0] / 100
    if node.op == "call":
        return _called(node.name, values)
    raise Unreadable(f"{node.op} has no value")


def _power(base: Any, exponent: Any, fraction: Fraction | None) -> Any:
    """Real where it can be: the third root of -8 is -2."""
    if abs(exponent) > 10**6 and abs(abs(base) - 1) > 0.5:
        raise Unreadable("too large to compute")
    if base == 0 and exponent == 0:
        raise Unreadable("0^0")
    if fraction is not None and fraction.denominator % 2 and isinstance(base, mp.mpf) and base < 0:
        size = mp.power(-base, exponent)
        return -size if fraction.numerator % 2 else size
    return mp.power(base, exponent)


def _called(name: str, values: list[Any]) -> Any:
    if name == "root":
        degree = values[1] if len(values) > 1 else mp.mpf(2)
        odd = degree == int(degree) and int(degree) % 2 == 1 if isinstance(degree, mp.mpf) else False
        if odd and isinstance(values[0], mp.mpf) and values[0] < 0:
            return -mp.root(-values[0], int(degree))
        return mp.power(values[0], 1 / degree)
    if name == "log" and len(values) == 2:
        return mp.log(values[0]) / mp.log(values[1])
    if name.startswith("letter ") or name == "prime":
        return _unknown_function(name, values)
    rule = _CALLS.get(name)
    if rule is None:
        raise Unreadable(f"{name} has no value")
    return rule(*values)


def _unknown_function(name: str, values: list[Any]) -> Any:
    """Some value that name and arguments decide: an unknown function is one, and differs from all others."""
    text = name + " ".join(mp.nstr(value, 30) for value in values)
    return _point_from(text)


def _constant(name: str) -> Any:
    return _CONSTANTS[name]()


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "pi": lambda: +mp.pi,
    "e": lambda: +mp.e,
    "i": lambda: mp.mpc(0, 1),
}
_CALLS: dict[str, Callable[..., Any]] = {
    **{name: getattr(mp, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan")},
    **{name: getattr(mp, name) for name in ("sinh", "cosh", "tanh", "coth", "exp", "arg", "floor", "ceil", "cbrt")},
    "ln": mp.log,
    "log": lambda value: mp.log(value) / mp.log(10),
    "lg": lambda value: mp.log(value) / mp.log(10),
    "acot": mp.acot,
    "abs": abs,
    "sgn": mp.sign,
    "max": max,
    "min": min,
    "binom": mp.binomial,
}


@functools.lru_cache(maxsize=256)
def point(name: str, number: int) -> Any:
    """The value of a variable at one of the points, by its name: between 1/2 and 3, or whole; odd ones negative."""
    size = _point_from(f"{name} {number}")
    size = mp.mpf(int(size * 1000) % 7 + 2) if number >= NUM_POINTS - 2 else size
    return -size if number % 2 else size


def _point_from(text: str) -> Any:
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return mp.mpf(1) / 2 + mp.mpf(digest % 10**15) * 5 / (2 * 10**15)


def agree(left: Any, right: Any) -> bool:
    """Both values are one number as far as `AGREEMENT` digits tell."""
    if mp.isinf(left) or mp.isinf(right):
        return bool(left == right)
    size = max(abs(left), abs(right))
    return bool(size == 0 or abs(left - right) <= _TINY * size)


def same_function(left: Node, right: Node) -> bool:
    """Two expressions have one value wherever either has a real one.

    Raises:
        Unreadable: one of them cannot be computed at all.
    """
    names = sorted(left.symbols | right.symbols)
    num_compared = 0
    for number in range(NUM_POINTS if names else 1):
        at = {name: point(name, number) for name in names}
        values = [_value_or_none(node, at) for node in (left, right)]
        if None in values:
            if values != [None, None]:
                return False
            continue
        if all(isinstance(value, mp.mpc) and abs(value.imag) > _TINY * abs(value) for value in values) and names:
            continue  # outside of the reals for both
        if not agree(*values) or (not num_compared and not agree_closely(left, right, at)):
            return False
        num_compared += 1
    if not num_compared:
        raise Unreadable("no value to compare")
    return True


def agree_closely(left: Node, right: Node, at: Mapping[str, Any] | None = None) -> bool:
    """Two expressions that agree to `AGREEMENT` digits do so to five times as many: a tiny term shows."""
    with mp.workdps(CLOSE_PRECISION):
        values = numeric(left, at or {}), numeric(right, at or {})
        size = max(abs(value) for value in values)
        return bool(size == 0 or abs(values[0] - values[1]) <= size * mp.mpf(10) ** -(CLOSE_PRECISION - 40))


def _value_or_none(node: Node, at: Mapping[str, Any]) -> Any:
    try:
        value = numeric(node, at)
    except Unreadable:
        return None
    return None if mp.isnan(value) else value
