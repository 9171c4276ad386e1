"""Rows on their way to the writer: as columns, because those travel as they lie in memory and rows one by one.

records of problems that end, or go on --packed_rows--> (rows of problems, columns of the other tables)
"""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from records.rows import OpenRecord, ProblemRecord, ProblemRow, RequestRow, StepRow
from records.run_folder.layout import Table
from records.schemas import Row, to_batch

SLICE_ROWS = 2048
"""Rows that are packed at a time: some 20 ms, for which whoever packs them does nothing else."""


class Columns(NamedTuple):
    """Some rows of one table, in order; `of_open`: their problems have not ended."""

    table: Table
    of_open: bool
    rows: pa.RecordBatch


class RowSlice(NamedTuple):
    """As `Columns`, and not packed yet."""

    table: Table
    of_open: bool
    rows: list[Row]


def packed_rows(
    records: Sequence[ProblemRecord], opened: Sequence[OpenRecord] = ()
) -> tuple[list[ProblemRow], list[Columns]]:
    """What the writer takes of problems that have ended, and of some that have not; no columns where there is no row.

    Raises:
        AssertionError: a record holds another problem's rows: a bug of the caller that must not reach the tables.
        ValueError: a row does not fit its table.
    """
    return [record.problem for record in records], [packed(one) for one in row_slices(records, opened)]


def row_slices(records: Sequence[ProblemRecord], opened: Sequence[OpenRecord] = ()) -> list[RowSlice]:
    """The rows of `packed_rows` but for the problems' own, by table, in slices of `SLICE_ROWS`.

    Raises:
        AssertionError: as there.
    """
    for going_on in opened:
        _check_owner(going_on.problem_id, going_on.steps, going_on.requests)
    for ended in records:
        _check_owner(ended.problem.problem_id, ended.steps, ended.requests)
    tables: list[tuple[Table, bool, list[Row]]] = [
        ("steps", True, [step for record in opened for step in record.steps]),
        ("requests", True, [request for record in opened for request in record.requests]),
        ("steps", False, [step for record in records for step in record.steps]),
        ("requests", False, [request for record in records for request in record.requests]),
        ("rollouts", False, [rollout for record in records for rollout in record.rollouts]),
    ]
    return [
        RowSlice(table, of_open, rows[begin : begin + SLICE_ROWS])
        for table, of_open, rows in tables
        for begin in range(0, len(rows), SLICE_ROWS)
    ]


def packed(rows: RowSlice) -> Columns:
    """Raises `ValueError` where a row does not fit its table."""
    return Columns(rows.table, rows.of_open, to_batch(rows.table, rows.rows))


def _check_owner(problem_id: str, steps: Sequence[StepRow], requests: Sequence[RequestRow]) -> None:
    strays = {row.problem_id for rows in (steps, requests) for row in rows} - {problem_id}
    if strays:
        raise AssertionError(f"the record of problem {problem_id!r} holds rows of {min(strays)!r}")
