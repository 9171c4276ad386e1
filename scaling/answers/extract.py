r"""Finding the answer that a solution states.

    boxed          what the last `\boxed{...}` holds; of several side by side all
    marker         the rest of the line after the last "####", as GSM8K ends its solutions
    cue            what follows the last "answer is", "Answer:", "**Final Answer**" (`scaling.answers.cues`)
    choice         the letter of a multiple choice that it comes to (`scaling.answers.choices`)
    alone          all of it, where it is one line that is an answer and nothing else
    last-number    the last number in it, whatever it is about: only where somebody asks for it

The first way that finds something decides, in the order of `Extraction.ways`. A thought is no answer: of what stands
between `<think>` and `</think>` nothing counts; a run that tells thoughts apart by itself (`records.path.Phases`) gives
only what follows them. Everything here is total (no text raises) and linear, but for a pattern of the user's own, which
has a second (`StrategyFailed`: the problem fails, with the reason).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import regex

from records.failure import StrategyFailed
from scaling.answers.boxes import Box, last_boxes
from scaling.answers.choices import concluding_choice, stated_choice
from scaling.answers.cues import cued_answer
from scaling.answers.reading import Kind, read_answer


class Way(StrEnum):
    """One way of finding an answer."""

    BOXED = "boxed"
    MARKER = "marker"
    CUE = "cue"
    CHOICE = "choice"
    ALONE = "alone"
    LAST_NUMBER = "last-number"


DEFAULT_WAYS = (Way.BOXED, Way.MARKER, Way.CUE, Way.CHOICE, Way.ALONE)
MAX_ALONE_CHARS = 100
PATTERN_TIMEOUT_S = 1.0
"""Of a pattern on one solution; a sane one takes a thousandth of it."""

_THOUGHT_END = re.compile(r"</(?:think|thinking|thought|thoughts|reasoning)>", re.IGNORECASE)
_THOUGHT_BEGIN = re.compile(r"<(?:think|thinking|thought|thoughts|reasoning)>", re.IGNORECASE)
_TURN = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|end)\|>")
_CUE_WORD = re.compile(r"answer", re.IGNORECASE)
_WHICH_OPTION = re.compile(r"[.,$ )\\]*\s*which is (?:option|choice)\s[(\[]?([A-J])(?![A-Za-z])")
_FINAL = re.compile(r"final answer", re.IGNORECASE)
_HEADING_WORD = re.compile(
    r"(?:step|answer|final|solution|conclusion|summary|explanation|part|case|check|result|total|\(?[a-z]\))",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![0-9A-Za-z.,])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+|,[0-9]{1,2}(?![0-9]))?"
    r"(?:/[0-9]+(?![0-9/]|\.[0-9]))?%?(?![0-9])"
)


@dataclass(frozen=True, slots=True)
class Extraction:
    """How answers are found.

    Attributes:
        ways: in this order.
        pattern: a regular expression that takes their place; its last match counts: its first group, or all of it.
        has_thoughts: the text may hold thoughts, to be found by their tags; False where it is what follows them.
    """

    ways: tuple[Way, ...] = DEFAULT_WAYS
    pattern: str | None = None
    has_thoughts: bool = True


DEFAULT = Extraction()


@lru_cache(maxsize=4096)
def extract_answer(solution: str, extraction: Extraction = DEFAULT) -> str | None:
    r"""The final answer of a solution; None if it states none.

    >>> extract_answer(r"So it is \boxed{\frac{1}{2}}, and the answer is three.")
    '\\frac{1}{2}'
    >>> extract_answer("12 + 6 = 18\n#### 18")
    '18'
    >>> extract_answer("The answer is 42. That was easy.")
    '42'
    >>> extract_answer("I do not know.")
    """
    text = after_thought(solution) if extraction.has_thoughts else _turn(solution)
    if text is None:
        return None
    if extraction.pattern is not None:
        return _by_pattern(extraction.pattern, text)
    for way in extraction.ways:
        if answer := _FINDERS[way](text):
            return answer
    return None


def pattern_mistake(pattern: str) -> str | None:
    """Why it is no regular expression; None where it is one."""
    try:
        regex.compile(pattern)
    except regex.error as error:
        return str(error)
    return None


def _by_pattern(pattern: str, text: str) -> str | None:
    """The last match of a pattern of the user's, or of a run's: some take longer than anybody waits on some texts."""
    try:
        found = list(regex.finditer(pattern, text, timeout=PATTERN_TIMEOUT_S))
    except TimeoutError as error:
        raise StrategyFailed(
            f"answer.pattern {pattern!r} takes more than {PATTERN_TIMEOUT_S:g} s on {len(text):,} characters"
        ) from error
    answer = (found[-1][1] if found[-1].re.groups else found[-1][0]) if found else None
    return answer.strip() or None if answer else None


def after_thought(solution: str) -> str | None:
    """What follows the last thought, up to the end of the model's turn; None where a thought never ended."""
    ended = [match.end() for match in _THOUGHT_END.finditer(solution)]
    text = solution[ended[-1] :] if ended else solution
    if _THOUGHT_BEGIN.search(text):
        return None
    return _turn(text)


def _turn(text: str) -> str:
    """Up to the end of the model's turn."""
    return _TURN.split(text, maxsplit=1)[0].replace("\r\n", "\n").replace("\r", "\n")


def _boxed(text: str) -> str | None:
    box = last_boxes(text)
    return None if box is None else _stated_after(text, box) or box.content


def _stated_after(text: str, box: Box) -> str | None:
    """What takes the place of a box: a letter, where the box holds the formula of an option; a "final answer"."""
    after = text[box.end :]
    answer = cued_answer(after) if _CUE_WORD.search(after) else None
    if read_answer(box.content).kind is not Kind.CHOICE:
        stated = stated_choice(answer) if answer is not None and read_answer(answer).kind is Kind.CHOICE else None
        letter = stated or _letter_after(after)
        if letter is not None:
            return letter
    if answer is None or not _FINAL.search(after):
        return None
    return answer if read_answer(answer).kind is Kind.MATHEMATICS else None


def _letter_after(after: str) -> str | None:
    """The letter that the lines after a box come to; what stands on the box's own line goes on with its sentence."""
    if match := _WHICH_OPTION.match(after):
        return match[1]
    return concluding_choice(f"\n{after.strip()}") if after.strip(" .$\n*") else None


def _after_marker(text: str) -> str | None:
    before, marker, rest = text.rpartition("####")
    line, _, after = rest.strip().partition("\n")
    answer = line.strip(" \t*#")
    if not marker or not answer or before.endswith("#"):
        return None
    if _HEADING_WORD.match(answer) or (after.strip() and not _is_value(answer)):
        return None
    return answer


def _is_value(answer: str) -> bool:
    """Whether a line is an answer by itself, not the heading of what follows: a number, or a letter."""
    reading = read_answer(answer)
    if reading.kind is Kind.CHOICE:
        return answer.strip("()[]. ").isupper()
    return reading.kind is Kind.MATHEMATICS and reading.node is not None and not reading.node.symbols


def _alone(text: str) -> str | None:
    line = text.strip()
    if not line or len(line) > MAX_ALONE_CHARS or "\n" in line:
        return None
    reading = read_answer(line)
    is_said = reading.kind is Kind.MATHEMATICS and (reading.node is None or reading.node.op != "rel")
    num_words = len(re.findall(r"(?<![\\A-Za-z])[A-Za-z]{2,}", line))
    return line if reading.kind is Kind.TIME or (is_said and re.search(r"[0-9\\]", line) and num_words < 4) else None


def last_number(text: str) -> str | None:
    """The last number of a text, with its sign and separators; None if it has none."""
    found = [*_NUMBER.finditer(text)]
    return found[-1][0] if found else None


_FINDERS: dict[Way, Callable[[str], str | None]] = {
    Way.BOXED: _boxed,
    Way.MARKER: _after_marker,
    Way.CUE: cued_answer,
    Way.CHOICE: concluding_choice,
    Way.ALONE: _alone,
    Way.LAST_NUMBER: last_number,
}
