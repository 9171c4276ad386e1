r"""From tokens to a tree, by the rules that LaTeX and plain-text mathematics share.

    answer      item ("," | ";" | and | or) item ...
    item        union (relation union) ... [mod]        relations: = < > \le \ge \ne \approx \equiv \in :
    union       sum (\cup | \cap | \setminus) sum ...
    sum         product (+ | - | \pm | \mp) product ...
    product     power ((* | /) power | power) ...       left to right: 1/2x is x/2
    power       atom, then ! ' % degree, ^ exponent, _ subscript

Every rule either takes in all that it is given or raises `Unreadable`: nothing is left out and nothing is guessed.
"""

from collections.abc import Callable
from fractions import Fraction

from scaling.answers.mathematics.atoms import MATRICES, Atoms
from scaling.answers.mathematics.cursor import MAX_DEPTH
from scaling.answers.mathematics.lexer import tokens_of
from scaling.answers.mathematics.syntax import Node, Unreadable, negative, number, product, quotient, symbol, total

RELATIONS = {"=", "<", ">", "le", "ge", "ne", "approx", "equiv", "in", "notin", ":", "sim", "to"}
_SET_SIGNS = {"cup": "union", "cap": "intersection", "setminus": "difference"}


def parse(normal: str) -> Node:
    r"""The tree of a normal form.

    Raises:
        Unreadable: some of it is no mathematics, or incomplete.
    """
    return _Parser(tokens_of(normal)).answer()


class _Parser(Atoms):
    """Recursive descent over some tokens."""

    def answer(self) -> Node:
        node = _with_modulus(self._items(self._item))
        if self._at < len(self._tokens):
            raise Unreadable(f"{self._tokens[self._at].text!r} does not belong there")
        return node

    # --- lists and relations

    def _items(self, rule: Callable[[], Node], *, brackets: str = "") -> Node:
        """One item, or a sequence: of semicolons around commas, if there are both."""
        rows: list[list[Node]] = [[rule()]]
        name = brackets
        while separator := self._accept(",", ";", "and", "or"):
            word = separator if separator in ("and", "or") else self._accept("and", "or")
            name = name or word or ""
            if separator == ";" and not brackets:
                rows.append([])
            rows[-1].append(rule())
        if len(rows) == 1:
            return rows[0][0] if len(rows[0]) == 1 and not brackets else Node("seq", tuple(rows[0]), name)
        return Node("seq", tuple(row[0] if len(row) == 1 else Node("seq", tuple(row), "()") for row in rows), name)

    def _item(self) -> Node:
        if self._sees("<", ">", "le", "ge", "ne", "approx", "="):
            sides: list[Node] = [Node("nothing")]
        else:
            sides = [self._union()]
        names: list[str] = []
        while self._sees(*RELATIONS) and not (self._in_set and self._sees(":")):
            names.append(self._take().text)
            sides.append(self._union())
        node = sides[0] if not names else Node("rel", tuple(sides), " ".join(names))
        return self._modulus(node)

    def _modulus(self, node: Node) -> Node:
        if self._accept("pmod"):
            return Node("mod", (node, self._argument()))
        bracketed = self._sees("(") and self._sees("mod", ahead=1)
        if bracketed or self._sees("mod"):
            self._at += 2 if bracketed else 1
            node = Node("mod", (node, self._sum()))
            if bracketed:
                self._expect(")")
        return node

    def _union(self) -> Node:
        node = self._sum()
        while name := self._accept(*_SET_SIGNS):
            node = Node(_SET_SIGNS[name], (node, self._sum()))
        return node

    # --- arithmetic

    def _sum(self) -> Node:
        terms = [self._signed()]
        while self._sees("+", "-", "pm", "mp"):
            terms.append(self._signed())
        return total(*terms)

    def _signed(self) -> Node:
        sign = self._accept("+", "-", "pm", "mp")
        if sign is None:
            return self._product()
        with self._deeper():
            node = self._signed() if self._sees("+", "-") else self._product()
        return node if sign == "+" else negative(node) if sign == "-" else Node(sign, (node,))

    def _product(self) -> Node:
        node = self._power()
        while True:
            if self._accept("*"):
                node = product(node, self._signed_factor())
            elif self._accept("/"):
                node = quotient(node, self._signed_factor())
            elif self._begins_factor():
                node = self._beside(node)
            else:
                return node

    def _signed_factor(self) -> Node:
        if self._accept("-"):
            return negative(self._power())
        return self._power()

    def _beside(self, node: Node) -> Node:
        """What stands beside a factor multiplies it; a fraction beside a whole number is added to it."""
        before, token = self._tokens[self._at - 1], self._peek()
        whole = before.kind == "number" and before.text.replace(",", "").replace(" ", "").isdigit()
        if token is not None and token.kind == "number":
            if not (whole and token.spaced and self._sees("/", ahead=1) and node.op == "num"):
                raise Unreadable(f"two numbers stand side by side: {before.text!r} and {token.text!r}")
            over = self._take()
            self._expect("/")
            return _mixed(node, quotient(number(over.value or 0), self._atom()))
        is_fraction = self._sees("frac")
        factor = self._power()
        if is_fraction and whole and node.op == "num" and _plain_fraction(factor) is not None:
            return _mixed(node, factor)
        return product(node, factor)

    def _begins_factor(self) -> bool:
        token = self._peek()
        if token is None or (token.kind == "sign" and token.text not in ("(", "[", "{", "|")):
            return False
        if token.text == "|" and self._bars:
            return False
        if token.text == "(" and self._sees("mod", ahead=1):
            return False
        return not (token.kind == "command" and token.text in _NEVER_FACTORS)

    def _power(self) -> Node:
        node = self._atom()
        for _ in range(MAX_DEPTH):
            if self._accept("!"):
                node = Node("fact", (node,))
            elif self._accept("'"):
                node = Node("call", (node,), "prime")
            elif self._accept("%"):
                node = Node("percent", (node,))
            elif self._accept("_"):
                node = self._subscripted(node)
            elif self._accept("^"):
                node = self._raised(node)
            else:
                return node
        raise Unreadable(f"more than {MAX_DEPTH} marks behind one another")

    def _raised(self, node: Node) -> Node:
        if self._accept("circ"):
            return node  # degrees: a unit
        if self._sees("{") and self._sees("circ", ahead=1) and self._sees("}", ahead=2):
            self._at += 3
            return node
        with self._deeper():
            exponent = self._argument()
            exponent = self._raised(exponent) if self._accept("^") else exponent
        return Node("pow", (node, exponent))

    def _subscripted(self, node: Node) -> Node:
        if node.op != "sym":
            raise Unreadable("a subscript belongs to a letter")
        begin = self._at
        self._argument()
        texts = [token.text for token in self._tokens[begin : self._at] if token.text not in ("{", "}")]
        return symbol(f"{node.name}_{''.join(texts)}")


_NEVER_FACTORS = frozenset(
    {
        *RELATIONS,
        *_SET_SIGNS,
        "pm",
        "mp",
        "and",
        "or",
        "mod",
        "pmod",
        "\\}",
        "rfloor",
        "rceil",
        "\\",
        "circ",
        *(f"end {name}" for name in MATRICES),
    }
)


def _with_modulus(node: Node) -> Node:
    r"""`x \equiv 1, 3 \pmod 4`: the modulus at the end is that of all residues."""
    if node.op != "seq" or node.args[-1].op != "mod" or any(part.op == "mod" for part in node.args[:-1]):
        return node
    modulus = node.args[-1].args[1]
    return Node("seq", (*(Node("mod", (part, modulus)) for part in node.args[:-1]), node.args[-1]), node.name)


def _plain_fraction(node: Node) -> Fraction | None:
    """The value of a fraction of whole numbers between 0 and 1."""
    if node.op != "mul" or len(node.args) != 2 or node.args[1].op != "pow":
        return None
    over, under = node.args[0].value, node.args[1].args[0].value
    if over is None or not under or over.denominator != 1 or under.denominator != 1 or not 0 <= over < under:
        return None
    return over / under


def _mixed(whole: Node, fraction: Node) -> Node:
    part = _plain_fraction(fraction)
    if part is None or whole.value is None:
        raise Unreadable("a number beside a fraction that is no part of one")
    return number(whole.value + part if whole.value >= 0 else whole.value - part)
