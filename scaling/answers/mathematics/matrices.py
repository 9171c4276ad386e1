"""Matrices: their sums and products as one matrix, cell by cell."""

from collections.abc import Iterable

from scaling.answers.mathematics.syntax import Node, Unreadable, product, total


def as_matrix(node: Node) -> Node:
    """A sum or product of matrices as one."""
    if node.op == "seq" and len(node.args) == 1:
        return as_matrix(node.args[0])
    if node.op not in ("add", "mul") or not node.has("matrix"):
        return node
    first, *others = (as_matrix(part) for part in node.args)
    for other in others:
        first = _combined(node.op, first, other)
    return first


def _combined(op: str, left: Node, right: Node) -> Node:
    rows, others = [row.args for row in left.args], [row.args for row in right.args]
    if left.op != "matrix" or right.op != "matrix":
        scalar, matrix = (left, right) if right.op == "matrix" else (right, left)
        if op == "add" or matrix.op != "matrix":
            raise Unreadable("a matrix and a number have no sum")
        return _rows([product(scalar, cell) for cell in row.args] for row in matrix.args)
    if op == "add":
        if (len(rows), len(rows[0])) != (len(others), len(others[0])):
            raise Unreadable("matrices of different shapes have no sum")
        return _rows([total(*cells) for cells in zip(*pair, strict=True)] for pair in zip(rows, others, strict=True))
    if len(rows[0]) != len(others):
        raise Unreadable("matrices of these shapes have no product")
    columns = list(zip(*others, strict=True))
    return _rows([total(*map(product, row, column)) for column in columns] for row in rows)


def _rows(rows: Iterable[list[Node]]) -> Node:
    return Node("matrix", tuple(Node("seq", tuple(row), "row") for row in rows))


def cells_of(node: Node) -> list[Node]:
    return [cell for row in node.args for cell in row.args]
