"""Rational numbers too large to write out, compared exactly but for chance: modulo large primes.

`2022^{2022}` and `2022^{2022} + 1` share their first thousands of digits. Modulo a prime that neither was made for they
differ, or they are equal: two different numbers of b bits agree modulo a random prime of 61 bits with a chance of about
b / 2^61.
"""

from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.syntax import Node

PRIMES = (2**61 - 1, 2305843009213693921)
"""Of 61 bits: a Mersenne prime, and the next below it that is a prime."""
MAX_MULTIPLIED = 50_000


def residues(node: Node) -> tuple[int, ...] | None:
    """A rational number modulo each of `PRIMES`; None where its form is not rational, or a prime divides it away."""
    found = [_residue(node, prime) for prime in PRIMES]
    return None if None in found else tuple(value for value in found if value is not None)


def _residue(node: Node, prime: int) -> int | None:
    if node.op == "num" and node.value is not None:
        under = node.value.denominator % prime
        return node.value.numerator * pow(under, -1, prime) % prime if under else None
    if node.op == "pow":
        return _power(node, prime)
    if node.op == "fact":
        return _factorial(node, prime)
    if node.op not in ("add", "mul"):
        return None
    values = [_residue(part, prime) for part in node.args]
    found = 0 if node.op == "add" else 1
    for value in values:
        if value is None:
            return None
        found = (found + value if node.op == "add" else found * value) % prime
    return found


def _power(node: Node, prime: int) -> int | None:
    base, exponent = _residue(node.args[0], prime), exact(node.args[1])
    if base is None or exponent is None or exponent.denominator != 1 or (base == 0 and exponent <= 0):
        return None
    return pow(base, exponent.numerator, prime)


def _factorial(node: Node, prime: int) -> int | None:
    value = exact(node.args[0])
    if value is None or value.denominator != 1 or not 0 <= value <= MAX_MULTIPLIED:
        return None
    found = 1
    for factor in range(2, value.numerator + 1):
        found = found * factor % prime
    return found
