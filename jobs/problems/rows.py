"""One row of a problem file: which columns it has, and the problem that it holds or the mistake that it makes."""

import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from jobs.problems.files import LineError, NoColumns
from records.problem import Problem
from scaling.answers.boxes import boxed_answer

AUTO = "auto"
NO_REFERENCE = ("", "none")
MAX_ID_CHARS = 512

ID_COLUMNS = ("problem_id", "unique_id", "id")
ANSWER_MARKER = "####"
"""GSM8K's: the worked solution, then this, then the final answer."""


class KeyForm(StrEnum):
    """Where in its column the answer key is."""

    PLAIN = "plain"
    """The column is the key; an `ANSWER_MARKER` in it is a mistake."""
    VERBATIM = "verbatim"
    """The column is the key, whatever is in it."""
    MARKED = "marked"
    """It follows the last `ANSWER_MARKER`."""
    BOXED = "boxed"
    r"""It is in the last `\boxed{...}`."""


class Preset(NamedTuple):
    """The layout of a published data set: names in the order in which they are looked for.

    Attributes:
        form: of the answer key; None: as the first row's looks.
    """

    question: tuple[str, ...]
    reference: tuple[str, ...]
    form: KeyForm | None


_KEYS = ("answer", "reference", "final_answer", "expected_answer", "extracted_groundtruth", "ground_truth", "target")
PRESETS = {
    AUTO: Preset(("question", "problem", "prompt", "input"), (*_KEYS, "solution"), None),
    "gsm8k": Preset(("question",), ("answer",), KeyForm.MARKED),
    "math": Preset(("problem",), ("answer", "solution"), None),
    "generic": Preset(("question",), ("answer", "reference"), KeyForm.VERBATIM),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemColumns:
    """Which columns to read; "auto" takes the one known name that the first row has, whatever its capitals."""

    preset: str = AUTO
    """One of `PRESETS`: which names are known, and where in its column the answer key is."""
    problem_id: str = AUTO
    """Auto: problem_id, unique_id or id; without any, ids are made from the row numbers."""
    question: str = AUTO
    """Auto: question, problem, prompt or input."""
    reference: str = AUTO
    r"""Auto: one of `_KEYS`, else a solution with a box; without any, nothing is graded. "" or "none": read no key."""

    def names(self) -> frozenset[str]:
        """Every column that may be read."""
        preset = PRESETS[self.preset]
        named = (self.problem_id, self.question, self.reference)
        known = (*preset.question, *preset.reference)
        return frozenset((*ID_COLUMNS, *known, *(spelled(name) for name in known for spelled in _SPELLINGS), *named))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedColumns:
    """The columns that a file is read by.

    Attributes:
        problem_id: None: ids are made from row numbers.
        reference: None: the file has no answer key.
        reference_required: the user named the column, so every row must have it.
        form: where in its column the answer key is.
        others: the columns that are not read, for a message.
    """

    problem_id: str | None
    question: str
    reference: str | None
    reference_required: bool
    form: KeyForm
    others: str = ""


_SPELLINGS = (str.capitalize, str.upper, str.title)


def resolved_columns(row: dict[str, object], wanted: ProblemColumns) -> ResolvedColumns:
    """Settle the columns by the first row that can be read. Raises `NoColumns`."""
    preset = PRESETS[wanted.preset]
    question = _column(row, wanted.question, preset.question, "question")
    if question is None:
        raise NoColumns(f"no question: neither {' nor '.join(preset.question)} is a column; {_there_are(row)}")
    reference = (
        None if wanted.reference in NO_REFERENCE else _column(row, wanted.reference, preset.reference, "reference")
    )
    if reference is None and wanted.reference not in NO_REFERENCE and wanted.preset != AUTO:
        raise NoColumns(
            f"no answer key: neither {' nor '.join(preset.reference)} is a column; {_there_are(row)}; "
            'without a key set problems.reference to "none"'
        )
    form = KeyForm.PLAIN if reference is None else preset.form or _form(reference, row[reference], wanted.preset)
    if (
        reference is not None
        and reference.casefold() == "solution"
        and wanted.preset == wanted.reference == AUTO
        and form is not KeyForm.BOXED
    ):
        reference = None  # a worked solution is no key
    problem_id = _column(row, wanted.problem_id, ID_COLUMNS, "problem_id")
    return ResolvedColumns(
        problem_id=problem_id,
        question=question,
        reference=reference,
        reference_required=wanted.reference != AUTO,
        form=form,
        others=", ".join(repr(name) for name in row if name not in (problem_id, question, reference)),
    )


def _form(column: str, answer: object, preset: str) -> KeyForm:
    if column.casefold() == "solution" and (
        preset == "math" or (isinstance(answer, str) and boxed_answer(answer) is not None)
    ):
        return KeyForm.BOXED
    return KeyForm.MARKED if preset == AUTO and isinstance(answer, str) and ANSWER_MARKER in answer else KeyForm.PLAIN


def _column(row: dict[str, object], wanted: str, known: Sequence[str], key: str) -> str | None:
    if wanted == AUTO:
        return _known_column(row, known, key)
    if wanted not in row:
        raise NoColumns(f"there is no column {wanted!r}, which the recipe names; {_there_are(row)}")
    return wanted


def _known_column(row: dict[str, object], known: Sequence[str], key: str) -> str | None:
    """The column of a known name; of a key, a worked solution counts only where there is nothing else."""
    if key == "problem_id" or len(known) < 3:  # a layout that says what comes first
        return next((name for name in known if name in row), None)
    fitting = [name for name in row if name.casefold() in known]
    found = [name for name in fitting if name.casefold() != "solution"] or fitting
    if len(found) > 1:
        raise NoColumns(
            f"several columns may hold the {'question' if key == 'question' else 'answer key'}: "
            f'{", ".join(map(repr, found))}; say which: problems.{key} = "{found[0]}"'
        )
    return found[0] if found else None


def _there_are(row: dict[str, object]) -> str:
    return f"the columns are: {', '.join(map(repr, row)) or 'none'}"


def checked_problem(row_number: int, row: dict[str, object], columns: ResolvedColumns) -> Problem:
    """The problem in a row; `row_number` counts the rows from 1, whatever lines they are on. Raises `LineError`."""
    for column in (columns.problem_id, columns.question, columns.reference if columns.reference_required else None):
        if column is not None and column not in row:
            raise LineError(f"there is no column {column!r}, which the first line has; {_there_are(row)}")
    question = row[columns.question]
    if question is not None and not isinstance(question, str):
        raise LineError(f"{columns.question!r} must be a text, not {_kind(question)}")
    if question is None or not question.strip():
        raise LineError(f"{columns.question!r} is empty; leave the line out")
    problem_id = f"row-{row_number:06}" if columns.problem_id is None else _checked_id(row[columns.problem_id])
    problem = Problem(problem_id, question, _reference(row, columns))
    try:
        canonical_bytes(problem)
    except UnicodeEncodeError as error:
        raise LineError("there is half of a surrogate pair (\\ud800 to \\udfff), which is no character") from error
    return problem


def _checked_id(value: object) -> str:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise LineError(f"the id must be a text or an integer, not {_kind(value)}")
    problem_id = "" if value is None else str(value)
    if not problem_id.strip():
        raise LineError("the id is empty; give every problem its own")
    if len(problem_id) > MAX_ID_CHARS:
        raise LineError(f"the id has {len(problem_id)} characters; at most {MAX_ID_CHARS} are allowed")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in problem_id):
        raise LineError(f"the id {problem_id!r} has control characters; ids are one line of plain text")
    if problem_id.startswith("/") or ".." in problem_id.split("/"):
        raise LineError(f"the id {problem_id!r} would lead out of the run's folder; drop the leading / and any ..")
    return problem_id


def _reference(row: dict[str, object], columns: ResolvedColumns) -> str | None:
    name = columns.reference
    value = None if name is None else row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise LineError(f"{name!r} must be a text or a number, not {_kind(value)}")
    if not isinstance(value, str) and not math.isfinite(value):
        raise LineError(f"{name!r} is {value}, which is no answer; write null where there is no answer key")
    reference = _key_in(str(value), columns)
    if not reference.strip():
        raise LineError(f"{name!r} is empty; write null where there is no answer key")
    return reference


def _key_in(text: str, columns: ResolvedColumns) -> str:
    _, marker, final = text.rpartition(ANSWER_MARKER)
    if columns.form is KeyForm.MARKED:
        if not marker:
            raise LineError(f"{columns.reference!r} has no {ANSWER_MARKER!r} before the final answer")
        return final.strip()
    if columns.form is KeyForm.BOXED:
        boxed = boxed_answer(text)
        if boxed is None:
            raise LineError(f"{columns.reference!r} has no \\boxed{{...}} with the final answer")
        return boxed
    if columns.form is KeyForm.PLAIN and marker:
        raise LineError(
            f"{columns.reference!r} has {ANSWER_MARKER!r}, and that of the first row has none; where the key is what "
            'follows it set problems.preset to "gsm8k", else to "generic"'
        )
    return text


def _kind(value: object) -> str:
    kinds = {
        type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a text",
        bytes: "bytes", list: "an array", dict: "an object",
    }  # fmt: skip
    return kinds.get(type(value), f"a {type(value).__name__}")


def canonical_bytes(problem: Problem) -> bytes:
    """What a fingerprint is taken of. Raises `UnicodeEncodeError`, but not for a checked problem."""
    canonical = (problem.problem_id, problem.question, problem.reference)
    return json.dumps(canonical, ensure_ascii=False).encode() + b"\n"
