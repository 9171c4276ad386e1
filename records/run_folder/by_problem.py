"""The rows of a run problem by problem, in one pass over its parts: what is held is one commit and the open problems.

A problem's steps and requests become visible with its row or before it, never after. So its record is whole when all
that came with the commit of its row, or before, has been read.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Generic, TypeVar

import pyarrow as pa

from records.rows import ProblemRecord, ProblemRow, RequestRow, StepRow
from records.run_folder.layout import Table
from records.run_folder.reader import Run
from records.schemas import SCHEMAS, to_rows

_RowT = TypeVar("_RowT", StepRow, RequestRow)


def records_of(run: Run) -> Iterator[ProblemRecord]:
    """Every problem with a row, in the order in which they were committed; its steps by node, its requests by number.

    Rows of `rollouts` are left out; so are problems that are still open.

    Raises:
        StoreFailed: a part is gone or damaged.
    """
    steps, requests = _Ahead(run, "steps", StepRow), _Ahead(run, "requests", RequestRow)
    for commit, batch in run.batches_by_commit("problems", SCHEMAS["problems"].names):
        steps.read_up_to(commit)
        requests.read_up_to(commit)
        for row in to_rows(ProblemRow, pa.Table.from_batches([batch])):
            yield ProblemRecord(
                problem=row,
                steps=tuple(sorted(steps.take(row.problem_id), key=lambda step: step.node_id)),
                requests=tuple(sorted(requests.take(row.problem_id), key=lambda request: request.request)),
            )


class _Ahead(Generic[_RowT]):
    """The rows of a table as far as they were read, by problem."""

    def __init__(self, run: Run, table: Table, row_type: type[_RowT]) -> None:
        self._row_type: type[_RowT] = row_type
        self._batches = run.batches_by_commit(table, SCHEMAS[table].names)
        self._next = next(self._batches, None)
        self._held: defaultdict[str, list[_RowT]] = defaultdict(list)

    def read_up_to(self, commit: int) -> None:
        """Read what came with this commit, or before it."""
        while self._next is not None and self._next[0] <= commit:
            for row in to_rows(self._row_type, pa.Table.from_batches([self._next[1]])):
                self._held[row.problem_id].append(row)
            self._next = next(self._batches, None)

    def take(self, problem_id: str) -> list[_RowT]:
        """What was read of a problem; it is held no longer."""
        return self._held.pop(problem_id, [])
