r"""What stands around a number in plain words: units and nouns behind it, "about" before it, powers of ten in words.

    "18 dollars"  "18\text{ cm}^2"  "18 km/h"  "18 slices of pizza"   the number, and what is counted
    "about 18"  "a total of 18"                                       the number
    "5 million"                                                       5 * 10^6
    "6 or more"  "at least 6"  "not 3"  "7 if n is even"              no number: a statement

Nouns are not listed: whatever follows a number in words is what is counted, unless one of `_STATEMENT` is among them.
"""

import re

from scaling.answers.mathematics.lexer import NUMBER_WORDS

_STATEMENT = frozenset(
    (
        "or and than least most not no if when where unless except without mod modulo base half for between "
        "either both neither but then because since is are was were be equals equal so therefore with"
    ).split()
)
"""Words that say something about a number."""

_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PERCENT = re.compile(r"\s?\b(?:percent(?:age)?(?: points?)?|per cent|pct)\b", re.IGNORECASE)
_SCALE = re.compile(rf"(?<=[0-9])\s?(?:({'|'.join(_SCALES)})s?|(dozen)s?)\b", re.IGNORECASE)
_BASE = re.compile(
    r"^\(?([0-9A-F]+)\)?(?:_|,? \(?(?:in )?base[ -])\{?\s?\(?([0-9]{1,2}|[a-z]+)\)?\s?\}?\)?$", re.IGNORECASE
)
_DEGREES = re.compile(r"\s?\^\s?(?:\{\s?\\circ\s?\}|\\circ)\s?[CFK](?![A-Za-z])")
_A_DOZEN = re.compile(r"^an? (?=dozen|hundred|thousand|million)", re.IGNORECASE)
_MEMBER = re.compile(r"^([A-Za-z]) in (?=[(\[\\{])")
_HEDGE = re.compile(
    r"^(?:(?:about|approximately|approx\.?|roughly|around|exactly|only|just|nearly|(?:a )?total of|total:?)\s+)+",
    re.IGNORECASE,
)
_CURRENCY = re.compile(
    r"(?:US|USD|EUR|GBP|Rs\.?)?\s?[\u20ac\u00a3\u00a5\u20b9]\s?|^(?:USD|US|EUR|GBP|Rs\.?)\s?(?=[0-9.])|\s?(?:USD|EUR|GBP)$"
)
_PIECE = r"(?:[A-Za-z][A-Za-z'-]*\.?|\([A-Za-z]{1,20}\))"
_POWER = r"(?:\s?\^\s?(?:\{?\s?-?[1-4]\s?\}?))?"
_UNIT = re.compile(rf"(?:(?:(?<=[\s0-9)}}]){_PIECE}{_POWER})(?:\s?[/*]\s?{_PIECE}{_POWER}|\s+{_PIECE}{_POWER})*)$")

SINGLE_LETTERS = frozenset("mgshLlJNWVAKCFtB")
"""Units of one letter: only behind a space, because `5m` is a product."""

_SAME_UNIT = {
    "kilometer": "km", "kilometre": "km", "meter": "m", "metre": "m", "centimeter": "cm", "centimetre": "cm",
    "millimeter": "mm", "millimetre": "mm", "mile": "mi", "inch": "in", "inche": "in", "foot": "ft", "feet": "ft",
    "yard": "yd", "kilogram": "kg", "gram": "g", "milligram": "mg", "pound": "lb", "lbs": "lb", "ounce": "oz",
    "ton": "t", "tonne": "t", "second": "s", "sec": "s", "minute": "min", "hour": "h", "hr": "h", "day": "day",
    "week": "week", "month": "month", "year": "year", "years old": "year", "liter": "l", "litre": "l",
    "milliliter": "ml", "millilitre": "ml", "gallon": "gal", "quart": "qt", "pint": "pt", "cup": "cup",
    "dollar": "dollar", "usd": "dollar", "cent": "cent", "euro": "euro", "eur": "euro", "degree": "degree",
    "radian": "radian", "mph": "mi/h", "mile per hour": "mi/h", "kph": "km/h", "kmph": "km/h",
    "kilometer per hour": "km/h", "km per hour": "km/h", "km per h": "km/h", "meter per second": "m/s",
    "square meter": "m^2", "sq m": "m^2", "square centimeter": "cm^2", "sq cm": "cm^2", "square inche": "in^2",
    "square feet": "ft^2", "square foot": "ft^2", "sq ft": "ft^2", "cubic meter": "m^3", "cubic centimeter": "cm^3",
    "cubic inche": "in^3", "cubic feet": "ft^3", "cubic foot": "ft^3", "square kilometer": "km^2",
}  # fmt: skip
_KNOWN = frozenset(_SAME_UNIT.values())


def in_signs(normal: str) -> str:
    """The same with percent, powers of ten, bases and currencies in signs instead of words."""
    text = _HEDGE.sub("", _CURRENCY.sub("", _DEGREES.sub(" degrees", normal).replace("\u00a2", " cents"))).strip()
    text = _MEMBER.sub(r"\1 \\in ", _A_DOZEN.sub("1 ", text))
    text = _SCALE.sub(_scaled, _PERCENT.sub("%", text))
    if match := _BASE.match(text):
        text = f"{match[1].upper()}_{{{match[2].lower()}}}"
    word, _, rest = text.partition(" ")
    if word.lower() in NUMBER_WORDS and not rest.strip().isdigit():
        text = f"{NUMBER_WORDS[word.lower()]} {rest}".strip()
    return text


def split_unit(text: str) -> tuple[str, str] | None:
    r"""What stands before the words at the end, and the words as one unit; None where there is no such end.

    >>> [split_unit(text) for text in ("18 slices of pizza", "18 km/h", "5m", "6 or more")]
    [('18', 'slices of pizza'), ('18', 'km/h'), None, None]
    """
    match = _UNIT.search(text)
    if match is None or not text[: match.start()].strip():
        return None
    words = re.findall(r"[A-Za-z]+", match[0])
    if any(word.lower() in _STATEMENT for word in words):
        return None
    spaced = text[match.start() - 1] == " "
    if len(words[0]) == 1 and (not spaced or words[0] not in SINGLE_LETTERS):
        return None
    return text[: match.start()].strip(), match[0].strip()


def units_differ(left: str, right: str) -> bool:
    """Both are units of measure, and not the same one: nouns never differ."""
    names = [_canonical_unit(unit) for unit in (left, right)]
    return names[0] != names[1] and all(name in _KNOWN for name in names)


def _canonical_unit(unit: str) -> str:
    text = re.sub(r"[{}().\s]*\s[{}().]*|[{}()]", " ", unit).replace(" ^ ", "^").strip()
    text = re.sub(r"\s?([/^])\s?", r"\1", text)
    low = text.lower()
    for name in (low, low.removesuffix("s"), " ".join(word.removesuffix("s") for word in low.split())):
        if name in _SAME_UNIT or name in _KNOWN:
            return _SAME_UNIT.get(name, name)
    return text


def _scaled(match: re.Match[str]) -> str:
    return " * 12" if match[2] else f" * 10^{{{_SCALES[match[1].lower()]}}}"
