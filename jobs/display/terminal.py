r"""The one place that prints, and the one sanitiser: what a run, a recipe or an answer says is text, never a command.

    out(text)    results, on stdout        err(text)    everything else, on stderr

Tables and live views are rich's, on consoles that use the same (`jobs.display.consoles`).

Control characters, the marks that turn the direction of writing, and characters that nobody sees are written out
(`\u001b`), which in JSON means the same. Passwords in addresses are left out. A message has an end.
"""

import re
import sys
import unicodedata
from functools import lru_cache
from typing import TextIO

from records.addresses import without_passwords
from records.bounded import quoted

MAX_LINE_CHARS = 1_000
MAX_LINES = 100
"""Of one error."""
_KEPT = "\n\t"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN = re.compile(r"[ -~\n\t]*")
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5")
"""Letters by their category that are drawn as nothing."""


def plain(text: str) -> str:
    r"""The text as it may stand on a terminal.

    >>> print(plain("a\x1b[2Jb\u202ec\r"))
    a\u001b[2Jb\u202ec\u000d
    >>> plain("5\u20ac\n\tok") == "5\u20ac\n\tok"
    True
    """
    if _PLAIN.fullmatch(text):
        return text
    return "".join(map(_shown, text))


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    if character in _KEPT or (unicodedata.category(character) not in _UNSEEN and character not in _FILLERS):
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def out(text: str, *, data: bool = False) -> None:
    """Write to stdout at once; the caller ends the line. `data`: what the user gave, which keeps all of its meaning."""
    _write(sys.stdout, plain(text if data else without_passwords(text)))


def err(text: str) -> None:
    """Write to stderr; the caller ends the line."""
    _write(sys.stderr, plain(without_passwords(text)))


def shown(text: str) -> str:
    """An error or a warning as it is said: cut to what a reader reads: so many lines of so many characters."""
    lines = text.split("\n", MAX_LINES + 1)
    kept = [quoted(line, MAX_LINE_CHARS) for line in lines[:MAX_LINES]]
    return "\n".join([*kept, *(["... and more"] if len(lines) > MAX_LINES else [])])


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
