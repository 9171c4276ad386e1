r"""Cues: "The answer is 12." "**Final Answer**" "The correct answer would be (C)." and what follows them.

    what follows on the line      "Answer: 12"  "The answer to the question should be 12 because 3*4=12"
    else the next line or block   "The final answer is:\n$$\n12\n$$"  "## Final answer\n\n12"
    what stands before            "So 12 is the answer."

The last cue that is followed by an answer counts; a remark on it is none ("The answer is correct."). Everything is
linear in the length of the text.
"""

import re
from collections.abc import Iterator

_VERB = (
    r"(?:is going to be|(?:can|may) be (?:written|expressed) as"
    r"|(?:should|would|will|must|could|can|can only|could only|might)"
    r"(?:[ \t]therefore)? be"
    r"|(?:seems?|appears?|turns? out|has) to be|comes (?:out )?to(?: be)?|is|are|was|equals|becomes)"
)
_ADVERB = (
    r"(?:[ ,]+(?:therefore|thus|hence|then|simply|just|indeed|clearly|exactly|likely|probably|definitely|certainly"
    r"|actually"
    r"|equal to|given by|the number|the value))*"
)
_COLON = "[:\uff1a]"
_DASH = "(?:-|\u2013|\u2014|->|\u2192)"
_NO_ANSWER = r"(?![ \t](?:not|in the form|of the form|a |an |that we|looking|asked|seeking|choices)\b)"
_TELLS = rf"(?:[ \t]{_VERB}\b{_NO_ANSWER}{_ADVERB}[*_ \t]{{0,4}}{_COLON}?"
_CUE = re.compile(
    r"(?<![A-Za-z])answers?(?![A-Za-z]| choices)(?:[ ,(](?!(?:is|are|was) not\b)[^.:!?\n]{0,80}?)??[*_]{0,3}"
    rf"{_TELLS}|[\"']?[ \t]?[*_]{{0,3}}{_COLON}|[ \t]?{_DASH}[ \t]|[ \t]?=(?!=)|[ \t]?(?=[$\\]))"
    r"|(?<![A-Za-z])answer[*_]{0,3}[ \t](?=-?[0-9])"
    rf"|(?<![A-Za-z])ans[.:][ \t]|\banswer[ \t](?=\(?[A-J]\)?\.?$)"
    rf"|\b(?:final|complete|required|desired|correct)[ \t](?:result|value|solution|option|choice)[*_]{{0,3}}"
    rf"{_TELLS}|[ \t]?{_COLON})"
    rf"|\bthe solution(?: set)?(?: of [^.:!?\n]{{0,60}}?)?[ \t](?:is|are){_ADVERB}[ \t]?:?"
    rf"|^[# \t]{{0,5}}[*_]{{0,3}}result[*_]{{0,3}}[ \t]?{_COLON}",
    re.IGNORECASE | re.MULTILINE,
)
_OPTION = re.compile(r"(?:option|choice)\s?[(\[]?([A-J])[)\]]?", re.IGNORECASE)
_HEADING = re.compile(
    r"^[ \t]?(?:#{1,6}|\*\*|__)[ \t]?(?:\*\*|__)?(?:(?:step )?[0-9]{1,2}[.:)]?[ \t])?"
    r"(?:the )?(?:final )?(?:answer|result)"
    rf"[*_#: \t\uff1a]{{0,8}}(?:below)?{_COLON}?[ \t]?(?:\u2705|\u2713|\u2714)?[ \t]?$",
    re.IGNORECASE,
)
_TAGGED = re.compile(r"<answer>(.{1,2000}?)</answer>", re.DOTALL | re.IGNORECASE)
_REVERSED = re.compile(
    r"(?:^|(?<=[.!?]\s)|\b(?:therefore|thus|so|hence)\b,?)[ \t]?(?P<answer>[^.!?\n]{1,200}?|[^\n]{1,200}?\$)"
    r"[ \t](?:is|are)[ \t](?:the|our|my)[ \t](?:final[ \t])?(?:correct[ \t])?(?:answer"
    r"|solution)s?\b(?![ \t](?:to|of|we))",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"(?:and |so |then |thus |hence )?(?:this|that|these|those|it|which|what|here|none)\b", re.IGNORECASE
)
_ADVERB_FIRST = re.compile(r"^(?:(?:therefore|thus|so|hence|then|indeed)\b,?\s+)+", re.IGNORECASE)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\$(.+?)\$|\\\((.+?)\\\)", re.DOTALL)
_BLOCK = re.compile(r"\s*(?:\$\$(?P<dollars>[^$]{1,2000})\$\$|\\\[(?P<brackets>.{1,2000}?)\\\])", re.DOTALL)
_SENTENCE_END = re.compile(
    r"(?<!\.)(?<!\b[ap]\.m)(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)\.(?!\.)(?=\s|$|\*)|\?(?=\s|$)|!(?=\s+[A-Z]|$)"
    r"|(?<!\.)\.\$(?=\s|$)"
)
_REASON = re.compile(
    r",?[ \t](?:because|since|which (?:is|means|gives|equals)|as (?:we|it|the|there|required|desired"
    r"|[0-9])|so that|given that"
    r"|where|assuming)\b|,[ \t](?:as|so|meaning|obtained|found|by|not|but|i\.e\.|that is|and this|and we)\b"
    r"|[ \t]\((?:since|because|i\.e\.|as)\b|[ \t]\([^()]*=[^()]*\)|;[ \t][^;]*=|[ \t]-[ \t](?:this|which"
    r"|that|because)\b",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"^(?:we|let|let's|first|to|by|using|the|there|it|this|if|when|since|because|i|you|here|plug|found"
    r"|obtained|given by the"
    r"|derived|calculated|based|supported|consistent)\b",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"(?:also |indeed |always |both |very |quite )?(?:correct|right|wrong|incorrect|reasonable|unique"
    r"|verified|confirmed|valid"
    r"|sensible|plausible|known|clear|obvious|simple|easy|as follows|below|above|found|done|complete"
    r"|positive|in the box)\b.*",
    re.IGNORECASE,
)
_SPACES = re.compile(r"[ \t]{2,}")
_RULE = re.compile(r"[-*_=]{3,}")
_BULLET = re.compile(r"^(?:[-+\u2022>]|\*(?!\*))[ \t]+")


def cued_answer(text: str) -> str | None:
    """What follows the last cue; None where there is none, or nothing follows."""
    text = _SPACES.sub(" ", text)
    if tagged := _TAGGED.findall(text):
        return _tidied(tagged[-1]) or None
    ends = [match.end() for match in _CUE.finditer(text)] + list(_headings(text))
    for end in sorted(ends, reverse=True):
        answer = _following(text, end)
        if answer and not _REMARK.fullmatch(answer):
            return answer
    for match in reversed([*_REVERSED.finditer(text)]):
        answer = _tidied(match["answer"])
        if answer and not _POINTS.match(answer):
            return answer
    return None


def _headings(text: str) -> Iterator[int]:
    """Where the line ends of each heading that announces the answer."""
    at = 0
    for line in text.splitlines(keepends=True):
        if _HEADING.match(line.rstrip("\n")):
            yield at + len(line)
        at += len(line)


def _following(text: str, at: int) -> str:
    """The rest of the line, or the block or line that follows where nothing is left of it."""
    if block := _BLOCK.match(text, at):
        return _tidied(block["dollars"] or block["brackets"])
    line, _, after = text[at : at + 4000].partition("\n")
    if bare := line.strip(" \t*_:#-\u2013\u2026"):
        opened = line.lstrip(" \t*_:#")  # a minus sign stays
        return "" if _is_prose(bare) else _tidied(_first_sentence(opened.rstrip(" \t*_:#")))
    if block := _BLOCK.match(after):
        return _tidied(block["dollars"] or block["brackets"])
    lines = (one.strip() for one in after.splitlines())
    following = next((one for one in lines if one and not _RULE.fullmatch(one)), "")
    stated = _BULLET.sub("", following).strip(" \t*_#")
    return "" if _is_prose(stated) else _tidied(_first_sentence(stated))


def _is_prose(line: str) -> bool:
    """Whether a line explains instead of stating: it begins as a sentence does, and says nothing by "is"."""
    says = re.search(r"\b(?:is|are|equals)\b|=", line) is not None
    return _PROSE.match(line) is not None and (len(line.split()) > 2) and not says


def _first_sentence(line: str) -> str:
    """Up to the end of the sentence, and to where its reason begins."""
    sentence = _SENTENCE_END.split(line, maxsplit=1)[0]
    return _REASON.split(sentence, maxsplit=1)[0]


def _tidied(answer: str) -> str:
    """Without Markdown around it, and without delimiters where all of it is one formula."""
    text = _ADVERB_FIRST.sub("", " ".join(answer.split()).strip(" \t*_`"))
    text = text.rstrip(",;: ") if not text.endswith(("\\,", "\\;", "\\:")) else text
    text = text.removesuffix("</answer>").strip("\"'")
    for opening, closing in ("([", ")]"), ("{", "}"):
        num_open, num_closed = (sum(map(text.count, signs)) for signs in (opening, closing))
        text = text[:-1] if text[-1:] in closing and text and num_closed > num_open else text
    if match := _OPTION.fullmatch(text):
        return match[1].upper()
    match = _FORMULA.fullmatch(text if text.endswith("...") else text.rstrip("."))
    if match is not None:
        inner = next(group for group in match.groups() if group is not None).strip()
        if "$" not in inner:
            return inner if inner.endswith("...") else inner.rstrip(".").strip()
    return text
