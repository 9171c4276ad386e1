r"""Multiple choice: which letter an answer names, in the many ways that models write it.

    "(B)"  "B."  "b)"  "**B**"  "\boxed{\text{B}}"  "B. Paris"  "(B) Paris"  "the answer is B"  "option B is correct"

Everything here is total (no text raises) and linear in the length of the text.
"""

import re

_WRAPPING = re.compile(r"\\(?:boxed|fbox|text|textbf|textit|textrm|mathrm|mathbf|mathsf|mbox)(?![A-Za-z])")
_NOISE = re.compile(r"\\[()\[\]!,;: ]|[{}$*_`\"'~\\]")

_NOT_SEVERAL = r"(?!\s?(?:,|/|&|or\b|and\b)\s?[(\[]?[A-J](?!\w))"
"""What may not follow a letter that is the answer: another one beside it."""
_BARE = r"(?:[B-HJ](?![\w'-])|[AI](?![\w'-])(?!\s[a-z]))"
"""A capital letter by itself; "A" and "I" before a small word are words."""
_CAPITAL = rf"(?:[(\[]\s?([A-J])\s?[)\]]|({_BARE})){_NOT_SEVERAL}"

_ALONE = re.compile(r"[(\[<]?([A-J])[)\]>]?[.,:;!]?", re.IGNORECASE)
_LEADING = re.compile(
    r"(?:[(\[]\s?([A-J])\s?[)\]]|([A-J])(?:\s?[).:\]](?=\s|$)|\s(?=[-\u2013\u2014]\s))|([B-HJ])(?=\s[a-z]))"
    rf"{_NOT_SEVERAL}"
)
_LEADING_SMALL = re.compile(r"\(?([a-j])\s?\)(?=\s|$)")
_CUED = re.compile(
    r"\b(?i:answer|option|choice)(?:\s(?i:is|was|should\sbe|must\sbe|would\sbe))?\s?:?\s(?:(?i:option|choice)\s)?"
    rf"{_CAPITAL}(?!\s(?:is|was)\s(?:not|wrong|incorrect)\b)"
)
_RIGHT = re.compile(
    rf"\b(?i:option|choice)\s(?i:is)\s?:?\s{_CAPITAL}"
    r"|[(\[]?\b([A-J])[)\]]?\s(?i:is\s(?:the\s)?(?:correct|right|best))\b"
    rf"|\b(?i:pick|choose|select|go\swith)\s(?i:(?:option|choice|answer)\s)?{_CAPITAL}"
)
_FORMULA_SIGN = re.compile(r"[=^_]")
_BRACKETED = re.compile(r"\(([A-J])\)")
_STANDING = re.compile(r"(?<![\w'.-])(?:([B-HJ])(?![\w'-])|([AI])(?=[.,:;!?]|\s?$|\s(?:or|and)\s))")


def stated_choice(answer: str) -> str | None:
    r"""The letter A to J that an answer names; None if it names none, or cannot be told which of several.

    The first of these that says something:
      1. the whole answer is a letter, small or capital, with its brackets, LaTeX and punctuation;
      2. it begins with a letter that is set off: "B. Paris", "(b) Paris", "B is right";
      3. the letter after the last "answer", "option" or "choice", unless it "is wrong"; or before "is correct";
      4. the only capital letter in brackets; else the only one that stands alone.
    """
    text = _plain(answer)
    if (letter := _set_off(text)) is not None:
        return letter.upper()
    if said := list(_CUED.finditer(text)) or list(_RIGHT.finditer(text)):
        return _letter(said[-1])
    for pattern in (_BRACKETED, _STANDING):
        found = {_letter(match) for match in pattern.finditer(text)}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def concluding_choice(solution: str) -> str | None:
    """The capital letter that a solution comes to; None if it does not say so.

    The first of these: its only line begins with a letter that is set off; its last line is a letter and nothing else;
    the letter after the last "option is" or before the last "is correct".
    """
    *before, last = solution.strip().rsplit("\n", maxsplit=1)
    line = "" if _FORMULA_SIGN.search(last) else _plain(last)
    alone = _ALONE.fullmatch(line) if before else None
    letter = _set_off(line) if not before else None if alone is None else _letter(alone)
    if letter is not None:
        return letter if letter.isupper() else None  # "a" is a variable
    said = list(_RIGHT.finditer(_plain(solution)))
    return _letter(said[-1]) if said else None


def choice_equal(answer: str, reference: str) -> bool:
    """Both name the same letter."""
    choice = stated_choice(answer)
    return choice is not None and choice == stated_choice(reference)


def _plain(text: str) -> str:
    """Without LaTeX and Markdown, on one line."""
    return " ".join(_NOISE.sub(" ", _WRAPPING.sub(" ", text)).split())


def _set_off(text: str) -> str | None:
    match = _ALONE.fullmatch(text) or _LEADING.match(text) or _LEADING_SMALL.match(text)
    return None if match is None else _letter(match)


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group)
