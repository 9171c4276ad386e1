"""Answers by themselves: a file of pairs to be graded, a file of solutions whose answers are to be found.

Each line is an object; what is said of it is the same object with `correct`, or `answer`, added. A line that cannot be
used is refused with its number before anything is graded.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors.grading.grader import Grader, GradeRequest
from jobs.recipes.sections import GraderSection
from records.bounded import parse_json, quoted, read_file
from records.failure import InvalidInput
from scaling.answers.canonical import canonical_answer
from scaling.answers.classes import AnswerPolicy
from scaling.answers.reading import Kind, Reading
from scaling.answers.references import reference_doubt, reference_mistake
from scaling.answers.verdict import read_stated

Line = dict[str, Any]
MAX_FILE_BYTES = 256 * 2**20
"""All of its lines are held at once."""


def graded_lines(file: Path, section: GraderSection) -> list[Line]:
    """The lines of a file of `answer` and `reference`, each with its verdict and how both were read.

    Raises:
        InvalidInput: a line is no such pair, or the grader cannot be loaded.
    """
    lines = [_pair(line, where) for line, where in _lines(file)]
    verdicts, why = asyncio.run(_verdicts(lines, section))
    return [_with_reading(line, verdict, section.kind, why) for line, verdict in zip(lines, verdicts, strict=True)]


def extracted_lines(file: Path, policy: AnswerPolicy) -> list[Line]:
    """The lines of a file of `solution`, each with the answer that it states, or null."""
    found = []
    for line, where in _lines(file):
        solution = line.get("solution")
        if not isinstance(solution, str):
            raise InvalidInput(f"{where}: `solution` must be a text, not {json.dumps(solution)[:60]}")
        found.append({**line, "answer": policy.answer(solution)})
    return found


async def _verdicts(lines: list[Line], section: GraderSection) -> tuple[list[bool | None], dict[str, str]]:
    async with Grader(section.kind, num_workers=section.num_workers, timeout_s=section.timeout_s) as grader:
        requests = [GradeRequest(line["answer"], line["reference"]) for line in lines]
        verdicts = await grader.grade(requests)
        return verdicts, {kind.value: text for kind, text in grader.first_errors.items()}


def _lines(file: Path) -> Iterator[tuple[Line, str]]:
    try:
        text = read_file(file, MAX_FILE_BYTES).decode()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file}: cannot be read ({error}); give a .jsonl file") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            value = parse_json(line)
        except ValueError as error:
            raise InvalidInput(f"{where}: not JSON ({quoted(error)}); write one object per line") from error
        if not isinstance(value, dict):
            raise InvalidInput(f"{where}: not an object; write one per line")
        yield value, where


def _pair(line: Line, where: str) -> Line:
    """The line with its key as a text; a number is one."""
    checked = dict(line)
    for name in ("answer", "reference"):
        value = line.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            checked[name] = str(value)
        elif not isinstance(value, str) and (value is not None or name not in line):
            raise InvalidInput(f"{where}: `{name}` must be a text or a number, not {json.dumps(value)[:60]}")
    return checked


def _with_reading(line: Line, verdict: bool | None, grader: str, why: dict[str, str]) -> Line:
    answer, reference = line["answer"], line["reference"]
    found = {
        **line,
        "correct": verdict,
        "answer_reading": None if answer is None else described(answer),
        "reference_reading": None if reference is None else described(reference),
    }
    if verdict is None:
        found["why"] = _why_not(reference, grader, why)
    return found


def _why_not(reference: str | None, grader: str, why: dict[str, str]) -> str:
    if reference is None:
        return "there is no answer key"
    doubt = reference_doubt(grader, reference)
    known = reference_mistake(grader, reference) or (doubt and f"the answer key cannot be read: {doubt}")
    return known or "; ".join(f"{kind}: {text}" for kind, text in why.items())


def described(answer: str) -> str:
    """How an answer is read, in a few words.

    >>> described("18 dollars"), described("(B) Paris"), described("Evelyn")
    ('mathematics 18 (unit: dollars)', 'choice B', 'text evelyn')
    """
    reading: Reading = read_stated(answer)
    if reading.kind is Kind.UNREADABLE:
        return f"unreadable: {reading.why}"
    form = reading.text if reading.kind in (Kind.CHOICE, Kind.TIME) else canonical_answer(answer)
    unit = f" (unit: {reading.unit})" if reading.unit else ""
    return f"{reading.kind.value} {form}{unit}"
