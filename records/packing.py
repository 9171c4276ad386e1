"""Rows on their way to the writer: as columns, because those travel as they lie in memory and rows one by one.

records of problems that end, or go on --packed_rows--> (rows of problems, columns of the other tables)
"""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from records.rows import OpenRecord, ProblemRecord, ProblemRow, RequestRow, StepRow
from records.run_folder.layout import Table
from records.schemas import Row, to_batch


class Columns(NamedTuple):
    """Some rows of one table, in order; `of_open`: their problems have not ended."""

    table: Table
    of_open: bool
    rows: pa.RecordBatch


def packed_rows(
    records: Sequence[ProblemRecord], opened: Sequence[OpenRecord] = ()
) -> tuple[list[ProblemRow], list[Columns]]:
    """What the writer takes of problems that have ended, and of some that have not; no columns where there is no row.

    Raises:
        AssertionError: a record holds another problem's rows: a bug of the caller that must not reach the tables.
        ValueError: a row does not fit its table.
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
    columns = [Columns(table, of_open, to_batch(table, rows)) for table, of_open, rows in tables if rows]
    return [record.problem for record in records], columns


def _check_owner(problem_id: str, steps: Sequence[StepRow], requests: Sequence[RequestRow]) -> None:
    strays = {row.problem_id for rows in (steps, requests) for row in rows} - {problem_id}
    if strays:
        raise AssertionError(f"the record of problem {problem_id!r} holds rows of {min(strays)!r}")
