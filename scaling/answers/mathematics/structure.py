"""A tree as it is written: for what no value can be computed of."""

from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.syntax import Node


def structure(node: Node) -> object:
    """The tree as it stands, products in any order, numbers by value."""
    value = exact(node)
    if value is not None:
        return value
    parts = [structure(part) for part in node.args]
    if node.op == "mul":
        parts = sorted(_factors(node), key=repr)
    return (node.op, node.name, *parts)


def _factors(node: Node) -> list[object]:
    if node.op == "mul":
        return [factor for part in node.args for factor in _factors(part)]
    return [structure(node)]
