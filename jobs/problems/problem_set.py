"""Problem files: read, checked as a whole before anything is started, and read again, row by row, while it runs.

    inspect_problems(path) -> ProblemSet     every row checked, all mistakes told at once (InvalidInput)
    iter(ProblemSet) -> Problem, ...         later passes, lazily; a file that has changed meanwhile is refused

The same problems as JSON Lines, CSV and Parquet are the same `ProblemSet`. Of each problem 8 bytes are held, a hash of
its id, to find duplicates.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cluster.hub import HUB_FILES
from jobs.problems.columns import ProblemColumns, ResolvedColumns, resolved_columns
from jobs.problems.file_rows import LineError, NoColumns
from jobs.problems.files import place, rows, unit
from jobs.problems.rows import canonical_bytes, checked_problem
from records.bounded import quoted
from records.failure import InvalidInput
from records.problem import Problem

__all__ = ["ProblemColumns", "ProblemSet", "ResolvedColumns", "inspect_problems"]

SHOWN_DOUBTS = 3
"""Answer keys that cannot be read, in a warning."""
MAX_ERRORS = 20
"""Mistakes that one message lists."""
MAX_MISTAKE_CHARS = 500
"""Of each."""
MAX_REPEATED_IDS = 10_000
"""Repeated ids that are looked up in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSet:
    """A problem file that has been checked; iterating reads it again.

    Attributes:
        limit: only the first so many problems are selected, and looked at; None takes all.
        num_references: selected problems with an answer key.
        fingerprint: sha256 over the selected (id, question, reference) in order: layout and other columns do not count.
        warnings: what the user should be told, a sentence each.
    """

    path: str
    wanted: ProblemColumns
    columns: ResolvedColumns
    limit: int | None
    num_problems: int
    num_references: int
    fingerprint: str
    warnings: tuple[str, ...]

    @property
    def said(self) -> str:
        """What was found, and which columns it is read from."""
        key = f", key from {self.columns.reference!r}" if self.columns.reference is not None else ", no key"
        ids = "row numbers" if self.columns.problem_id is None else repr(self.columns.problem_id)
        asked = " and ".join(map(repr, self.columns.asked))
        return f"{self.num_problems} problems: question from {asked}{key}, id from {ids}"

    def __iter__(self) -> Iterator[Problem]:
        """The selected problems, in the file's order.

        Raises:
            InvalidInput: the file is not the one that was inspected; found at the latest after its last problem.
        """
        fingerprint = hashlib.sha256()
        for row_number, (number, columns) in _numbered_rows(self.path, self.wanted, self.limit):
            try:
                if isinstance(columns, LineError):
                    raise columns
                problem = checked_problem(row_number, columns, self.columns)
            except LineError as error:
                raise InvalidInput(
                    f"{place(self.path, number)}: {error} (the file has changed since it was checked)"
                ) from error
            fingerprint.update(canonical_bytes(problem))
            yield problem
        if fingerprint.hexdigest() != self.fingerprint:
            raise InvalidInput(
                f"{self.path}: the file has changed since it was checked; start again with one that stays"
            )


def inspect_problems(
    path: str | Path,
    columns: ProblemColumns,
    limit: int | None = None,
    reference_mistake: Callable[[str], str | None] = lambda _: None,
    reference_doubt: Callable[[str], str | None] = lambda _: None,
) -> ProblemSet:
    """Check a problem file, or its first `limit` problems.

    Args:
        path: JSON Lines, CSV or Parquet; see `jobs.problems.files`.
        columns: which ones to read.
        limit: look at the first so many problems; None at all.
        reference_mistake: says why an answer key is none that the grader can use; None where it is.
        reference_doubt: says what of a key cannot be read, so that only the same text has a verdict; None where it can.

    Raises:
        InvalidInput: with up to `MAX_ERRORS` mistakes, each with its line (of Parquet the row) and what to do.
    """
    if limit is not None and limit < 1:
        raise InvalidInput(f"--limit must be at least 1, got {limit}")
    check = _Check(_pinned(str(path)), columns, limit, reference_mistake, reference_doubt)
    check.read()
    if len(check.mistakes) < MAX_ERRORS:
        check.find_repeated_ids()
    mistakes = [
        f"{place(check.path, number)}: {quoted(text, MAX_MISTAKE_CHARS)}"
        for number, text in sorted(check.mistakes)[:MAX_ERRORS]
    ]
    if mistakes:
        found = f"the first {MAX_ERRORS} mistakes" if len(mistakes) == MAX_ERRORS else "mistakes"
        raise InvalidInput("\n  ".join([f"{path}: {found}; nothing was started", *mistakes]))
    if check.columns is None:
        raise InvalidInput(f"{path}: there are no problems in it; write one per line or row")
    return ProblemSet(
        # The controller reads it again, from wherever its process happens to stand.
        path=check.path if "://" in check.path else str(Path(check.path).absolute()),
        wanted=columns,
        columns=check.columns,
        limit=limit,
        num_problems=check.num_problems,
        num_references=check.num_references,
        fingerprint=check.fingerprint.hexdigest(),
        warnings=(*_warnings(check.columns, check.num_problems, check.num_references), *_doubts(check)),
    )


def _pinned(path: str) -> str:
    """A file of a hub at the commit that it means now: a later pass, and the controller, read the same."""
    if not path.startswith(HUB_FILES):
        return path
    from cluster.hub import pinned_hub_file

    return pinned_hub_file(path)


class _Check:
    """One look at a file, and what it has found.

    Attributes:
        columns: None before the first row that can be read.
        mistakes: (line or row, what and what to do).
        doubts: what of the first few answer keys cannot be read; `num_doubts` of all.
    """

    def __init__(
        self,
        path: str,
        wanted: ProblemColumns,
        limit: int | None,
        reference_mistake: Callable[[str], str | None],
        reference_doubt: Callable[[str], str | None],
    ) -> None:
        self.path, self.wanted, self.limit = path, wanted, limit
        self.columns: ResolvedColumns | None = None
        self.num_problems = self.num_references = 0
        self.fingerprint = hashlib.sha256()
        self.mistakes: list[tuple[int, str]] = []
        self.doubts: list[str] = []
        self.num_doubts = 0
        self._reference_mistake, self._reference_doubt = reference_mistake, reference_doubt
        self._id_hashes = array("Q")

    def read(self) -> None:
        """Check every row by itself."""
        for row_number, (number, columns) in _numbered_rows(self.path, self.wanted, self.limit):
            try:
                self._add(self._problem(row_number, columns))
            except LineError as error:
                self.mistakes.append((number, str(error)))
                if len(self.mistakes) == MAX_ERRORS or isinstance(error, NoColumns):
                    return

    def find_repeated_ids(self) -> None:
        """Read the ids again if two have the same hash: which rows are they on?"""
        repeated = _repeated(self._id_hashes)
        if not repeated:
            return
        first: dict[str, int] = {}
        for row_number, (number, columns) in _numbered_rows(self.path, self.wanted, self.limit):
            try:
                problem_id = self._problem(row_number, columns).problem_id
            except LineError:
                continue
            if _hash_of(problem_id) in repeated and first.setdefault(problem_id, number) != number:
                earlier = f"{unit(self.path)} {first[problem_id]}"
                self.mistakes.append((number, f"the id {problem_id!r} is also that of {earlier}; ids must differ"))
                if len(self.mistakes) >= MAX_ERRORS:
                    return

    def _problem(self, row_number: int, columns: dict[str, object] | LineError) -> Problem:
        if isinstance(columns, LineError):
            raise columns
        self.columns = self.columns or resolved_columns(columns, self.wanted)
        return checked_problem(row_number, columns, self.columns)

    def _add(self, problem: Problem) -> None:
        if self.columns is not None and self.columns.problem_id is not None:  # made-up ids differ
            self._id_hashes.append(_hash_of(problem.problem_id))
        mistake = None if problem.reference is None else self._reference_mistake(problem.reference)
        if mistake is not None:
            raise LineError(mistake)
        doubt = None if problem.reference is None else self._reference_doubt(problem.reference)
        if doubt is not None:
            self.num_doubts += 1
            self.doubts += [doubt] if len(self.doubts) < SHOWN_DOUBTS else []
        self.num_problems += 1
        self.num_references += problem.reference is not None
        self.fingerprint.update(canonical_bytes(problem))


def _numbered_rows(
    path: str, wanted: ProblemColumns, limit: int | None
) -> Iterator[tuple[int, tuple[int, dict[str, object] | LineError]]]:
    """(how many-th row from 1, row)."""
    return enumerate(islice(rows(path, wanted.names()), limit), start=1)


def _hash_of(problem_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(problem_id.encode(), digest_size=8).digest())


def _repeated(hashes: "array[int]") -> frozenset[int]:
    """Values that are there more than once; at most `MAX_REPEATED_IDS` of them."""
    import numpy as np

    if len(hashes) < 2:
        return frozenset()
    ordered = np.sort(np.frombuffer(hashes, dtype=np.uint64))
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return frozenset(repeated[:MAX_REPEATED_IDS].tolist())


def _doubts(check: _Check) -> list[str]:
    if not check.num_doubts:
        return []
    counted = f"{check.num_doubts} of {check.num_references} answer keys cannot be read"
    return [f"{counted}: an answer that is not the same text has no verdict (null): {'; '.join(check.doubts)}"]


def _warnings(columns: ResolvedColumns, num_problems: int, num_references: int) -> tuple[str, ...]:
    warnings = []
    if columns.problem_id is None:
        warnings.append("no id column: ids are made from row numbers (row-000001), so moving a row renames a problem")
    if columns.reference is None:
        where = "" if columns.reference_required else f": no column is known to hold one, of {columns.others or 'none'}"
        warnings.append(f"no answer key is read{where}; nothing will be graded unless problems.reference names it")
    elif num_references < num_problems:
        warnings.append(f"{num_problems - num_references} of {num_problems} problems have no answer key: not graded")
    return tuple(warnings)
