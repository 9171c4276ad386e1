"""What a writer was given and has not put into parts yet, and the guard against a problem that comes twice."""

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from actors.writer.seen_ids import SeenIds
from records.packing import Columns
from records.rows import ProblemRow
from records.run_folder.commits import OpenRows
from records.run_folder.layout import Table


class Buffer:
    """Rows on their way to the next commit.

    Args:
        done: ids of the problems that have a visible row.
        batches: numbers of the visible batches.
    """

    def __init__(self, done: Iterable[str], batches: Iterable[int]) -> None:
        self._ids = SeenIds(done)
        self._batches = set(batches)
        self._waiting: list[int] = []
        self._columns: list[Columns] = []
        self._open_tokens: dict[str, int] = {}
        self.problems: list[ProblemRow] = []

    def __len__(self) -> int:
        """Finished problems that wait."""
        return len(self.problems)

    @property
    def empty(self) -> bool:
        """Whether no row waits."""
        return not self.problems and not self._columns

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of the batches of rows that wait."""
        return tuple(self._waiting)

    @property
    def open_rows(self) -> tuple[OpenRows, ...]:
        """The problems with rows that do not end here, with the tokens that wait of each."""
        ended = {problem.problem_id for problem in self.problems}
        tokens = self._open_tokens.items()
        return tuple(OpenRows(problem_id, number) for problem_id, number in tokens if problem_id not in ended)

    def rows_of(self, table: Table) -> pa.Table | None:
        """The rows of a table that wait, but for `problems`: those of open problems first. None: there are none."""
        known = [one for one in self._columns if one.table == table]
        batches = [one.rows for of_open in (True, False) for one in known if one.of_open is of_open]
        return pa.Table.from_batches(batches) if batches else None

    def append(self, batch: int, problems: Sequence[ProblemRow], columns: Sequence[Columns] = ()) -> None:
        """Take a batch in: problems that ended, and rows of these and of others. A known number is ignored.

        Raises:
            AssertionError: a problem has a row already, or the known batch held other problems: a bug of the caller
                that must not reach the tables.
        """
        ids = [problem.problem_id for problem in problems]
        if batch in self._batches:
            if not all(problem_id in self._ids for problem_id in ids):
                raise AssertionError(f"batch {batch} was appended before, with other problems")
            return
        opened = _open_tokens(columns)
        for problem_id in opened:
            if problem_id in self._ids:
                raise AssertionError(f"batch {batch}: problem {problem_id!r} has a row, and is not open")
        fresh: set[str] = set()
        for problem_id in ids:
            if problem_id in self._ids or problem_id in fresh:
                raise AssertionError(f"batch {batch}: problem {problem_id!r} has a row already")
            fresh.add(problem_id)
        for problem_id in fresh:
            self._ids.add(problem_id)
        self._batches.add(batch)
        self.problems.extend(problems)
        self._columns.extend(columns)
        for problem_id, tokens in opened.items():
            self._open_tokens[problem_id] = self._open_tokens.get(problem_id, 0) + tokens
        self._waiting.append(batch)

    def clear(self) -> None:
        """Forget what waits, now that it is in parts."""
        self.problems, self._columns, self._open_tokens, self._waiting = [], [], {}, []

    def check_complete(self, problem_ids: Collection[str]) -> None:
        """Raises `AssertionError` unless each of `problem_ids`, and nothing else, was taken in or done before."""
        wanted = set(problem_ids)
        if len(wanted) != len(problem_ids):
            raise AssertionError(f"{len(problem_ids) - len(wanted)} problem ids of the input come twice")
        strange = [problem_id for problem_id in self._ids if problem_id not in wanted]
        owed = wanted - set(self._ids) if len(self._ids) - len(strange) < len(wanted) else set()
        for what, ids in (("has no row", owed), ("is not in the input", strange)):
            if ids:
                raise AssertionError(f"problem {min(ids)!r} {what}, like {len(ids) - 1} others")


def _open_tokens(columns: Sequence[Columns]) -> dict[str, int]:
    """Of each open problem with rows, in the order of its requests, the tokens of its steps."""
    tokens: dict[str, int] = {}
    for requests in (one.rows for one in columns if one.of_open and one.table == "requests"):
        for problem_id in pc.unique(requests.column("problem_id")).to_pylist():
            tokens.setdefault(problem_id, 0)
    for rows in (one.rows for one in columns if one.of_open and one.table == "steps"):
        sums = pa.Table.from_batches([rows]).group_by("problem_id", use_threads=False)
        for row in sums.aggregate([("generated_tokens", "sum")]).to_pylist():
            tokens[row["problem_id"]] = tokens.get(row["problem_id"], 0) + row["generated_tokens_sum"]
    return tokens
