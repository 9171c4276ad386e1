r"""Mathematics as a tree, and the words that it is written in.

A tree accounts for all of a text or there is none: `Unreadable` says which part could not be taken in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction


class Unreadable(ValueError):
    """A text that no reading accounts for."""


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an expression.

    Attributes:
        op: what it is: "num", "sym", "add", "mul", "pow", "call", "seq", "rel", ... (the rules of `parser`).
        args: its parts.
        name: of a symbol, function, relation, or the brackets of a sequence.
        value: of a number.
        ulp: of a number written with a decimal point: what one in its last place is worth; None of others.
    """

    op: str
    args: tuple["Node", ...] = ()
    name: str = ""
    value: Fraction | None = None
    ulp: Fraction | None = None

    def walk(self) -> Iterator["Node"]:
        """This node and all below it."""
        open_nodes = [self]
        while open_nodes:
            node = open_nodes.pop()
            yield node
            open_nodes += node.args

    def has(self, *ops: str) -> bool:
        """Whether it or a part of it is one of these."""
        return any(node.op in ops for node in self.walk())

    @property
    def symbols(self) -> frozenset[str]:
        """Names of its variables: constants are none."""
        return frozenset(node.name for node in self.walk() if node.op == "sym" and node.name not in CONSTANTS)


def number(value: int | Fraction, ulp: Fraction | None = None) -> Node:
    """An exact number."""
    return Node("num", value=Fraction(value), ulp=ulp)


def symbol(name: str) -> Node:
    """A variable or constant."""
    return Node("sym", name=name)


MINUS_ONE = number(-1)


def negative(node: Node) -> Node:
    """Its additive inverse."""
    if node.op == "num" and node.value is not None:
        return replace(node, value=-node.value)
    return Node("mul", (MINUS_ONE, node))


def product(*nodes: Node) -> Node:
    """Their product; one node is itself. A product of products is one, so a long one is no deep tree."""
    if len(nodes) == 1:
        return nodes[0]
    first, *others = nodes
    return Node("mul", (*first.args, *others) if first.op == "mul" else nodes)


def total(*nodes: Node) -> Node:
    """Their sum; one node is itself."""
    return nodes[0] if len(nodes) == 1 else Node("add", nodes)


def quotient(over: Node, under: Node) -> Node:
    """A fraction."""
    return product(over, Node("pow", (under, MINUS_ONE)))


CONSTANTS = frozenset({"pi", "e", "i", "infty"})

FUNCTIONS = frozenset(
    (
        "sin cos tan cot sec csc asin acos atan acot sinh cosh tanh coth ln log lg exp gcd lcm min max det deg arg sgn"
    ).split()
)
"""Names that are a function, in LaTeX and in plain text."""

PLAIN_WORDS = {
    **{name: name for name in FUNCTIONS},
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "cot")},
    **{
        name: name
        for name in (
            "pi alpha beta gamma delta epsilon theta lambda mu rho sigma tau phi psi omega mod and or cup cap "
            "infty emptyset pm"
        ).split()
    },
    "inf": "infty", "infinity": "infty", "oo": "infty", "abs": "abs", "floor": "floor", "ceil": "ceil", "cbrt": "cbrt",
    "union": "cup",
    "sqrt": "plain sqrt",
}  # fmt: skip
"""Words of plain-text mathematics, and the command that each stands for."""

LETTERS = frozenset(
    (
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi "
        "chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell emptyset hbar aleph"
    ).split()
)
"""Commands that are a letter."""
