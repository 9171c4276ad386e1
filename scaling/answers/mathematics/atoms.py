r"""The smallest parts of a formula: numbers, letters, brackets, sets, roots, fractions, functions, matrices."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction

from scaling.answers.mathematics.cursor import Cursor
from scaling.answers.mathematics.lexer import Token
from scaling.answers.mathematics.syntax import (
    FUNCTIONS,
    LETTERS,
    Node,
    Unreadable,
    negative,
    number,
    product,
    quotient,
    symbol,
)

_BIG = frozenset({"sum", "prod", "int", "lim"})
_APPLIED = frozenset("fghFGW")
"""Letters that are functions where a bracket follows."""
_MARKS = frozenset(("mathbb mathcal overline overrightarrow vec hat widehat bar angle triangle").split())
MATRICES = ("matrix", "pmatrix", "bmatrix", "vmatrix", "array", "smallmatrix")


class Atoms(Cursor, ABC):
    """The rules for what has no operator of its own; what stands within is for the rules of `parser`."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        super().__init__(tokens)
        self._bars = 0  # open |...|: a bar closes the innermost
        self._in_set = False

    @abstractmethod
    def _items(self, rule: Callable[[], Node], *, brackets: str = "") -> Node: ...

    @abstractmethod
    def _item(self) -> Node: ...

    @abstractmethod
    def _sum(self) -> Node: ...

    @abstractmethod
    def _product(self) -> Node: ...

    @abstractmethod
    def _power(self) -> Node: ...

    @abstractmethod
    def _begins_factor(self) -> bool: ...

    def _atom(self) -> Node:
        with self._deeper():
            return self._atom_of(self._take())

    def _atom_of(self, token: Token) -> Node:
        if token.kind == "number":
            return number(token.value or 0, token.ulp)
        if token.kind == "letter":
            return self._letter(token.text)
        if token.kind == "command":
            return self._command(token.text)
        if token.text in ("(", "["):
            return self._bracketed(token.text)
        if token.text == "{":
            node = self._items(self._item)
            self._expect("}")
            return node
        if token.text == "|":
            return self._absolute()
        raise Unreadable(f"{token.text!r} does not begin anything")

    def _letter(self, name: str) -> Node:
        token = self._peek()
        if name in _APPLIED and token is not None and token.text == "(" and not token.spaced:
            self._at += 1
            return Node("call", (self._bracketed("("),), f"letter {name}")
        return symbol(name)

    def _bracketed(self, opening: str) -> Node:
        bars, self._bars = self._bars, 0
        node = self._items(self._item, brackets="?")
        self._bars = bars
        closing = self._accept(")", "]")
        if closing is None:
            raise Unreadable(f"a bracket {opening!r} is not closed")
        if len(node.args) == 1 and (opening, closing) in (("(", ")"), ("[", "]")):
            if opening == "[" and node.args[0].symbols:
                return Node("call", node.args, "[]")  # the floor of x, or a bracket: nobody knows
            return node.args[0]
        if (opening, closing) not in (("(", ")"), ("[", "]")) and len(node.args) != 2:
            raise Unreadable(f"{opening!r} is closed by {closing!r}")
        return Node("seq", node.args, opening + closing)

    def _absolute(self) -> Node:
        self._bars += 1
        node = self._sum()
        self._bars -= 1
        self._expect("|")
        return Node("call", (node,), "abs")

    def _command(self, name: str) -> Node:
        if name == "\\{":
            return self._set()
        if name in ("frac", "binom"):
            over, under = self._digit_or_group(), self._digit_or_group()
            return quotient(over, under) if name == "frac" else Node("call", (over, under), "binom")
        if name in ("sqrt", "plain sqrt"):
            return self._root(plain=name != "sqrt")
        if name in FUNCTIONS or name in ("abs", "floor", "ceil", "cbrt"):
            return self._function(name)
        if name in ("lfloor", "lceil"):
            node = self._sum()
            self._expect("rfloor" if name == "lfloor" else "rceil")
            return Node("call", (node,), "floor" if name == "lfloor" else "ceil")
        if name in _MARKS:
            return self._marked(name)
        if name in _BIG:
            return self._big(name)
        if name.startswith("begin "):
            return self._matrix(name.removeprefix("begin "))
        if name in LETTERS or name in ("pi", "infty"):
            return symbol(name)
        if name == "dots":
            return Node("dots")
        if self._sees("{", "(", "[") or name == "not" or len(name) < 2 or not name.isalpha():
            raise Unreadable(f"\\{name} is not known")
        return symbol(f"\\{name}")  # a letter of somebody's own

    def _digit_or_group(self) -> Node:
        r"""The argument of \frac: `\frac12` takes one digit each."""
        token = self._peek()
        if token is None or self._sees("("):
            raise Unreadable("an argument is missing")
        if token.kind == "number" and token.text.isdigit() and len(token.text) > 1:
            rest = Token("number", token.text[1:], Fraction(token.text[1:]))
            self._tokens = [*self._tokens[: self._at + 1], rest, *self._tokens[self._at + 1 :]]
            self._at += 1
            return number(int(token.text[0]))
        return self._argument()

    def _root(self, *, plain: bool) -> Node:
        r"""`\sqrt[3]{x}`, `\sqrt2`; `sqrt(x)` in plain text only: LaTeX sets `\sqrt(x)` as the root of a bracket."""
        degree: Node | None = None
        if not plain and self._accept("["):
            degree = self._sum()
            self._expect("]")
        node = self._atom() if plain else self._digit_or_group()
        return Node("call", (node,) if degree is None else (node, degree), "root")

    def _function(self, name: str) -> Node:
        base = self._argument() if name == "log" and self._accept("_") else None
        power = None
        if self._accept("^"):
            power = self._argument()
        node = self._atom() if self._sees("(") else self._argument_without_brackets()
        if name in ("gcd", "lcm", "min", "max") and node.op == "seq":
            call = Node("call", node.args, name)
        elif power is not None and power.op == "num" and power.value == -1:
            call, power = Node("call", (node,), f"a{name}"), None
        else:
            call = Node("call", (node,) if base is None else (node, base), name)
        return call if power is None else Node("pow", (call, power))

    def _argument_without_brackets(self) -> Node:
        r"""`\sin 2x`: all factors that stand side by side, to the next function."""
        if self._accept("-"):
            return negative(self._argument_without_brackets())
        factors = [self._power()]
        while self._begins_factor() and not self._sees("(", *FUNCTIONS):
            factors.append(self._power())
        node = product(*factors)
        while self._sees("/") and not self._sees("(", ahead=1):
            self._at += 1
            node = quotient(node, self._power())
        return node

    def _marked(self, name: str) -> Node:
        begin = self._at
        self._argument()
        inside = "".join(token.text for token in self._tokens[begin : self._at] if token.text not in ("{", "}"))
        return symbol(f"{name} {inside}")

    def _set(self) -> Node:
        if self._accept("\\}"):
            return symbol("emptyset")
        bars, self._bars, self._in_set = self._bars, 1, True  # a bar or colon begins the condition
        node = self._items(self._item, brackets="{}")
        self._bars, self._in_set = bars, False
        if self._sees("|", ":") or (len(node.args) == 1 and node.args[0].op == "rel" and " " not in node.args[0].name):
            node = self._builder(node)
        self._expect("\\}")
        return node

    def _builder(self, head: Node) -> Node:
        if not self._accept("|", ":"):
            inner = head.args[0]
            if inner.name != ":":
                return head
            return Node("builder", inner.args)
        self._bars = 0
        condition = self._items(self._item)
        return Node("builder", (head.args[0], condition))

    def _big(self, name: str) -> Node:
        r"""A sum, product, integral or limit: with its bounds and all factors that follow."""
        bounds: list[Node] = []
        while sign := self._accept("_", "^"):
            if self._accept("{"):
                bound = self._items(self._item)
                self._expect("}")
            else:
                bound = self._atom()
            bounds.append(Node("call", (bound,), sign))
        return Node("big", (*bounds, self._product()), name)

    def _matrix(self, name: str) -> Node:
        if name not in MATRICES:
            raise Unreadable(f"the environment {name!r} is not known")
        rows: list[list[Node]] = [[]]
        while not self._accept(f"end {name}"):
            if self._accept("\\"):
                rows.append([])
            elif not self._accept("&"):
                rows[-1].append(self._sum())
        rows = [row for row in rows if row]
        if not rows or len({len(row) for row in rows}) != 1:
            raise Unreadable("the rows of a matrix are not equally long")
        return Node("matrix", tuple(Node("seq", tuple(row), "row") for row in rows), "|" if name == "vmatrix" else "")

    def _argument(self) -> Node:
        """What a command or a raised sign takes: a group, or one word."""
        if self._accept("-"):
            return negative(self._argument())
        return self._atom()
