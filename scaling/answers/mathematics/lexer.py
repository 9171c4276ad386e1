r"""From the normal form of an answer to tokens. A character that belongs to none is refused, never skipped."""

import re
from dataclasses import dataclass
from fractions import Fraction

from scaling.answers.mathematics.normal import THOUSANDS
from scaling.answers.mathematics.syntax import PLAIN_WORDS, Unreadable

NUMBER_WORDS = dict(
    zip(
        (
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
            "sixteen seventeen eighteen nineteen twenty"
        ).split(),
        range(21),
        strict=True,
    )
)
MAX_DIGITS = 400
"""Of a number whose value is computed."""

_SPACED = rf"[1-9][0-9]{{0,2}}(?:[ {THOUSANDS}][0-9]{{3}})+(?![0-9])"
_WITH_COMMAS = rf"[1-9][0-9]{{0,2}}(?:[,{THOUSANDS}][0-9]{{3}})+(?![0-9])"
_TAIL = r"(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3}(?![0-9A-Za-z]))?"


def _token_pattern(integer: str) -> re.Pattern[str]:
    base = rf"\s?\(?(?:base\s)?(?:[0-9]{{1,2}}|{'|'.join(NUMBER_WORDS)})\)?\s?"
    return re.compile(
        rf"(?P<space>\s+)"
        rf"|(?P<based>[0-9][0-9A-F]*_(?:\{{{base}\}}|1?[0-9](?![0-9]))|[0-9A-F]{{2,}}_(?:\{{\s?1[1-6]\s?\}}|1[1-6](?![0-9])))"
        rf"|(?P<repeating>[0-9]*\.[0-9]*(?:\\(?:overline|bar|dot)\s?\{{?[0-9]+\}}?|\([0-9]+\))"
        rf"|[0-9]*\.[0-9]*?(?P<period>[0-9]{{1,6}}?)(?P=period){{2,}}\s?\\dots(?![A-Za-z]))"
        rf"|(?P<number>(?:{integer}|[0-9]+){_TAIL}|\.[0-9]+(?:[eE][-+]?[0-9]{{1,3}}(?![0-9A-Za-z]))?)"
        rf"|(?P<environment>\\(?:begin|end)\s?\{{[a-z]+\*?\}}(?:\s?\{{[lcr|\s]+\}})?)"
        rf"|(?P<command>\\[A-Za-z]+|\\[{{}}|\\])"
        rf"|(?P<word>[A-Za-z]{{2,}})|(?P<letter>[A-Za-z])"
        rf"|(?P<sign>[-+*/^_!|=<>()\[\]{{}},;:'%&])"
    )


_OUTSIDE = _token_pattern(rf"{_WITH_COMMAS}|{_SPACED}")
_INSIDE = _token_pattern(_SPACED)
_SHOWN = re.compile(r"([0-9]*\.[0-9]*?)([0-9]{1,6}?)\2{2,}\s?\\dots")
_ENGLISH = frozenset(
    (
        "no on is it in of to at by up so if an as be do go he me my we us or am not the and for are but all "
        "any can had her was one our out day get has him his how new now old see two way who did its let say "
        "she too use yes off cm mm km kg mg ml in ft yd lb oz hr min sec mph kph usd eur deg odd own set sum "
        "per via ten six"
    ).split()
)
"""Short words that are no product of letters."""
_RUNS = frozenset({"abc", "bcd", "cde", "pqr", "rst", "uvw", "xyz", *PLAIN_WORDS})
"""Of three letters behind a number and a space all others are nouns: "3 men"."""


@dataclass(frozen=True, slots=True)
class Token:
    r"""One word of mathematics.

    Attributes:
        kind: "number", "command" (without its backslash), "letter" or "sign".
        text: as written.
        value: of a number.
        ulp: of a decimal: what one in its last place is worth.
        spaced: white space stands before it.
    """

    kind: str
    text: str
    value: Fraction | None = None
    ulp: Fraction | None = None
    spaced: bool = False


def tokens_of(normal: str) -> list[Token]:
    """All of a normal form, word by word.

    A comma before three digits belongs to the number outside of brackets, and separates within.

    Raises:
        Unreadable: something belongs to no word of mathematics.
    """
    found: list[Token] = []
    at, depth, spaced = 0, 0, False
    while at < len(normal):
        match = (_INSIDE if depth else _OUTSIDE).match(normal, at)
        if match is None:
            raise Unreadable(f"{normal[at : at + 20]!r} is no mathematics")
        kind, text, start = ("repeating" if match["repeating"] else match.lastgroup or ""), match[0], at
        at = match.end()
        if kind == "space":
            spaced = True
            continue
        depth += (text in ("(", "[", "\\{")) - (text in (")", "]", "\\}"))
        if kind == "word" and spaced and len(text) == 3 and found and found[-1].kind == "number" and text not in _RUNS:
            raise Unreadable(f"{text!r} is a word")
        is_label = len(normal) > len(text) and (text.isupper() or normal[:start].rstrip().endswith(("_{", "_")))
        found += (
            _letters(text) if kind == "word" and is_label and len(text) <= 6 else _tokens(kind, text, spaced=spaced)
        )
        spaced = False
    return found


def _tokens(kind: str, text: str, *, spaced: bool) -> list[Token]:
    if kind == "command":
        return [Token(kind, text if text in ("\\{", "\\}") else text[1:], spaced=spaced)]
    if kind == "environment":
        return [Token("command", " ".join(re.findall(r"[a-z]+", text)[:2]), spaced=spaced)]
    if kind == "number":
        return [_decimal(text, spaced=spaced)]
    if kind == "based":
        return [Token("number", text, _in_base(text), spaced=spaced)]
    if kind == "repeating":
        return [Token("number", text, _repeating(text), spaced=spaced)]
    if kind != "word":
        return [Token(kind, text, spaced=spaced)]
    if text in PLAIN_WORDS or text in ("Pi", "PI"):
        return [Token("command", PLAIN_WORDS.get(text, "pi"), spaced=spaced)]
    if len(text) > 3 or text.lower() in _ENGLISH:
        raise Unreadable(f"{text!r} is a word")
    return [Token("letter", char, spaced=spaced and not at) for at, char in enumerate(text)]


def _letters(text: str) -> list[Token]:
    """A name of points or the like, letter by letter: `AB`, `S_{abc}`."""
    return [Token("letter", char) for char in text]


def _decimal(text: str, *, spaced: bool) -> Token:
    plain = text.replace(",", "").replace(THOUSANDS, "").replace(" ", "").lower()
    if len(plain) > MAX_DIGITS:
        raise Unreadable("more digits than a number needs")
    mantissa, _, exponent = plain.partition("e")
    places = len(mantissa.partition(".")[2])
    ulp = Fraction(10) ** (int(exponent or 0) - places) if places or exponent else None
    return Token("number", text, Fraction(plain), ulp, spaced)


def _in_base(text: str) -> Fraction:
    digits, _, subscript = text.partition("_")
    name = subscript.strip("{}() ").removeprefix("base ")
    base = NUMBER_WORDS.get(name) or int(name)
    if not 2 <= base <= 36 or len(digits) > MAX_DIGITS:
        raise Unreadable(f"{text!r}: no number has the base {base}")
    try:
        return Fraction(int(digits, base))
    except ValueError as error:
        raise Unreadable(f"{text!r}: not all of these are digits in base {base}") from error


def _repeating(text: str) -> Fraction:
    r"""The value of `0.1\overline{36}`, `0.1(36)` or `0.1363636\dots`."""
    if text.endswith("dots"):
        match = _SHOWN.match(text)
        before, digits = (match[1], match[2]) if match else (text, "0")
    else:
        before, digits = re.findall(r"[0-9]*\.[0-9]*|[0-9]+", text)
    whole, _, fixed = before.partition(".")
    if len(text) > MAX_DIGITS:
        raise Unreadable("more digits than a number needs")
    shift = 10 ** len(fixed)
    return Fraction(int(whole + fixed or 0), shift) + Fraction(int(digits), shift * (10 ** len(digits) - 1))
