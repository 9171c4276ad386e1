r"""Prompt templates that name columns: `{question}`, `{choices}`, `{meta.subject}`, `{"a name with spaces"}`.

    "Solve it.\n{question}\n{choices}\nAnswer:"   text     what stands from the first column to the last: the problem
                                                  frame    the rest, `{question}` in the text's place

The problem's text is what rows, PRM and exports have as its question, so it is one and the same everywhere. Where the
template names no column but `{question}`, the text is the question as it stands. Braces around anything that is no name
are text, and so are those of a LaTeX command (`\boxed{answer}`, `\frac{a}{b}`) but for `{question}`; `{{name}}` is the
text `{name}`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from string import ascii_uppercase

from jobs.problems.file_rows import LineError

QUESTION_NAME = "question"
"""In a template: the question's column, whatever it is called in the file."""
_PART = re.compile(r'\{\{(?P<text>[^\W\d][\w.-]*)\}\}|\{(?P<name>[^\W\d][\w.-]*|"[^"{}]+")\}')
_AFTER_COMMAND = re.compile(r"\\[A-Za-z]+(\{[^{}]*\})*\Z")
"""What stands before a brace that is an argument of a LaTeX command."""
_SCALARS = (str, int, float, Decimal, date)


@dataclass(frozen=True, slots=True)
class ColumnName:
    """A column that a template names; `meta.subject` is also `subject` within the column `meta`."""

    name: str


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A template, taken apart.

    Attributes:
        frame: the template with `{question}` in the place of the problem's text.
        text: literal pieces and columns of that text; empty: the question as it stands.
    """

    frame: str
    text: tuple[str | ColumnName, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the text is made of, as the template names them; empty: the question alone."""
        return tuple(piece.name for piece in self.text if isinstance(piece, ColumnName))


def parse_template(template: str) -> PromptTemplate:
    r"""Take a template apart.

    >>> parse_template("Solve {question}\n{choices}\nA:").frame
    'Solve {question}\nA:'
    >>> parse_template(r"{question} Put it in \boxed{answer}, as \frac{a}{b}.").names
    ()

    Raises:
        ValueError: it names no column.
    """
    pieces: list[str | ColumnName] = []
    end = 0
    for found in _PART.finditer(template):
        if found["name"] not in (None, QUESTION_NAME) and _AFTER_COMMAND.search(template[: found.start()]):
            continue
        pieces.append(template[end : found.start()])
        end = found.end()
        if found["text"] == QUESTION_NAME:  # a question in braces
            pieces += ["{", ColumnName(QUESTION_NAME), "}"]
        else:
            pieces.append(ColumnName(found["name"].strip('"')) if found["name"] else f"{{{found['text']}}}")
    pieces.append(template[end:])
    at = [number for number, piece in enumerate(pieces) if isinstance(piece, ColumnName)]
    if not at:
        raise ValueError("must contain {question}, or name another column in braces")
    columns = {piece.name for piece in pieces if isinstance(piece, ColumnName)}
    if columns == {QUESTION_NAME}:
        return PromptTemplate("".join(_in_frame(piece) for piece in pieces), ())
    before, after = ("".join(map(_in_frame, part)) for part in (pieces[: at[0]], pieces[at[-1] + 1 :]))
    text = tuple(piece for piece in pieces[at[0] : at[-1] + 1] if piece)
    return PromptTemplate(f"{before}{{{QUESTION_NAME}}}{after}", text)


def _in_frame(piece: str | ColumnName) -> str:
    return piece if isinstance(piece, str) else f"{{{QUESTION_NAME}}}"


def column_heads(names: Sequence[str]) -> frozenset[str]:
    """Columns of a file that values of these names may be found in."""
    return frozenset(head for name in names for head in (name, name.partition(".")[0]))


def has_value(row: Mapping[str, object], name: str) -> bool:
    """Whether a row has what a template names, null or not."""
    return _found(row, name)[0]


def text_of(row: Mapping[str, object], text: Sequence[str | ColumnName], question: str) -> str:
    """The text of a problem.

    Args:
        row: of a file.
        text: as in `PromptTemplate`.
        question: column that `{question}` stands for.

    Raises:
        LineError: a value is missing, or is none that can be written as text.
    """
    return "".join(
        piece if isinstance(piece, str) else value_text(row, question if piece.name == QUESTION_NAME else piece.name)
        for piece in text
    )


def value_text(row: Mapping[str, object], name: str) -> str:
    r"""A value as text: a text as it stands, choices as lettered lines, other objects as JSON.

    >>> value_text({"choices": ["3", "4"]}, "choices")
    'A. 3\nB. 4'
    >>> value_text({"meta": {"subject": "algebra"}}, "meta.subject")
    'algebra'

    Raises:
        LineError: there is none, or it is no text.
    """
    there, value = _found(row, name)
    if not there:
        raise LineError(f"there is no {name!r}, which the prompt names; the columns are: {', '.join(map(repr, row))}")
    if value is None:
        raise LineError(f"{name!r} is null or empty, and the prompt names it; fill it, or leave the line out")
    if isinstance(value, _SCALARS):
        return _scalar_text(value)
    choices = _choices(value)
    if choices is not None:
        return "\n".join(f"{label}. {choice}" for label, choice in choices)
    return _json_text(value, name)


def carried_text(row: Mapping[str, object], name: str) -> str | None:
    """A value as text for the tables: as it stands, objects as JSON; None where it is null, or not there.

    Raises:
        LineError: it cannot be written as text.
    """
    _, value = _found(row, name)
    if value is None:
        return None
    return _scalar_text(value) if isinstance(value, _SCALARS) else _json_text(value, name)


def _scalar_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json_text(value: object, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise LineError(f"{name!r} cannot be written as text ({error})") from error


def _choices(value: object) -> list[tuple[object, object]] | None:
    """Label and text of each choice: of a list, of {"label": [...], "text": [...]}, of {"A": ..., "B": ...}."""
    if isinstance(value, dict):
        labels, texts = value.get("label"), value.get("text")
        if set(value) == {"label", "text"} and isinstance(labels, list) and isinstance(texts, list):
            return list(zip(labels, texts, strict=True)) if len(labels) == len(texts) else None
        lettered = all(len(str(key)) == 1 for key in value) and all(
            isinstance(each, _SCALARS) for each in value.values()
        )
        return list(value.items()) if value and lettered else None
    if isinstance(value, list) and value and all(isinstance(each, _SCALARS) for each in value):
        return list(zip(ascii_uppercase, value, strict=False)) if len(value) <= len(ascii_uppercase) else None
    return None


def _found(row: Mapping[str, object], name: str) -> tuple[bool, object]:
    """Whether it is there, and the value: a column of that name, else within a column."""
    if name in row:
        return True, row[name]
    value: object = row
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return False, None
    return True, value
