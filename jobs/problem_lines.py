"""One line of a problem file: which columns it has, and the problem that it holds or the mistake that it makes."""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from records.problem import Problem

AUTO = "auto"
MAX_ID_CHARS = 512

ID_COLUMNS = ("problem_id", "unique_id", "id")
QUESTION_COLUMNS = ("question", "problem")
REFERENCE_COLUMNS = ("answer", "reference")
ANSWER_MARKER = "####"
"""GSM8K's: the worked solution, then this, then the final answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemColumns:
    """Which columns to read; "auto" takes the first known name that the first line has."""

    problem_id: str = AUTO
    """Auto: problem_id, unique_id or id; without any, ids are made from the line numbers."""
    question: str = AUTO
    """Auto: question or problem."""
    reference: str = AUTO
    """Auto: answer or reference; without any, nothing is graded. An empty text: read no key, whatever there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedColumns:
    """The columns that a file is read by.

    Attributes:
        problem_id: None: ids are made from line numbers.
        reference: None: the file has no answer key.
        reference_required: the user named the column, so every line must have it.
        reference_marked: the answer key is what follows the last `ANSWER_MARKER`.
    """

    problem_id: str | None
    question: str
    reference: str | None
    reference_required: bool
    reference_marked: bool


class LineError(Exception):
    """One mistake: what it is and what to do. The place is added by who knows the line."""


class NoColumns(LineError):
    """It is not even known what to read, so there is no use in looking at the next line."""


def parsed_line(line: bytes) -> dict[str, object]:
    """The object that a line is. Raises `LineError`."""
    try:
        row = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise LineError(f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise LineError(f"not JSON: {error.msg} (character {error.pos + 1}); write one object per line") from error
    except (ValueError, RecursionError) as error:
        raise LineError(f"JSON that cannot be read: {error}") from error
    if not isinstance(row, dict):
        raise LineError("not an object, {...}; write one per line (of an array: jq -c '.[]' FILE)")
    return row


def resolved_columns(row: dict[str, object], wanted: ProblemColumns) -> ResolvedColumns:
    """Settle the columns by the first line that is an object. Raises `NoColumns`."""
    reference = _column(row, wanted.reference, REFERENCE_COLUMNS) if wanted.reference else None
    question = _column(row, wanted.question, QUESTION_COLUMNS)
    if question is None:
        raise NoColumns(f"no question: neither {' nor '.join(QUESTION_COLUMNS)} is a column; {_there_are(row)}")
    answer = None if reference is None else row[reference]
    return ResolvedColumns(
        problem_id=_column(row, wanted.problem_id, ID_COLUMNS),
        question=question,
        reference=reference,
        reference_required=wanted.reference != AUTO,
        reference_marked=isinstance(answer, str) and ANSWER_MARKER in answer,
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _column(row: dict[str, object], wanted: str, known: Sequence[str]) -> str | None:
    if wanted == AUTO:
        return next((name for name in known if name in row), None)
    if wanted not in row:
        raise NoColumns(f"there is no column {wanted!r}, which the recipe names; {_there_are(row)}")
    return wanted


def _there_are(row: dict[str, object]) -> str:
    return f"the columns are: {', '.join(map(repr, row)) or 'none'}"


def checked_problem(number: int, row: dict[str, object], columns: ResolvedColumns) -> Problem:
    """The problem on line `number`. Raises `LineError`."""
    for column in (columns.problem_id, columns.question, columns.reference if columns.reference_required else None):
        if column is not None and column not in row:
            raise LineError(f"there is no column {column!r}, which the first line has; {_there_are(row)}")
    question = row[columns.question]
    if not isinstance(question, str):
        raise LineError(f"{columns.question!r} must be a text, not {_kind(question)}")
    if not question.strip():
        raise LineError(f"{columns.question!r} is empty; leave the line out")
    problem_id = f"line-{number:06}" if columns.problem_id is None else _checked_id(row[columns.problem_id])
    problem = Problem(problem_id, question, _reference(row, columns))
    try:
        canonical_bytes(problem)
    except UnicodeEncodeError as error:
        raise LineError("there is half of a surrogate pair (\\ud800 to \\udfff), which is no character") from error
    return problem


def _checked_id(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise LineError(f"the id must be a text or an integer, not {_kind(value)}")
    problem_id = str(value)
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
    value = None if columns.reference is None else row.get(columns.reference)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise LineError(f"{columns.reference!r} must be a text or a number, not {_kind(value)}")
    _, marker, final = str(value).rpartition(ANSWER_MARKER)
    if columns.reference_marked and not marker:
        raise LineError(f"{columns.reference!r} has no {ANSWER_MARKER!r} before the final answer; the first line has")
    reference = final.strip() if columns.reference_marked else str(value)
    if not reference.strip():
        raise LineError(f"{columns.reference!r} is empty; write null where there is no answer key")
    return reference


def _kind(value: object) -> str:
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return kinds.get(type(value), "an array" if isinstance(value, list) else "an object")


def canonical_bytes(problem: Problem) -> bytes:
    """What a fingerprint is taken of. Raises `UnicodeEncodeError`, but not for a checked problem."""
    fields = (problem.problem_id, problem.question, problem.reference)
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
