r"""Boxes: the last `\boxed{...}` of a text, with those that are stated beside it.

One pass with a stack of open braces: a model that repeats an open box for ever costs no more than its length.
"""

import re
from dataclasses import dataclass

_BOX_OR_BRACE = re.compile(
    r"\\{1,3}(?:boxed|fbox)(?:\s*(?P<open>\{)|\s+(?P<bare>[-+]?[0-9.][^\s{}$\\]*|[A-Za-z](?![A-Za-z])))"
    r"|\\.|[{}]",
    re.DOTALL,
)
MAX_GAP_CHARS = 40
"""Between two boxes of one answer."""
_MARKUP = re.compile(r"\\(?:quad|qquad|text|mathrm|textbf|left|right|[()\[\],;:! ])|[\s$*{}.]")
_GOES_ON = re.compile(
    r"\b(?:then|so|thus|hence|therefore|gives|get|which|because|since|but|not|no|wait|if)\b|[>+:]|\n\s*\n",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Box:
    """A box that was closed and is not empty: where it begins and ends, and what is in it."""

    start: int
    end: int
    content: str


def boxes_of(text: str) -> list[Box]:
    """All boxes that lie in no other, in order; of a box with boxes in it, what those hold."""
    open_braces: list[tuple[int, int, bool]] = []  # where the token and the content begin, and whether it is a box
    found: list[Box] = []
    for token in _BOX_OR_BRACE.finditer(text):
        box: Box | None = None
        if token["open"] or token[0] == "{":
            open_braces.append((token.start(), token.end(), token["open"] is not None))
        elif token[0] == "}" and open_braces:
            start, content, boxed = open_braces.pop()
            box = Box(start, token.end(), text[content : token.start()].strip()) if boxed else None
        elif token["bare"]:
            box = Box(token.start(), token.end(), token["bare"].rstrip(".,;:!?)"))
        if box is not None and box.content:
            within: list[str] = []
            while found and found[-1].start > box.start:
                within.insert(0, found.pop().content)
            found.append(Box(box.start, box.end, ", ".join(within)) if within else box)
    return found


def last_boxes(text: str) -> Box | None:
    r"""The last box, joined with those that stand beside it: `\boxed{1} and \boxed{2}` is "1, 2"; None without any.

    >>> last_boxes(r"x = \boxed{3} or \boxed{5}. Then \boxed{7} and \boxed{9}.").content
    '7, 9'
    """
    found = boxes_of(text)
    if not found:
        return None
    group = [found[-1]]
    for box in reversed(found[:-1]):
        if not _stand_together(text[box.end : group[0].start]):
            break
        group.insert(0, box)
    contents = list(dict.fromkeys(box.content for box in group))
    return Box(group[0].start, group[-1].end, ", ".join(contents))


def boxed_answer(text: str) -> str | None:
    """What the last boxes hold; None where there are none."""
    box = last_boxes(text)
    return None if box is None else box.content


def _stand_together(gap: str) -> bool:
    """Whether nothing but "," or "and" lies between two boxes, or a few words around it."""
    if len(gap) > MAX_GAP_CHARS or _GOES_ON.search(gap):
        return False
    plain = _MARKUP.sub(" ", gap).strip()
    return plain == "" or re.search(r"[,;]|\b(?:and|or)\b", plain, re.IGNORECASE) is not None
