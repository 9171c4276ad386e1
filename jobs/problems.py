"""Problem files: read, checked as a whole before anything is started, and read again, line by line, while it runs.

    inspect_problems(path) -> ProblemSet     one pass: every line checked, all mistakes told at once (InvalidInput)
    iter(ProblemSet) -> Problem, ...         later passes, lazily; a file that has changed meanwhile is refused

A file is JSON Lines: one object per line, UTF-8. A byte order mark and blank lines are tolerated. Only the ids are held
in memory, to find duplicates.
"""

import codecs
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from jobs.problem_lines import (
    LineError,
    NoColumns,
    ProblemColumns,
    ResolvedColumns,
    canonical_bytes,
    checked_problem,
    parsed_line,
    resolved_columns,
)
from records.failure import InvalidInput
from records.problem import Problem

__all__ = ["ProblemColumns", "ProblemSet", "ResolvedColumns", "inspect_problems"]

MAX_ERRORS = 20
"""Mistakes that one message lists."""
_NOT_READ_YET = (".parquet", ".csv", ".tsv", ".gz", ".zst", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSet:
    """A problem file that has been checked; iterating reads it again.

    Attributes:
        limit: only the first so many problems are selected, and looked at; None takes all.
        num_references: selected problems with an answer key.
        fingerprint: sha256 over the selected (id, question, reference) in order: layout and other columns do not count.
        ids_sha256: over the selected ids, sorted: equal where only texts or the order differ.
        warnings: what the user should be told, a sentence each.
    """

    path: str
    columns: ResolvedColumns
    limit: int | None
    num_problems: int
    num_references: int
    fingerprint: str
    ids_sha256: str
    warnings: tuple[str, ...]

    @property
    def has_reference(self) -> bool:
        """At least one problem can be graded."""
        return self.num_references > 0

    def __iter__(self) -> Iterator[Problem]:
        """The selected problems, in the file's order.

        Raises:
            InvalidInput: the file is not the one that was inspected; found at the latest after its last problem.
        """
        fingerprint = hashlib.sha256()
        for number, line in islice(_lines(self.path), self.limit):
            try:
                problem = checked_problem(number, parsed_line(line), self.columns)
            except LineError as error:
                raise InvalidInput(
                    f"{self.path}:{number}: {error} (the file has changed since it was checked)"
                ) from error
            fingerprint.update(canonical_bytes(problem))
            yield problem
        if fingerprint.hexdigest() != self.fingerprint:
            raise InvalidInput(
                f"{self.path}: the file has changed since it was checked; start again with one that stays"
            )


def inspect_problems(path: str | Path, columns: ProblemColumns, limit: int | None = None) -> ProblemSet:
    """Check a problem file, or its first `limit` problems, in one pass.

    Raises:
        InvalidInput: with up to `MAX_ERRORS` mistakes, each with its line and what to do.
    """
    if limit is not None and limit < 1:
        raise InvalidInput(f"--limit must be at least 1, got {limit}")
    path, resolved, fingerprint = str(path), None, hashlib.sha256()
    line_of: dict[str, int] = {}
    errors: list[str] = []
    num_references = 0
    for number, line in islice(_lines(path), limit):
        try:
            row = parsed_line(line)
            resolved = resolved or resolved_columns(row, columns)
            problem = checked_problem(number, row, resolved)
            _note_id(problem.problem_id, number, line_of)
        except LineError as error:
            errors.append(f"{path}:{number}: {error}")
            if len(errors) == MAX_ERRORS or isinstance(error, NoColumns):
                break
        else:
            num_references += problem.reference is not None
            fingerprint.update(canonical_bytes(problem))
    if errors:
        found = f"the first {MAX_ERRORS} mistakes" if len(errors) == MAX_ERRORS else "mistakes"
        raise InvalidInput("\n  ".join([f"{path}: {found}; nothing was started", *errors]))
    if resolved is None:
        raise InvalidInput(f"{path}: there are no problems in it; write one JSON object per line")
    return ProblemSet(
        path=path,
        columns=resolved,
        limit=limit,
        num_problems=len(line_of),
        num_references=num_references,
        fingerprint=fingerprint.hexdigest(),
        ids_sha256=hashlib.sha256(json.dumps(sorted(line_of)).encode()).hexdigest(),
        warnings=_warnings(resolved, len(line_of), num_references),
    )


def _note_id(problem_id: str, number: int, line_of: dict[str, int]) -> None:
    first = line_of.setdefault(problem_id, number)
    if first != number:
        raise LineError(f"the id {problem_id!r} is also that of line {first}; ids must differ")


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1."""
    if "://" in path or path.startswith("s3:") or path.lower().endswith(_NOT_READ_YET):
        raise InvalidInput(f"{path}: this version reads uncompressed JSON Lines (.jsonl) files on a local disk only")
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if content.strip():
                    yield number, content
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror}); give a JSON Lines file") from error


def _warnings(columns: ResolvedColumns, num_problems: int, num_references: int) -> tuple[str, ...]:
    warnings = []
    if columns.problem_id is None:
        warnings.append(
            "no id column: ids are made from line numbers (line-000001), so moving a line renames a problem"
        )
    if columns.reference is None:
        warnings.append("no answer key is read: nothing will be graded")
    elif num_references < num_problems:
        warnings.append(f"{num_problems - num_references} of {num_problems} problems have no answer key: not graded")
    return tuple(warnings)
