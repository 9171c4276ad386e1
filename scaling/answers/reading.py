r"""What an answer is: read once, as a whole.

    choice       "(B)"  "B) Paris"                     the letter
    time         "3:05 p.m."                           minutes of the day; with or without a half of it
    mathematics  "18 eggs"  "x = 5"  "(2, \infty)"     a tree (`scaling.answers.mathematics.parser`), and the unit
    text         "Evelyn"  "7 if n is even"            its words
    unreadable   "4\sqrt(2)"  "\foo{3}"                nothing: why

A reading accounts for all of the answer, or says that it cannot. Pure, total, and bounded by `MAX_CHARS`.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from scaling.answers.mathematics.naming import value_of
from scaling.answers.mathematics.normal import MAX_CHARS, normal_form
from scaling.answers.mathematics.parser import parse
from scaling.answers.mathematics.syntax import Node, Unreadable, number
from scaling.answers.units import is_measure, split_unit
from scaling.answers.words import currency_of, in_signs

_REST = r"(?!(?:and|or|nor|is|not|are|was|if|for)\b)(?:[A-Za-z0-9$\\]|-[0-9])(?:(?![(\[]?\b[A-J][)\]]).)*"
_CHOICE = re.compile(
    rf"[(\[]?\s?([A-J])\s?[)\]]?|[(\[]([A-Ja-j])[)\]]|[(\[]?([A-J])(?:[)\]]|[.:])\s{_REST}|([A-J]) - {_REST}"
    r"|(?:option|choice|answer)\s?:?\s?[(\[]?([A-J])[)\]]?|[(\[]?([A-J])[)\]]? is (?:correct|right)",
)
_DAYTIMES = (
    (re.compile(r"\s?(?:in the morning|o'clock in the morning)$"), " am"),
    (re.compile(r"\s?(?:in the (?:afternoon|evening)|at night)$"), " pm"),
    (re.compile(r"^(?:12(?::00)? )?noon$"), "12:00 pm"),
    (re.compile(r"^(?:12(?::00)? )?midnight$"), "12:00 am"),
    (re.compile(r"(?<=[0-9])\s?o'clock$"), ":00"),
    (re.compile(r"^at (?=[0-9])"), ""),
)
_CLOCK_AND_WORDS = re.compile(r"[0-9]{1,2}:[0-5][0-9]\s+[A-Za-z].*")
_TIME = re.compile(
    r"(?:([01]?[0-9]|2[0-4])\s?:\s?([0-5][0-9])(?:\s?:\s?([0-5][0-9]))?(?:\s?([AaPp])\.?\s?[Mm]\.?)?"
    r"|(1[0-2]|0?[1-9])\s?([AaPp])\.?\s?[Mm]\.?)"
)
_PLAIN = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_UNION = re.compile(r"(?<=[)\]}])\s?U\s?(?=[(\[\\])")
_MATHEMATICS = re.compile(r"[\\^_=<>+*/|{}\[\]]|[0-9]")
_WORD = re.compile(r"(?<!\\)\b[A-Za-z]{2,}")
_DECIMAL_COMMA = re.compile(r"(-?)([0-9]+),([0-9]+)")
_SENTENCE = re.compile(
    r"(?P<subject>[A-Za-z][A-Za-z ,'()_-]*(?:\b(?:is|are|was|were|equals|that|therefore|thus|hence|answer|has|have|had"
    r"|costs?|takes?|took|needs?|makes?|made|earns?|earned|spends?|spent|pays?|paid|gets?|got|sold|bought|ate|saved)\b|:))"
    r" ?:? ?"
    r"(?P<value>\S.*)",
    re.IGNORECASE,
)
_PREDICATE = re.compile(r"(?: ?,)? (?:is|are) (?:the|our|my) (?:final |correct )?(?:answer|solution)s?$", re.IGNORECASE)
_DENIES = re.compile(
    r"\b(?:not|no|never|cannot|or|than|least|most|if|unless|except|without|either|neither|between|when|for|provided"
    r"|assuming|suppose|twice|double|triple|half|square|squared|cube|cubed|minus|plus|opposite|negative|up|above|below"
    r"|exceeding|exceeds|bound|false|wrong|incorrect|doubt|hardly|even|odd|option|choice|impossible|nearly|over|under"
    r"|some|few|at minimum|at maximum)\b|n't\b",
    re.IGNORECASE,
)


class Kind(StrEnum):
    """What an answer is."""

    CHOICE = "choice"
    TIME = "time"
    MATHEMATICS = "mathematics"
    TEXT = "text"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, read.

    Attributes:
        kind: what it is.
        text: its normal form; of a choice the letter.
        node: of mathematics: its tree; of a time the ratio that is written alike.
        unit: what the number counts or measures; "" where it says nothing.
        other: a second tree that the text may as well stand for (`1,22`: a pair, or one decimal); None: there is none.
        why: of an unreadable one: what could not be taken in.
    """

    kind: Kind
    text: str
    node: Node | None = None
    unit: str = ""
    other: Node | None = None
    why: str = ""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All trees that it may stand for."""
        return tuple(node for node in (self.node, self.other) if node is not None)


@lru_cache(maxsize=2**14)
def read_answer(answer: str) -> Reading:
    r"""The reading of an answer.

    >>> [read_answer(text).kind.value for text in ("(B)", "12:30", "18 eggs", "Evelyn", r"4\sqrt(2)")]
    ['choice', 'time', 'mathematics', 'text', 'unreadable']
    """
    if _PLAIN.fullmatch(answer):  # most answers are nothing else
        places = len(answer.partition(".")[2])
        return Reading(Kind.MATHEMATICS, answer, number(Fraction(answer), Fraction(1, 10**places) if places else None))
    text = normal_form(answer)
    if len(text) > MAX_CHARS:
        return Reading(Kind.TEXT, text)
    if match := _CHOICE.fullmatch(text):
        return Reading(Kind.CHOICE, next(letter for letter in match.groups() if letter).upper())
    if match := _TIME.fullmatch(_clock(text)):
        return Reading(Kind.TIME, _minutes(match), _quietly(text))
    if _CLOCK_AND_WORDS.fullmatch(text):
        return Reading(Kind.TEXT, text)
    try:
        return _in_mathematics(text)
    except Unreadable as unreadable:
        if (said := _said(text)) is not None:
            return said
        if _WORD.search(text) or not _MATHEMATICS.search(text):
            return Reading(Kind.TEXT, text)
        return Reading(Kind.UNREADABLE, text, why=str(unreadable))


def _clock(text: str) -> str:
    """A time with its half of the day in letters."""
    for pattern, sign in _DAYTIMES:
        text = pattern.sub(sign, text)
    return text


def _in_mathematics(text: str) -> Reading:
    """Mathematics, with whatever words stand for signs.

    Raises:
        Unreadable: it is none.
    """
    bare, currency = currency_of(_UNION.sub(r"\\cup ", in_signs(text)))
    bare = in_signs(bare) if currency else bare
    reading = replace(_mathematics(_as_set(bare)), text=text)
    return reading if reading.unit or not currency else replace(reading, unit=currency)


def _as_set(text: str) -> str:
    r"""`{x | x > 2}` is the set `\{x | x > 2\}`; `{2, 3}` may be a group."""
    is_set = text[:1] == "{" and text[-1:] == "}" and re.search("[|:]", text)
    return rf"\{{{text[1:-1]}\}}" if is_set else text


def _mathematics(text: str) -> Reading:
    unit = split_unit(text)
    try:
        node = parse(text)
    except Unreadable:
        if unit is None:
            raise
        head, words = unit
        node = parse(head)
        if not _is_closed(node):
            raise
        return Reading(Kind.MATHEMATICS, text, node, words, _decimal_comma(head))
    if unit is not None and is_measure(unit[1]):  # "5 m": a product, or metres
        value = _quietly(unit[0])
        if value is not None and _is_closed(value):
            return Reading(Kind.MATHEMATICS, text, node, unit[1], value)
    return Reading(Kind.MATHEMATICS, text, node, other=_decimal_comma(text))


def _is_closed(node: Node) -> bool:
    """Whether a unit may stand behind it: one value, no sum, list, ratio or condition."""
    value = value_of(node)
    return value.op not in ("add", "seq", "rel", "mod", "pm", "mp", "builder", "union") and not value.symbols


def _said(text: str) -> Reading | None:
    """`The volume of ABCD is 120`: an equation in words; None where the sentence says more than that.

    What is named holds no digit and no second verb, and nothing in the sentence denies or bounds.
    """
    body = _PREDICATE.sub("", text)
    match = _SENTENCE.fullmatch(body)
    if match is None or _DENIES.search(match["subject"]) or len(re.findall(r"\b(?:is|are)\b", match["subject"])) > 1:
        return None
    try:
        return _in_mathematics(match["value"])
    except Unreadable:
        return None


def _decimal_comma(text: str) -> Node | None:
    """`2,74` as one number; three digits behind the comma are thousands, unless a zero stands before it."""
    match = _DECIMAL_COMMA.fullmatch(text)
    if match is None or (len(match[3]) == 3 and match[2] != "0"):
        return None
    return _quietly(f"{match[1]}{match[2]}.{match[3]}")


def _quietly(text: str) -> Node | None:
    try:
        return parse(text)
    except Unreadable:
        return None


def _minutes(match: re.Match[str]) -> str:
    """Hours, minutes and seconds, and the half of the day where it is said: `3:05 pm`."""
    hours = int(match[1] or match[5])
    half = (match[4] or match[6] or "").lower()
    if half and hours <= 12:
        hours = hours % 12
    elif hours == 0 and not half:
        half = "a"
    elif hours > 12 and not half:
        half, hours = "p" if hours < 24 else "a", hours % 12
    seconds = f":{match[3]}" if match[3] and match[3] != "00" else ""
    return f"{hours % 12}:{match[2] or '00'}{seconds}" + (f" {half}m" if half else "")
