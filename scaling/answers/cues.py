r"""Cues: "The answer is 12." "**Final Answer**" "The correct answer would be (C)." and what follows them.

    what follows on the line      "Answer: 12"  "The answer to the question should be 12 because 3*4=12"
    else the next line or block   "The final answer is:\n$$\n12\n$$"  "## Final answer\n\n12"

The last cue that is followed by something counts. Everything is linear in the length of the text.
"""

import re
from collections.abc import Iterator

_NOUN = r"(?:answer|solution)"
_VERB = (
    r"(?:is|are|was|equals|becomes|(?:should|would|will|must|can only|could only) be"
    r"|(?:seems?|appears?|turns? out) to be|comes (?:out )?to(?: be)?)"
)
_ADVERB = r"(?:[ ,]+(?:therefore|thus|hence|then|simply|just|indeed|clearly|exactly|equal to|given by|option|choice))*"
_COLON = "[:\uff1a]"
_TELLS = rf"(?:[ \t]+{_VERB}\b(?![ \t]+(?:not|in the form|of the form|a |an |that we)\b){_ADVERB}[*_ \t]*{_COLON}?"
_CUE = re.compile(
    r"\banswers?\b(?:[ \t]+(?:to|of|for|here|in|from)\b[^.:!?\n]{0,120}?)?[*_ \t]*"
    rf"{_TELLS}|{_COLON}|=(?!=)|(?=[$\\]))"
    rf"|\b(?:final|complete|required|desired)[ \t]+(?:result|value|solution)[*_ \t]*{_TELLS}|{_COLON})"
    rf"|\bthe solution(?: set)?(?: of [^.:!?\n]{{0,60}}?)?[ \t]+(?:is|are){_ADVERB}[ \t]*:?",
    re.IGNORECASE,
)
_HEADING = re.compile(
    rf"^[ \t]*(?:#{{1,6}}|\*\*|__)[ \t]*(?:the )?(?:final )?answer"
    rf"[ \t]*{_COLON}?[ \t]*(?:\*\*|__)?[ \t]*{_COLON}?[ \t]*$",
    re.IGNORECASE,
)
_REVERSED = re.compile(
    r"(?:^|(?<=[.!?]\s)|\b(?:therefore|thus|so|hence)\b,?)[ \t]*(?P<answer>[^.!?\n]{1,200}?|[^\n]{1,200}?\$)"
    rf"[ \t]+(?:is|are)[ \t]+(?:the|our|my)[ \t]+(?:final[ \t]+)?(?:correct[ \t]+)?{_NOUN}s?\b(?![ \t]+(?:to|of|we))",
    re.IGNORECASE,
)
_ADVERB_FIRST = re.compile(r"^(?:(?:therefore|thus|so|hence|then|indeed)\b,?\s+)+", re.IGNORECASE)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\$(.+?)\$|\\\((.+?)\\\)", re.DOTALL)
_BLOCK = re.compile(r"\s*(?:\$\$(?P<dollars>[^$]{1,2000})\$\$|\\\[(?P<brackets>.{1,2000}?)\\\])", re.DOTALL)
_SENTENCE_END = re.compile(r"\.(?=\s|$|\*)|[!?](?=\s|$)|\.\$(?=\s|$)")
_REASON = re.compile(
    r",?[ \t]+(?:because|since|which (?:is|means|gives)|as (?:we|it|the|there)|so that|given that|where|assuming)\b"
    r"|[ \t]+\(since\b",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"^(?:we|let|let's|first|to|by|using|the|there|it|this|if|when|since|because|i|you|here)\b", re.IGNORECASE
)


def cued_answer(text: str) -> str | None:
    """What follows the last cue; None where there is none, or nothing follows."""
    cues = [*_CUE.finditer(text)]
    ends = [match.end() for match in cues] + [end for _, end in _headings(text)]
    for end in sorted(ends, reverse=True):
        answer = _following(text, end)
        if answer:
            return answer
    said = [*_REVERSED.finditer(text)]
    return _tidied(said[-1]["answer"]) or None if said else None


def _headings(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for line in text.splitlines(keepends=True):
        if _HEADING.match(line.rstrip("\n")):
            yield at, at + len(line)
        at += len(line)


def _following(text: str, at: int) -> str:
    """The rest of the line, or the block or line that follows where nothing is left of it."""
    if block := _BLOCK.match(text, at):
        return _tidied(block["dollars"] or block["brackets"])
    line, _, after = text[at : at + 4000].partition("\n")
    if bare := line.strip(" \t*_:#"):
        return "" if _is_prose(bare) else _tidied(_first_sentence(bare))
    if block := _BLOCK.match(after):
        return _tidied(block["dollars"] or block["brackets"])
    following = after.lstrip().partition("\n")[0].strip(" \t*_#")
    return "" if _is_prose(following) else _tidied(_first_sentence(following))


def _is_prose(line: str) -> bool:
    """Whether a line explains instead of stating: it begins as a sentence does, and says nothing by "is"."""
    return (
        _PROSE.match(line) is not None
        and re.search(r"\b(?:is|are|equals|=)\b|=", line) is None
        and len(line.split()) > 3
    )


def _first_sentence(line: str) -> str:
    """Up to the end of the sentence, and to where its reason begins."""
    sentence = _SENTENCE_END.split(line, maxsplit=1)[0]
    return _REASON.split(sentence, maxsplit=1)[0]


def _tidied(answer: str) -> str:
    """Without Markdown around it, and without delimiters where all of it is one formula."""
    text = _ADVERB_FIRST.sub("", " ".join(answer.split()).strip(" \t*_`"))
    text = text.rstrip(",;: ") if not text.endswith(("\\,", "\\;", "\\:")) else text
    match = _FORMULA.fullmatch(text.rstrip("."))
    if match is not None:
        inner = next(group for group in match.groups() if group is not None)
        if "$" not in inner:
            return inner.strip().rstrip(".").strip()
    return text
