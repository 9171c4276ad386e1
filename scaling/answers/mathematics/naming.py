r"""What is named and what it is: of `x = 5`, `f(x) = 2 + 3 = 5` and `x \approx 5` the 5; ratios; names of items."""

from dataclasses import replace

from scaling.answers.mathematics.rationals import exact
from scaling.answers.mathematics.structure import structure
from scaling.answers.mathematics.syntax import Node, number, symbol


def value_of(node: Node) -> Node:
    r"""Without a name that is given to it: of `x = 5`, `f(x) = 5`, `x = 2 + 3 = 5` the 5; of `x \approx 5` too."""
    if node.op != "rel":
        return node
    names = node.name.split()
    if not set(names) <= {"=", "approx", ":"} or set(names) == {":"}:
        return node
    if names == ["="] and is_name(node.args[1]) and not is_name(node.args[0]) and not node.args[0].symbols:
        return node.args[0]  # 5 = x
    if names[0] == ":":  # A : B = 1
        return value_of(replace(node, args=(symbol("ratio"), *node.args[2:]), name=" ".join(names[1:])))
    if set(names) == {"="} and any(map(is_name, node.args[1:-1])):
        return node.args[-1]  # 1 = y = x = 0
    if not is_name(node.args[0]) and not (node.args[0].op == "nothing" and names == ["approx"]):
        return _if_true(node)
    if ":" in names:
        return node if len(names) != 2 or names[0] != "=" else Node("rel", node.args[1:], ":")
    return node.args[max((at for at, name in enumerate(names) if name == "="), default=len(names) - 1) + 1]


def _if_true(node: Node) -> Node:
    """`3 * 4 = 12`, where it is true, is 12."""
    values = [exact(side) for side in node.args]
    says_something = len(set(node.args)) > 1  # 0 = 0 does not
    return node.args[-1] if None not in values and len(set(values)) == 1 and says_something else node


def is_name(node: Node) -> bool:
    r"""Whether a tree is something that a value is given to: `x`, `f(x)`, `|AB|`, `\frac{NO}{BO}`, `(p, q)`."""
    if node.op == "sym":
        return not node.name.startswith("\\")
    if node.op == "call":
        return (
            node.name.startswith("letter ")
            or (node.name == "abs" and is_segment(node.args[0]) and node.args[0].op == "mul")
            or (node.name == "prime" and is_name(node.args[0]))
        )
    if node.op == "seq":
        return all(is_name(part) for part in node.args)
    return is_segment(node)


def is_segment(node: Node) -> bool:
    r"""Whether it is named by capital letters, as lengths and angles are: `AB`, `\frac{NO}{BO}`, `m\angle A`."""
    if node.op == "sym":
        return node.name[:1].isupper() or node.name == "m" or node.name.startswith(("angle", "triangle", "overline"))
    if node.op == "mul":
        return all(is_segment(part) for part in node.args)
    return node.op == "pow" and node.args[1] == number(-1) and is_segment(node.args[0])


def name_of(node: Node) -> object:
    """What an equation names, to be compared; None where it names nothing."""
    if node.op != "rel" or len(node.args) < 2:
        return None
    names = node.name.split()
    if names[0] == ":" and "=" in names:
        return ("ratio", *map(structure, node.args[: names.index("=") + 1]))
    named = node.args[0]
    if names[0] not in ("=", "approx") or not is_name(named):
        return None
    if named.op == "sym":
        return named.name.casefold()
    if named.op == "call" and named.name.startswith("letter ") and named.args[0].op == "sym":
        return "y" if named.name == "letter f" else named.name
    return structure(named)
