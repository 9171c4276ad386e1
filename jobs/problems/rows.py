"""One row of a problem file: the problem that it holds, or the mistake that it makes."""

import json
import math
import unicodedata
from decimal import Decimal

from jobs.problems.columns import ANSWER_MARKER, KeyForm, ResolvedColumns, there_are
from jobs.problems.file_rows import LineError
from jobs.problems.templates import carried_text, text_of
from records.problem import Problem
from scaling.answers.boxes import boxed_answer

MAX_ID_CHARS = 512


def checked_problem(row_number: int, row: dict[str, object], columns: ResolvedColumns) -> Problem:
    """The problem in a row; `row_number` counts the rows from 1, whatever lines they are on. Raises `LineError`."""
    asked = None if columns.text else columns.question
    for column in (columns.problem_id, asked, columns.reference if columns.reference_required else None):
        if column is not None and column not in row:
            raise LineError(f"there is no column {column!r}, which the first line has; {there_are(row)}")
    question = text_of(row, columns.text, columns.question) if columns.text else row[columns.question]
    if question is not None and not isinstance(question, str):
        raise LineError(f"{columns.question!r} must be a text, not {_kind(question)}")
    if question is None or not question.strip():
        raise LineError(f"{columns.question!r} is empty; leave the line out")
    problem_id = f"row-{row_number:06}" if columns.problem_id is None else _checked_id(row[columns.problem_id])
    carried = tuple((name, carried_text(row, name)) for name in columns.carry)
    problem = Problem(problem_id, question, _reference(row, columns), carried)
    try:
        canonical_bytes(problem)
        "".join(value or "" for _, value in carried).encode()
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
    if isinstance(value, float | Decimal) and not math.isfinite(value):
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
