"""Exact values: rational arithmetic within bounds; None where a value is irrational, has variables, or is too large."""

import functools
import math
from collections.abc import Callable
from fractions import Fraction

from scaling.answers.mathematics.syntax import Node

MAX_BITS = 20_000
"""Of an exact numerator or denominator."""
MAX_FACTORIAL = 1000


@functools.lru_cache(maxsize=4096)
def exact(node: Node) -> Fraction | None:
    """The rational value of an expression; None if it has none, or none that is worth computing."""
    rule = _EXACT.get(node.op)
    return None if rule is None else rule(node)


def _exact_sum(node: Node) -> Fraction | None:
    values = [exact(part) for part in node.args]
    return None if None in values else sum((value for value in values if value is not None), Fraction(0))


def _exact_product(node: Node) -> Fraction | None:
    found = Fraction(1)
    for part in node.args:
        value = exact(part)
        if value is None or _bits(value) + _bits(found) > MAX_BITS:
            return None
        found *= value
    return found


def _exact_power(node: Node) -> Fraction | None:
    base, exponent = exact(node.args[0]), exact(node.args[1])
    if base is None or exponent is None or (base == 0 and exponent <= 0):
        return None
    if exponent.denominator != 1:
        root = _exact_root(base, exponent.denominator)
        return None if root is None or abs(exponent.numerator) * _bits(root) > MAX_BITS else root**exponent.numerator
    if abs(exponent.numerator) * _bits(base) > MAX_BITS and base not in (0, 1, -1):
        return None
    return base**exponent.numerator


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    if degree > 64 or (value < 0 and degree % 2 == 0):
        return None
    sign = -1 if value < 0 else 1
    over, under = _whole_root(abs(value.numerator), degree), _whole_root(value.denominator, degree)
    return None if over is None or under is None else Fraction(sign * over, under)


def _whole_root(value: int, degree: int) -> int | None:
    if value.bit_length() > MAX_BITS:
        return None
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**degree < value else (low, middle)
    return low if low**degree == value else None


def _exact_factorial(node: Node) -> Fraction | None:
    value = exact(node.args[0])
    if value is None or value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL:
        return None
    return Fraction(_factorial(value.numerator))


@functools.lru_cache(maxsize=1024)
def _factorial(number: int) -> int:
    return functools.reduce(lambda product, factor: product * factor, range(1, number + 1), 1)


def _exact_call(node: Node) -> Fraction | None:
    values = [exact(part) for part in node.args]
    if None in values:
        return None
    known = [value for value in values if value is not None]
    if node.name == "root":
        degree = known[1] if len(known) > 1 else Fraction(2)
        return _exact_root(known[0], degree.numerator) if degree.denominator == 1 and degree > 0 else None
    rule = _EXACT_CALLS.get(node.name)
    return None if rule is None else rule(*known)


def _binomial(over: Fraction, under: Fraction) -> Fraction | None:
    if over.denominator != 1 or under.denominator != 1 or not 0 <= under <= over <= MAX_FACTORIAL:
        return None
    top, bottom = over.numerator, under.numerator
    return Fraction(_factorial(top), _factorial(bottom) * _factorial(top - bottom))


def _whole(function: Callable[..., int], values: tuple[Fraction, ...]) -> Fraction | None:
    whole = all(value.denominator == 1 for value in values)
    return Fraction(function(*(value.numerator for value in values))) if whole else None


_EXACT_CALLS: dict[str, Callable[..., Fraction | None]] = {
    "abs": abs,
    "floor": lambda value: Fraction(value.__floor__()),
    "ceil": lambda value: Fraction(value.__ceil__()),
    "cbrt": lambda value: _exact_root(value, 3),
    "binom": _binomial,
    "gcd": lambda *values: _whole(math.gcd, values),
    "lcm": lambda *values: _whole(math.lcm, values),
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
}
_EXACT: dict[str, Callable[[Node], Fraction | None]] = {
    "num": lambda node: node.value,
    "add": _exact_sum,
    "mul": _exact_product,
    "pow": _exact_power,
    "fact": _exact_factorial,
    "call": _exact_call,
}


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())
