r"""What stands behind a number in plain words: units of measure, and nouns that are counted.

    "18 dollars"  "18\text{ cm}^2"  "18 km/h"  "18 slices of pizza"   the number, and what is counted
    "6 or more"  "4 squared"  "3 hours thirty minutes"                no number: words that say more than that
    "4 pi r"  "2 sin x"  "5 - 3 t"                                     mathematics, whatever stands behind a space

Nouns are not listed: whatever follows a closed value in words is what is counted, unless one of `_STATEMENT`, a number
word or a word of mathematics is among them. Units of measure are listed, because two of them may differ.
"""

import re

from scaling.answers.mathematics.syntax import PLAIN_WORDS
from scaling.answers.words import FRACTIONS, NUMBERS

_STATEMENT = frozenset(
    (
        "or and than least most not no if when where unless except without mod modulo base half for between "
        "either both neither but then because since is are was were be equals equal so therefore with squared "
        "cubed factorial score gross lakh crore bn mil tens point plus minus over divided choose power binary "
        "octal hex hexadecimal repeating recurring minimum maximum as onward onwards upward upwards beyond "
        "fewer excluded excluding excl fails never doesn't don't isn't incorrect wrong false true impossible "
        "negative positive below above under up morning afternoon evening night noon midnight tomorrow "
        "yesterday am pm a.m p.m ago root square-root"
    ).split()
)
"""Words that say something about a number."""

_PIECE = r"(?:[A-Za-z][A-Za-z'-]*\.?|\([A-Za-z]{1,20}\))"
_POWER = r"(?:\s?\^\s?(?:\{?\s?-?[1-4]\s?\}?))?"
_UNIT = re.compile(
    rf"(?:(?<=[\s0-9)}}%]){_PIECE}{_POWER}|(?<=[0-9])/{_PIECE}{_POWER})(?:\s?[/*]\s?{_PIECE}{_POWER}|\s+{_PIECE}{_POWER})*$"
)
_PLAIN_NUMBER = re.compile(r"-?(?:[0-9][0-9,. \u2063]*(?:/[0-9]+)?|\\frac\{?[0-9]+\}?\{?[0-9]+\}?)")

_ALSO_UNITS = ("sec", "min", "deg")
"""Words of mathematics that are units behind a number."""
SINGLE_LETTERS = frozenset("mgshLlJNWVAKCF")
"""Units of one letter: only behind a plain number and a space, because `5m` and `\\pi h` are products."""

_SAME_UNIT = {
    "kilometer": "km", "kilometre": "km", "meter": "m", "metre": "m", "centimeter": "cm", "centimetre": "cm",
    "millimeter": "mm", "millimetre": "mm", "decimeter": "dm", "mile": "mi", "inch": "in", "inche": "in", "foot": "ft",
    "feet": "ft", "yard": "yd", "kilogram": "kg", "kilo": "kg", "gram": "g", "milligram": "mg", "pound": "lb",
    "lbs": "lb", "ounce": "oz", "ton": "t", "tonne": "t", "second": "s", "sec": "s", "minute": "min", "hour": "h",
    "hr": "h", "days": "day", "wk": "week", "yr": "year", "liter": "l", "litre": "l", "milliliter": "ml",
    "millilitre": "ml", "cc": "ml", "gallon": "gal", "quart": "qt", "pint": "pt", "usd": "dollar", "cent": "cent",
    "eur": "euro", "gbp": "sterling", "degree": "degree", "deg": "degree", "celsius": "celsius", "radian": "rad",
    "newton": "n", "joule": "j", "watt": "w", "volt": "v", "ampere": "amp", "kelvin": "kelvin", "pascal": "pa",
    "hertz": "hz", "gigabyte": "gb", "megabyte": "mb", "kilobyte": "kb", "byte": "byte", "acre": "acre",
    "hectare": "hectare", "decade": "decade", "century": "century", "centurie": "century", "mph": "mi/h",
    "kph": "km/h", "kmph": "km/h",
}  # fmt: skip
_BASIC = frozenset(
    {
        *(name for unit in _SAME_UNIT.values() for name in unit.split("/")),
        *(
            "month week day year cup nm um rupee yen fahrenheit khz mhz kj kw kwh kpa mpa fortnight nickel dime penny "
            "pennie micron teaspoon tablespoon ruble peso"
        ).split(),
    }
)
_OPPOSITES = (
    *(("increase", "decrease"), ("increased", "decreased"), ("more", "less"), ("more", "fewer"), ("gained", "lost")),
    *(("gain", "loss"), ("profit", "loss"), ("left", "right"), ("north", "south"), ("east", "west"), ("up", "down")),
    *(("men", "women"), ("boys", "girls"), ("even", "odd"), ("bc", "ad"), ("clockwise", "counterclockwise")),
)


def split_unit(text: str) -> tuple[str, str] | None:
    r"""What stands before the words at the end, and the words as one unit; None where there is no such end.

    >>> [split_unit(text) for text in ("18 slices of pizza", "18 km/h", "5m", "6 or more", "24 pi cm", "4 pi r")]
    [('18', 'slices of pizza'), ('18', 'km/h'), None, None, ('24 pi', 'cm'), None]
    """
    match = _UNIT.search(text)
    if match is None:
        return None
    start = match.start()
    for word in re.finditer(r"[A-Za-z]+", match[0]):
        if word[0] in PLAIN_WORDS and word[0] not in ("and", "or", *_ALSO_UNITS):
            start = match.start() + word.end()
    head, unit = text[:start].strip(), text[start:].strip()
    words = re.findall(r"[A-Za-z][A-Za-z'.-]*[A-Za-z]|[A-Za-z]", unit)
    if not head or not words or any(_says_more(word.lower()) for word in words):
        return None
    if words[0] == "times" and len(words) > 1 and words[1] != "as":
        return None
    if len(words[0]) == 1 and not unit.startswith("/"):
        lone = len(words) == 1 or (len(words) == 2 and "/" in unit)
        if not ((lone and text[start - 1 : start + 1].startswith(" ")) or text[start : start + 1] == " "):
            return None
        if not lone or words[0] not in SINGLE_LETTERS or not _PLAIN_NUMBER.fullmatch(head):
            return None
    return head, unit


def is_measure(unit: str) -> bool:
    """Whether a unit is one of measure, not a noun."""
    return _canonical_unit(unit) is not None


def units_differ(left: str, right: str) -> bool:
    """Both are units of measure, and not the same one; or each other's opposite. Other nouns never differ.

    >>> units_differ("m", "cm"), units_differ("km/h", "kilometers per hour"), units_differ("eggs", "m")
    (True, False, False)
    """
    ours, theirs = ({*re.findall(r"[a-z]+", unit.lower())} for unit in (left, right))
    if any((one in ours and other in theirs) or (other in ours and one in theirs) for one, other in _OPPOSITES):
        return True
    names = _canonical_unit(left), _canonical_unit(right)
    return None not in names and names[0] != names[1]


def _says_more(word: str) -> bool:
    return (
        word in _STATEMENT
        or word.endswith("n't")
        or any(part in NUMBERS or part in FRACTIONS for part in word.split("-"))
    )


def _canonical_unit(unit: str) -> str | None:
    """One spelling of a unit of measure; None of what is none."""
    text = re.sub(r"[{}()]", "", unit).replace(" per ", "/").removeprefix("per ").strip(" .")
    text = re.sub(r"\b(?:square|sq\.?) ([A-Za-z]+)", r"\1^2", text, flags=re.IGNORECASE)
    text = re.sub(r"\bcubic ([A-Za-z]+)", r"\1^3", text, flags=re.IGNORECASE)
    text = re.sub(r"\s*([/^*])\s*", r"\1", text)
    text = re.sub(r"\byears old$", "year", text)
    parts = re.split(r"([/^*]-?[0-9]*)", text)
    found = [_basic(part) if at % 2 == 0 else part for at, part in enumerate(parts) if part]
    if not found or None in found:
        return None
    name = "".join(part for part in found if part is not None)
    return "/".join(_SAME_UNIT.get(part, part) for part in name.split("/"))


def _basic(word: str) -> str | None:
    low = word.lower()
    for name in (low, low.removesuffix("s")):
        if name in _SAME_UNIT:
            return _SAME_UNIT[name]
        if name in _BASIC:
            return name
    return None
