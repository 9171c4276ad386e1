"""The rows of a run problem by problem, in one pass over its parts: what is held is one commit and the open problems.

A problem's steps and requests become visible with its row or before it, never after. So its record is whole when the
commit of its row has been read.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeVar

from records.rows import ProblemRecord, ProblemRow, RequestRow, StepRow
from records.run_folder import layout
from records.run_folder.commits import Part
from records.run_folder.layout import Table
from records.run_folder.reader import Run
from records.schemas import to_rows

_RowT = TypeVar("_RowT", StepRow, RequestRow)


def records_of(run: Run) -> Iterator[ProblemRecord]:
    """Every problem with a row, in the order in which they were committed; its steps by node, its requests by number.

    Rows of `rollouts` are left out; so are problems that are still open.

    Raises:
        StoreFailed: a part is gone or damaged.
    """
    steps: defaultdict[str, list[StepRow]] = defaultdict(list)
    requests: defaultdict[str, list[RequestRow]] = defaultdict(list)
    for _, group in groupby(run.log.parts, key=lambda part: layout.part_commit(part.name)):
        parts = list(group)
        _add(steps, to_rows(StepRow, run.rows_of("steps", _of("steps", parts))))
        _add(requests, to_rows(RequestRow, run.rows_of("requests", _of("requests", parts))))
        for row in to_rows(ProblemRow, run.rows_of("problems", _of("problems", parts))):
            yield ProblemRecord(
                problem=row,
                steps=tuple(sorted(steps.pop(row.problem_id, ()), key=lambda step: step.node_id)),
                requests=tuple(sorted(requests.pop(row.problem_id, ()), key=lambda request: request.request)),
            )


def _of(table: Table, parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if part.table == table]


def _add(held: defaultdict[str, list[_RowT]], rows: Iterable[_RowT]) -> None:
    for row in rows:
        held[row.problem_id].append(row)
