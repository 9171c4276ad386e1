r"""Final answers: finding one in a solution, and saying when two are the same.

    solution --extract_answer--> answer --canonical_answer--> the text that votes are counted by

Nothing here decides whether an expression is mathematically equal to another (math-verify does that, in a process that
can be killed). Everything here is total (no text raises) and linear, so a model's endless repetitions are safe.
"""

import re
from fractions import Fraction
from functools import lru_cache

from scaling.answers.choices import concluding_choice

MAX_CANONICAL_CHARS = 2000
"""Longer answers are compared as text: they are runaway output, and no number needs so many digits."""

RELATIVE_TOLERANCE = Fraction(1, 10**6)
"""How far `numeric_equal` lets a rounded decimal be off."""

_BOX_OR_BRACE = re.compile(
    r"\\{1,3}(?:boxed|fbox)(?:\s*(?P<open>\{)|\s+(?P<bare>[-+]?[0-9.][^\s{}$\\]*|[A-Za-z](?![A-Za-z])))"
    r"|\\.|[{}]",
    re.DOTALL,
)
_ANSWER_CUE = re.compile(r"\banswer(?:[ \t]+is\b|[ \t]*:)[ \t:]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)")

_UNWRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_DROPPED = re.compile(r"\\(?:left|right)(?![A-Za-z])|\\[!,;: $%]|[$%]|\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})")
_BRACKETED_LETTER = re.compile(r"[(\[]([A-Za-z])[)\]]")
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")

_UNSIGNED = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_DECIMAL = re.compile(rf"(?P<sign>[-+]?)(?P<value>{_UNSIGNED})(?P<exponent>[eE][-+]?[0-9]{{1,3}})?")
_FRACTION = re.compile(
    rf"(?P<sign>[-+]?)(?:(?P<whole>[0-9]+)(?: |(?=\\)))?(?:"
    rf"(?P<over>[0-9,]+)/(?P<under>[0-9,]+)"
    rf"|\\frac(?:\{{(?P<num>[-+]?(?:{_UNSIGNED}))\}}|(?P<num1>[0-9]))"
    rf"(?:\{{(?P<den>[-+]?(?:{_UNSIGNED}))\}}|(?P<den1>[0-9])))"
)
_ANY_NUMBER = re.compile(rf"(?<![0-9A-Za-z.])[-+]?(?:{_UNSIGNED})(?:/[0-9]+)?(?![0-9])")


@lru_cache(maxsize=4096)
def extract_answer(solution: str) -> str | None:
    r"""The final answer of a solution; None if it states none.

    The first of these that is there and not empty:
      1. the last balanced `\boxed{...}` or `\fbox{...}` (or `\boxed 5`): a box that was cut off does not count;
      2. the rest of the line after the last `####`;
      3. the rest of the sentence after the last "answer is" or "answer:", in any case;
      4. the letter A to J of a multiple choice that it comes to (`scaling.answers.choices.concluding_choice`).

    >>> extract_answer(r"So it is \boxed{\frac{1}{2}}, and the answer is three.")
    '\\frac{1}{2}'
    >>> extract_answer("12 + 6 = 18\n#### 18")
    '18'
    >>> extract_answer("The answer is 42. That was easy.")
    '42'
    >>> extract_answer("I do not know.")
    """
    return boxed_answer(solution) or _after_marker(solution) or _after_cue(solution) or concluding_choice(solution)


def boxed_answer(solution: str) -> str | None:
    r"""The last balanced `\boxed{...}` or `\fbox{...}` (or `\boxed 5`) that is not empty; None if there is none.

    One pass with a stack of open braces: a model that repeats an open box for ever costs no more than its length.
    """
    open_braces: list[tuple[int, bool]] = []  # where the content begins, and whether a box does
    best_start, best = -1, None
    for token in _BOX_OR_BRACE.finditer(solution):
        start, content = token.end(), token["bare"]
        if token["open"] or token[0] == "{":
            open_braces.append((start, token["open"] is not None))
        elif token[0] == "}" and open_braces:
            start, boxed = open_braces.pop()
            content = solution[start : token.start()] if boxed and start > best_start else None
        elif content is not None:
            content = content.rstrip(".,;:!?)")
        if content and content.strip() and start > best_start:
            best_start, best = start, content.strip()
    return best


@lru_cache(maxsize=2**15)
def canonical_answer(answer: str) -> str:
    r"""The form of an answer that votes are counted by; a fixed point of itself.

    Numbers become an exact integer or fraction ("0.50", "1/2", "\frac12" and "$\dfrac{1}{2}$." are all "1/2"; "1,234"
    is "1234", but "(1,234)" stays a pair). "(B)" is "B". Anything else loses its LaTeX wrapping and the spaces that do
    not separate words. Percent, dollar and degree signs are dropped, as the MATH graders do.

    >>> [canonical_answer(answer) for answer in ("0.50", r"$\dfrac{1}{2}$.", "1 1/2", "1,234", "(1,234)", "(B)", "50%")]
    ['1/2', '1/2', '3/2', '1234', '(1,234)', 'B', '50']
    """
    text = " ".join(answer.split())
    if len(text) > MAX_CANONICAL_CHARS:
        return text
    while (simpler := _simplified(text)) != text:  # each pass shortens it, or makes it a number, which stays
        text = simpler
    return text


def exact_equal(answer: str, reference: str) -> bool:
    """The canonical forms are the same, and not empty."""
    canonical = canonical_answer(answer)
    return canonical != "" and canonical == canonical_answer(reference)


def numeric_equal(answer: str, reference: str) -> bool:
    """Both name one number, and the numbers agree: exactly if both are integers, else to one part in a million.

    >>> numeric_equal("0.3333333", "1/3"), numeric_equal("18 apples", "18"), numeric_equal("3 of 4", "3")
    (True, True, False)
    """
    left, right = stated_number(answer), stated_number(reference)
    if left is None or right is None:
        return False
    if left.denominator == right.denominator == 1:
        return left == right
    return abs(left - right) <= RELATIVE_TOLERANCE * max(abs(left), abs(right))


def stated_number(answer: str) -> Fraction | None:
    """The number that an answer is, or the only one that it mentions ("18 apples", "x = 18"); None otherwise."""
    canonical = canonical_answer(answer)
    number = _number(canonical)
    if number is not None or len(canonical) > MAX_CANONICAL_CHARS:
        return number
    mentioned = _ANY_NUMBER.findall(canonical)
    return _number(mentioned[0]) if len(mentioned) == 1 else None


def _after_marker(solution: str) -> str | None:
    _, marker, rest = solution.rpartition("####")
    first_line = rest.strip().partition("\n")[0].strip()
    return first_line if marker and first_line else None


def _after_cue(solution: str) -> str | None:
    for line in reversed(solution.splitlines()):
        cues = list(_ANSWER_CUE.finditer(line))
        if cues:
            sentence = _SENTENCE_END.split(line[cues[-1].end() :], maxsplit=1)[0]
            answer = sentence.strip(" \t*")
            if answer:
                return answer
    return None


def _simplified(text: str) -> str:
    text = text.replace("\u2212", "-").replace("{,}", ",").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = _DROPPED.sub("", _UNWRAPPED.sub(r"\1", text))
    text = _LOOSE_SPACE.sub("", " ".join(text.split())).rstrip(". ")
    if letter := _BRACKETED_LETTER.fullmatch(text):
        return letter[1]
    number = _number(text)
    return text if number is None else str(number)


def _number(text: str) -> Fraction | None:
    """The exact value of an integer, decimal, fraction or mixed number; None if the text is none of these."""
    if match := _DECIMAL.fullmatch(text):
        value = Fraction(match["value"].replace(",", "") + (match["exponent"] or ""))
        return -value if match["sign"] == "-" else value
    if match := _FRACTION.fullmatch(text):
        over = _decimal(match["over"] or match["num"] or match["num1"])
        under = _decimal(match["under"] or match["den"] or match["den1"])
        if over is None or not under:
            return None
        value = Fraction(match["whole"] or 0) + over / under
        return -value if match["sign"] == "-" else value
    return None


def _decimal(text: str) -> Fraction | None:
    match = _DECIMAL.fullmatch(text)
    return None if match is None else Fraction(text.replace(",", ""))
