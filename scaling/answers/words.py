r"""Numbers and what surrounds them in plain words, put into signs: "two million" is `2000000`.

"about 18"  "a total of 18"  "= 18"  "So 18"   18
"twenty-five"  "two thirds"  "negative 24"     25, 2/3, -24
"28 percent"  "1011 base 2"  "18 degrees C"    28%, 1011_{2}, 18 celsius
"all real numbers"                             \mathbb{R}
"""

import re
from fractions import Fraction

from scaling.answers.mathematics.lexer import NUMBER_WORDS

_TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
NUMBERS = frozenset({*NUMBER_WORDS, *_TENS, *_POWERS, "dozen"})
"""Words that are a number, or a part of one."""
_ORDINALS = dict(zip("third fourth fifth sixth seventh eighth ninth tenth".split(), range(3, 11), strict=True))
_LOWER_HALVES = _ORDINALS | {"quarter": 4, "hundredth": 100, "thousandth": 1000}
FRACTIONS = {"half": 2, "halves": 2} | {
    name + plural: size for name, size in _LOWER_HALVES.items() for plural in ("", "s")
}
"""Words that are the lower half of a fraction."""

_PERCENT = re.compile(r"\s?\b(?:percent(?:age)?(?: points?)?|per cent|pct)\b", re.IGNORECASE)
_SCALE = re.compile(rf"(?<=[0-9])\s?(?:({'|'.join(_POWERS)})s?|(dozen)s?)\b", re.IGNORECASE)
_BASE = re.compile(
    r"^\(?([0-9A-F]+)\)?(?:_|,? \(?(?:in )?base[ -])\{?\s?\(?([0-9]{1,2}|[a-z]+)\)?\s?\}?\)?$", re.IGNORECASE
)
_DEGREES = re.compile(r"\s?\^\s?(?:\{\s?\\circ\s?\}|\\circ)\s?([CFK])(?![A-Za-z])")
_DEGREE_NAMES = {"C": " celsius", "F": " fahrenheit", "K": " kelvin"}
_A_DOZEN = re.compile(r"^an? (?=dozen|hundred|thousand|million)", re.IGNORECASE)
_MEMBER = re.compile(r"^([A-Za-z]) in (?=[(\[\\{])")
_HEDGE = re.compile(
    r"^(?:(?:about|approximately|approx\.?|roughly|around|exactly|only|just|almost|nearly|(?:a )?total of|total:?)\s+"
    r"|(?:so|thus|therefore|hence|then),?\s+|=\s*)+",
    re.IGNORECASE,
)
_CURRENCIES = {"\u20ac": "euro", "\u00a3": "sterling", "\u00a5": "yen", "\u20b9": "rupee", "\u00a4": "dollar"}
_CURRENCY = re.compile(
    r"^-?(?:US|USD|EUR|GBP|Rs\.?)?\s?([\u20ac\u00a3\u00a5\u20b9\u00a4])\s?|\s?([\u20ac\u00a3\u00a5\u20b9\u00a4])$"
)
_CODE = re.compile(r"^(?:USD|US|EUR|GBP|Rs\.?)\s?(?=[0-9.])|\s?(?:USD|EUR|GBP)$")
_ORDINAL = re.compile(r"^(-?[0-9][0-9,]*)(?:st|nd|rd|th)$")
_TIMES = re.compile(r"(?<=[0-9])\s?[xX]\s?(?=10\s?\^)")
_AND_A_HALF = re.compile(r"^(-?[0-9]+) and (?:a half|one[- ]half|1/2)\b", re.IGNORECASE)
_NEGATIVE = re.compile(r"^(?:negative|minus) (?=[0-9\\])", re.IGNORECASE)
_ENDING = re.compile(r"\s*(?:\\(?:checkmark|blacksquare|square|Box|qed)|[\u2713\u2714\u2705\u25a0\u25a1])\s*$")
_ALL_REALS = re.compile(r"(?:the set of )?all (?:the )?real(?: number)?s", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")


def currency_of(text: str) -> tuple[str, str]:
    """The text without a sign of currency before or behind it, and the currency; "" where there is none."""
    match = _CURRENCY.search(text)
    if match is None:
        return _CODE.sub("", text), ""
    sign = "-" if match[0].startswith("-") else ""
    return (text[: match.start()] + sign + text[match.end() :]).strip(), _CURRENCIES[match[1] or match[2]]


def in_signs(text: str) -> str:
    """The same with percent, powers of ten, bases, signs and numbers in signs instead of words."""
    text = _HEDGE.sub("", _ENDING.sub("", _DEGREES.sub(_degrees, text).replace("\u00a2", " cents"))).strip()
    text = _AND_A_HALF.sub(r"\1 1/2", text)
    text = _ORDINAL.sub(r"\1", text)
    if _ALL_REALS.fullmatch(text):
        return r"\mathbb{R}"
    text = _NEGATIVE.sub("-", _TIMES.sub(" * ", _MEMBER.sub(r"\1 \\in ", _A_DOZEN.sub("1 ", text))))
    text = _SCALE.sub(_scaled, _PERCENT.sub("%", text))
    if match := _BASE.match(text):
        return f"{match[1].upper()}_{{{match[2].lower()}}}"
    return _with_number(text)


def _degrees(match: re.Match[str]) -> str:
    return _DEGREE_NAMES[match[1]]


def _scaled(match: re.Match[str]) -> str:
    return " * 12" if match[2] else f" * 10^{{{_POWERS[match[1].lower()]}}}"


def _with_number(text: str) -> str:
    """The number words at the beginning as a number; the text as it is where they are none, or a number follows."""
    words: list[str] = []
    end = 0
    for match in _WORDS.finditer(text):
        parts = match[0].lower().split("-")
        known = all(part in NUMBERS or part in FRACTIONS for part in parts)
        is_link = parts == ["and"] and words and words[-1] in _POWERS
        if text[end : match.start()].strip() or not (known or is_link):
            break
        words += parts
        end = match.end()
    value = _value(words)
    if value is None or re.match(r"\s*[0-9]", text[end:]):
        return text
    written = str(value.numerator) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    return f"{written}{text[end:]}"


def _value(words: list[str]) -> Fraction | None:
    """The number that some words are, all of them; None where they are none."""
    if not words or words[-1] == "and":
        return None
    under = 1
    if words[-1] in FRACTIONS:
        under, words = FRACTIONS[words[-1]], words[:-1] or ["one"]
    total = current = 0
    last = 10**18
    for word in words:
        if word == "and":
            continue
        if word in _POWERS or word == "dozen":
            factor = 12 if word == "dozen" else 10 ** _POWERS[word]
            current = max(current, 1) * factor
            if factor >= 1000:
                total, current, last = total + current, 0, 10**18
            continue
        size = NUMBER_WORDS.get(word, _TENS.get(word))
        if size is None or (current % 100 and not (last >= 20 and current % 10 == 0 and size < 10)):
            return None
        current, last = current + size, size
    return Fraction(total + current, under)
