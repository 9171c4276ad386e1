r"""One spelling for what is written in many: Unicode mathematics, LaTeX wrappers, Markdown, separators.

    "**\dfrac12**"  "$\dfrac{1}{2}$."  "\boxed{\frac{1}{2}}"  -->  "\frac{1}{2}", as Unicode's one half
    "x \leqslant 3"  "$x <= 3$"                                -->  "x \le 3", as Unicode's sign

Nothing is lost that carries meaning: what is dropped here (dollar signs, spacing commands, bold, a final period) is
dropped from key and answer alike. Total and linear in the length of the text.
"""

import re
import unicodedata

_DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
_MARKS = {"PLUS SIGN": "+", "MINUS": "-", "EQUALS SIGN": "=", "LEFT PARENTHESIS": "(", "RIGHT PARENTHESIS": ")"}
_NAMED = {**{name: str(digit) for digit, name in enumerate(_DIGITS)}, **_MARKS}
_SUPERSCRIPTS = {
    **{unicodedata.lookup(f"SUPERSCRIPT {name}"): sign for name, sign in _NAMED.items()},
    "\N{SUPERSCRIPT LATIN SMALL LETTER N}": "n", "\N{SUPERSCRIPT LATIN SMALL LETTER I}": "i",
    "\N{MODIFIER LETTER SMALL X}": "x",
}  # fmt: skip
_SUBSCRIPTS = {
    **{unicodedata.lookup(f"SUBSCRIPT {name}"): sign for name, sign in _NAMED.items()},
    "\N{LATIN SUBSCRIPT SMALL LETTER N}": "n", "\N{LATIN SUBSCRIPT SMALL LETTER X}": "x",
    "\N{LATIN SUBSCRIPT SMALL LETTER K}": "k",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon "
    "phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
).split()
_GREEK_LETTERS = {
    unicodedata.lookup(
        f"GREEK {'CAPITAL' if name[0].isupper() else 'SMALL'} LETTER {name.upper().replace('LAMBDA', 'LAMDA')}"
    ): name
    for name in _GREEK
}
_SIGNS = {
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{SMALL HYPHEN-MINUS}": "-",
    "\N{MULTIPLICATION SIGN}": r"\times ",
    "\N{MIDDLE DOT}": r"\cdot ",
    "\N{DOT OPERATOR}": r"\cdot ",
    "\N{BULLET OPERATOR}": r"\cdot ",
    "\N{BULLET}": r"\cdot ",
    "\N{DIVISION SIGN}": "/",
    "\N{DIVISION SLASH}": "/",
    "\N{FRACTION SLASH}": "/",
    "\N{LESS-THAN OR EQUAL TO}": r"\le ",
    "\N{LESS-THAN OVER EQUAL TO}": r"\le ",
    "\N{GREATER-THAN OVER EQUAL TO}": r"\ge ",
    "\N{HORIZONTAL BAR}": "-",
    "\N{RING ABOVE}": r"^{\circ}",
    "\N{LESS-THAN OR SLANTED EQUAL TO}": r"\le ",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ge ",
    "\N{GREATER-THAN OR SLANTED EQUAL TO}": r"\ge ",
    "\N{NOT EQUAL TO}": r"\ne ",
    "\N{ALMOST EQUAL TO}": r"\approx ",
    "\N{ASYMPTOTICALLY EQUAL TO}": r"\approx ",
    "\N{IDENTICAL TO}": r"\equiv ",
    "\N{INFINITY}": r"\infty ",
    "\N{PLUS-MINUS SIGN}": r"\pm ",
    "\N{MINUS-OR-PLUS SIGN}": r"\mp ",
    "\N{UNION}": r"\cup ",
    "\N{INTERSECTION}": r"\cap ",
    "\N{ELEMENT OF}": r"\in ",
    "\N{NOT AN ELEMENT OF}": r"\notin ",
    "\N{EMPTY SET}": r"\emptyset ",
    "\N{SET MINUS}": r"\setminus ",
    "\N{DEGREE SIGN}": r"^{\circ}",
    "\N{MASCULINE ORDINAL INDICATOR}": r"^{\circ}",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots ",
    "\N{MIDLINE HORIZONTAL ELLIPSIS}": r"\dots ",
    "\N{RIGHTWARDS ARROW}": r"\to ",
    "\N{RIGHTWARDS DOUBLE ARROW}": r"\Rightarrow ",
    "\N{LEFT FLOOR}": r"\lfloor ",
    "\N{RIGHT FLOOR}": r"\rfloor ",
    "\N{LEFT CEILING}": r"\lceil ",
    "\N{RIGHT CEILING}": r"\rceil ",
    "\N{DOUBLE-STRUCK CAPITAL R}": r"\mathbb{R}",
    "\N{DOUBLE-STRUCK CAPITAL Z}": r"\mathbb{Z}",
    "\N{DOUBLE-STRUCK CAPITAL N}": r"\mathbb{N}",
    "\N{DOUBLE-STRUCK CAPITAL Q}": r"\mathbb{Q}",
    "\N{DOUBLE-STRUCK CAPITAL C}": r"\mathbb{C}",
    "\N{DIVIDES}": "|",
    "\N{PRIME}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{FULLWIDTH COLON}": ":",
    "\N{FULLWIDTH COMMA}": ",",
    "\N{IDEOGRAPHIC FULL STOP}": ".",
    "\N{FULLWIDTH SEMICOLON}": ";",
    "\N{INTEGRAL}": r"\int ",
    "\N{N-ARY SUMMATION}": r"\sum ",
    "\N{N-ARY PRODUCT}": r"\prod ",
    "\N{GREEK PHI SYMBOL}": r"\phi ",
    "\N{GREEK LUNATE EPSILON SYMBOL}": r"\epsilon ",
    "\N{MICRO SIGN}": r"\mu ",
    "\N{WHITE UP-POINTING TRIANGLE}": r"\triangle ",
    "\N{ANGLE}": r"\angle ",
}
_TRANSLATION = str.maketrans({**_SIGNS, **{letter: rf"\{name} " for letter, name in _GREEK_LETTERS.items()}})

_SPELLINGS = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le",
    "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">", "cdot": "*", "times": "*",
    "ast": "*", "div": "/", "over": "/", "ldots": "dots", "cdots": "dots", "dotsc": "dots", "dotsb": "dots",
    "dotsm": "dots", "vert": "|", "lvert": "|", "rvert": "|", "mid": "|", "lbrace": r"\{", "rbrace": r"\}",
    "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "colon": ":", "prime": "'", "varnothing": "emptyset",
    "backslash": "setminus", "smallsetminus": "setminus", "simeq": "approx", "cong": "approx", "bmod": "mod",
    "varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "rightarrow": "to", "land": "and", "lor": "or", "wedge": "and", "vee": "or",
}  # fmt: skip
_DROPPED = (
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle limits nolimits "
    "quad qquad hspace vspace hfill mathstrut strut middle"
).split()
_WRAPPERS = (
    "text textbf textit textrm textnormal textsf texttt mathrm mathbf mathit mathsf mathtt mbox hbox "
    "operatorname emph boldsymbol bm boxed fbox mathop underline ensuremath"
).split()

_SCRIPT = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+|[{''.join(_SUBSCRIPTS)}]+")
_ROOT_SIGN = re.compile(
    "[\N{SQUARE ROOT}\N{CUBE ROOT}\N{FOURTH ROOT}]" r"(?:\s?([0-9]+(?:\.[0-9]+)?|[A-Za-z]|\\pi)|(?=\s?[({\\]))"
)
_COMMAND = re.compile(r"\\(q?quad(?=[A-Za-z])|[A-Za-z]+)\*?")
_NAMES = (*_SPELLINGS, *_DROPPED, *_WRAPPERS, *_GREEK, "frac", "sqrt", "le", "ge", "ne", "infty")
_ESCAPED_TWICE = re.compile(rf"(?<!\\)\\\\(?=(?:{'|'.join(_NAMES)})(?![a-z]))")
"""A JSON text that was quoted twice: no row of a matrix begins with the name of a command."""
_WRAPPER = re.compile(rf"\\(?:{'|'.join(_WRAPPERS)})(?![A-Za-z])\s?")
_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]")
_THIN_SPACE = re.compile(r"(?<!\\)\\[!,;:> ]")
_NEGATED = re.compile(r"\\not\s?(=|\\in(?![a-z]))")
_NEGATIONS = {"=": r"\ne ", r"\in": r"\notin "}
_DOTTED = re.compile(r"\\dot\s?\{?([0-9])\}?([0-9]*)\\dot\s?\{?([0-9])\}?")
_FONT = re.compile(
    r"\\(?:bf|it|rm|sf|tt|large|Large|LARGE|small|normalsize|therefore|implies|Rightarrow)(?![A-Za-z])\s?"
    r"|\\(?:text)?color\s?\{[a-z]+\}|\\[hv]space\s?\{[^{}]*\}|\\tag\s?\{[^{}]*\}|\\(?:left|right)\.|^\s*&\s*(?==)"
)
_GLUED = re.compile(r"(?<=[0-9)\]}])(or|and)(?=[A-Z(\\0-9-])")
_NOT_EQUAL = re.compile(r"(?<![0-9)])!=")
"""Behind a number or a bracket it is a factorial: `3! = 6`."""
_SPACES = re.compile(r"\s+")
_MARKDOWN = re.compile(r"\*\*\*(?=\S)(.{1,400}?)(?<=\S)\*\*\*|\*\*(?=\S)([^*]{1,400}?)(?<=\S)\*\*(?![*\w])|[`\u200b]")
_TRAILING = re.compile(r"(?:[\s.,;:?]|\\\\)+$")
_THOUSAND_MARK = re.compile(r"(?<=[0-9])(?:\s?\{\s?,\s?\}\s?|,\s?\\!\s?|\\,)(?=[0-9]{3}(?![0-9]))")
THOUSANDS = "\u2063"
"""Stands between digits where a separator is a thousands separator beyond doubt: `1{,}234`, `1\\,234`."""
DOLLAR = "\u00a4"
"""Stands for a dollar sign that is money and no delimiter."""
_LONE_DOLLAR = re.compile(r"\$(?=\s?[0-9.])|(?<=[0-9])\s?\$(?=\s|$)")
MAX_CHARS = 2000
"""Longer answers are runaway output: they are compared as text, as they stand."""


def normal_form(answer: str) -> str:
    r"""The answer in one spelling, on one line.

    >>> [normal_form(text) for text in (r"$x \leqslant 3$.", r"\boxed{\dfrac12}", "**18**", r"\text{ (B) }")]
    ['x \\le 3', '\\frac12', '18', '(B)']
    """
    text = answer
    if len(text) > MAX_CHARS:
        return " ".join(text.split())
    text = _without_markdown(_ascii(text))
    if "\\" in text or "{" in text:
        text = _THOUSAND_MARK.sub(THOUSANDS, _ESCAPED_TWICE.sub(r"\\", text)).replace("{,}", ",").replace("{:}", ":")
        text = _FONT.sub("", _DOTTED.sub(r"\\overline{\1\2\3}", text))
        text = text.replace("\\$", DOLLAR).replace("\\%", "%").replace("\\#", "#").replace("\\&", "&")
        text = _NEGATED.sub(lambda match: _NEGATIONS[match[1]], text)
        text = _unwrapped(_THIN_SPACE.sub(" ", _COMMAND.sub(_spelled, _DELIMITER.sub(" ", text))))
    if text.count("$") == 1:
        text = _LONE_DOLLAR.sub(DOLLAR, text)
    text = _without_markdown(text.replace("$", " ").replace("~", " ")).replace("**", "^")
    text = text.replace("<=", r"\le ").replace(">=", r"\ge ").replace("...", r"\dots ")
    text = _GLUED.sub(r" \1 ", _NOT_EQUAL.sub(r"\\ne ", text))
    return _TRAILING.sub("", _without_markdown(_TRAILING.sub("", _SPACES.sub(" ", text)))).strip()


def _ascii(text: str) -> str:
    r"""Unicode's mathematics as LaTeX; other compatibility characters as what they stand for."""
    if text.isascii():
        return text
    text = _ROOT_SIGN.sub(_root, _SCRIPT.sub(_script, text)).translate(_TRANSLATION)
    plain = (_fraction(char) or (char if char == THOUSANDS else unicodedata.normalize("NFKC", char)) for char in text)
    visible = (part for part in plain if part == THOUSANDS or unicodedata.category(part[0]) != "Cf")
    return "".join(visible).translate(_TRANSLATION)


def _script(match: re.Match[str]) -> str:
    raised = match[0][0] in _SUPERSCRIPTS
    table = _SUPERSCRIPTS if raised else _SUBSCRIPTS
    return f"{'^' if raised else '_'}{{{''.join(table[char] for char in match[0])}}}"


def _root(match: re.Match[str]) -> str:
    degree = {"\N{SQUARE ROOT}": "", "\N{CUBE ROOT}": "[3]"}.get(match[0][0], "[4]")
    if match[1]:
        return rf"\sqrt{degree}{{{match[1]}}}"
    return rf"\sqrt{degree}" if match.string[match.end() :].lstrip()[:1] == "{" else " sqrt" if not degree else " cbrt"


def _fraction(char: str) -> str | None:
    """A vulgar fraction as LaTeX: one half stands behind a number as a mixed number does."""
    if char.isascii() or not unicodedata.decomposition(char).startswith("<fraction>"):
        return None
    over, _, under = unicodedata.normalize("NFKC", char).partition("\u2044")
    return rf"\frac{{{over}}}{{{under}}}" if under else None


def _without_markdown(text: str) -> str:
    """Bold and code marks gone; `2**10` stays."""
    bare = text.strip()
    while len(bare) > 4 and bare[:2] == bare[-2:] == "**" and bare[2:-2].count("**") in (0, 1, 3):
        bare = bare[2:-2].strip()  # what is left of it is a power
    bare = _MARKDOWN.sub(lambda match: match[1] or match[2] or "", bare)
    while len(bare) > 2 and bare[0] == bare[-1] and bare[0] in "*_\"'":
        bare = bare[1:-1].strip()
    return bare


def _spelled(match: re.Match[str]) -> str:
    name = match[1]
    if name in _DROPPED:
        return " "
    spelling = _SPELLINGS.get(name, name)
    return f"\\{spelling}" if spelling[0].isalpha() and spelling not in ("and", "or") else f" {spelling} "


def _unwrapped(text: str) -> str:
    r"""`\text{...}` and its like as their content; the brace that closes one is found by counting."""
    marked = _WRAPPER.sub("\0", text)
    out: list[str] = []
    closing: list[bool] = []  # of each open brace: whether it is a wrapper's
    for at, char in enumerate(marked):
        escaped = marked[at - 1 : at] == "\\"
        if char == "\0":
            out.append(" ")
        elif char == "{" and not escaped:
            closing.append(marked[at - 1 : at] == "\0")
            out.append("" if closing[-1] else char)
        elif char == "}" and not escaped and closing:
            out.append(" " if closing.pop() else char)
        else:
            out.append(char)
    is_cut = True in closing or re.search("\0(?![{A-Za-z0-9\\\\])", marked)
    return text if is_cut else "".join(out)  # what is cut off is not to be mended here
