"""A run as a report reads it: the rows of all problems, and the trees of those that there is room for.

Steps and requests are read for a choice of problems only: those that a reader will ask for first (named on the command
line, failed, open, dearest, slowest, wrong), then a seeded sample of the others.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.reporting.choices import Replayer
from jobs.reporting.trees import Tree, tree_of
from records.failure import InvalidInput
from records.rows import ProblemRow, RequestRow, Status, StepRow
from records.run_folder.layout import Table
from records.run_folder.reader import Run
from records.schemas import SCHEMAS, to_rows

_RowT = TypeVar("_RowT", StepRow, RequestRow)

NUM_EXTREME = 100
"""Dearest problems, and slowest ones, whose trees come before those of others."""
BLOCK_PROBLEMS = 64
"""Problems whose rows are made together."""
MAX_SAMPLED = 2000
"""Problems whose samples are graded, one by one: grading costs time."""


@dataclass(frozen=True, slots=True)
class ReportSource:
    """A run, read once.

    Attributes:
        run: the snapshot.
        rows: of `problems`, in commit order.
        replayer: of its strategy.
        order: problem ids by precedence, open ones included.
        sample: a seeded sample of those that have a row: what is graded and counted, sample by sample.
    """

    run: Run
    rows: Sequence[ProblemRow]
    replayer: Replayer
    order: Sequence[str]
    sample: Sequence[str]

    def trees(self, needed: Callable[[str], bool] = lambda _: True) -> Iterator[Tree]:
        """Of as many problems as are read, by precedence.

        Args:
            needed: of a problem id, asked again before each tree; those of others are not made, which takes longest.
        """
        rows = {row.problem_id: row for row in self.rows}
        wanted = self._readable(rows)
        steps = _Grouped(self._read("steps", wanted), wanted)
        requests = _Grouped(self._read("requests", wanted), wanted)
        for start in range(0, len(wanted), BLOCK_PROBLEMS):
            block = range(start, min(start + BLOCK_PROBLEMS, len(wanted)))
            numbers = [number for number in block if needed(wanted[number])]
            found = zip(numbers, steps.rows(StepRow, numbers), requests.rows(RequestRow, numbers), strict=True)
            for number, own_steps, own_requests in found:
                if needed(problem_id := wanted[number]):
                    yield tree_of(problem_id, rows.get(problem_id), own_steps, own_requests, self.replayer)

    def _readable(self, rows: dict[str, ProblemRow]) -> list[str]:
        """The sample's, and others from the first on, as far as memory goes."""
        must = frozenset(self.sample)
        others = [problem_id for problem_id in self.order if problem_id not in must]
        room = _MOST.minus(rows[problem_id] for problem_id in must)
        fitting = must | frozenset(_fitting(others, rows, room))
        return [problem_id for problem_id in self.order if problem_id in fitting]

    def _read(self, table: Table, wanted: Sequence[str]) -> pa.Table:
        """The rows of these problems, picked out batch by batch: all of a table are never held."""
        ids, schema = pa.array(wanted, pa.string()), SCHEMAS[table]
        batches = self.run.batches(table, schema.names)
        own = (batch.filter(pc.is_in(batch.column("problem_id"), value_set=ids)) for batch in batches)
        return pa.Table.from_batches((batch for batch in own if batch.num_rows), schema)


def read_source(run: Run, *, named: Sequence[str] = ()) -> ReportSource:
    """Read the problem rows of a run, and rank its problems.

    Args:
        run: the snapshot.
        named: ids of problems whose trees come first.

    Raises:
        InvalidInput: the run has no such problem.
        StoreFailed: a part cannot be read.
    """
    rows = to_rows(ProblemRow, run.problems())
    known = {row.problem_id for row in rows} | run.log.open_problems.keys()
    if missing := [problem_id for problem_id in named if problem_id not in known]:
        raise InvalidInput(f"--problem {missing[0]}: {run.uri} has no rows of such a problem")
    shuffled = sorted(row.problem_id for row in rows)
    random.Random(run.manifest.seed).shuffle(shuffled)  # noqa: S311 (no secret)
    order = _precedence(rows, sorted(run.log.open_problems), named, shuffled)
    by_id = {row.problem_id: row for row in rows}
    return ReportSource(
        run, rows, Replayer.of(run.manifest), order, _fitting(shuffled[:MAX_SAMPLED], by_id, _MOST_SAMPLED)
    )


def _precedence(
    rows: Sequence[ProblemRow], opened: Sequence[str], named: Sequence[str], others: Sequence[str]
) -> list[str]:
    """Every problem once, in the order of precedence."""
    wrong = frozenset(row.problem_id for row in rows if row.correct is False)
    ranked = [
        *named,
        *opened,
        *(row.problem_id for row in rows if row.status is Status.FAILED),
        *(row.problem_id for row in dearest(rows, NUM_EXTREME)),
        *(row.problem_id for row in slowest(rows, NUM_EXTREME)),
        *(problem_id for problem_id in others if problem_id in wrong),
        *others,
    ]
    return list(dict.fromkeys(ranked))


def dearest(rows: Sequence[ProblemRow], count: int) -> list[ProblemRow]:
    """By USD where all have a price, else by FLOPs."""
    priced = bool(rows) and all(row.usd is not None for row in rows)
    return sorted(rows, key=lambda row: (-(row.usd or 0.0) if priced else -row.flops, row.problem_id))[:count]


def slowest(rows: Sequence[ProblemRow], count: int) -> list[ProblemRow]:
    """Problems by wall time, the slowest first."""
    return sorted(rows, key=lambda row: (-row.wall_seconds, row.problem_id))[:count]


@dataclass(frozen=True, slots=True)
class _Room:
    """For so many step rows, and tokens in them."""

    steps: int
    tokens: int

    def minus(self, rows: Iterable[ProblemRow]) -> "_Room":
        """What is left with the steps of these problems."""
        steps, tokens = self.steps, self.tokens
        for row in rows:
            steps, tokens = steps - row.num_steps, tokens - row.generated_tokens
        return _Room(steps, tokens)


_MOST = _Room(steps=300_000, tokens=20_000_000)
"""What is read: more than a page shows."""
_MOST_SAMPLED = _Room(steps=200_000, tokens=15_000_000)


def _fitting(problem_ids: Iterable[str], rows: Mapping[str, ProblemRow], room: _Room) -> list[str]:
    """As many of these problems, from the first on, as there is room for; one that is open takes none."""
    found = []
    for problem_id in problem_ids:
        row = rows.get(problem_id)
        left = room.minus([row] if row else [])
        if left.steps < 0 or left.tokens < 0:
            break
        room = left
        found.append(problem_id)
    return found


class _Grouped:
    """A table by problem: one slice for each."""

    def __init__(self, table: pa.Table, problem_ids: Sequence[str]) -> None:
        numbers = pc.index_in(table.column("problem_id"), value_set=pa.array(problem_ids, pa.string()))
        index = numbers.to_numpy().astype(np.int64) if table.num_rows else np.zeros(0, np.int64)
        order = np.argsort(index, kind="stable")
        self._table = table.take(pa.array(order)).combine_chunks()
        self._ends = np.searchsorted(index[order], np.arange(len(problem_ids) + 1))

    def rows(self, row_type: type[_RowT], numbers: Sequence[int]) -> Iterator[list[_RowT]]:
        """The rows of each of the problems of these numbers; made together, which costs least."""
        bounds = [(int(self._ends[number]), int(self._ends[number + 1])) for number in numbers]
        pieces = [self._table.slice(start, end - start) for start, end in bounds]
        rows = iter(to_rows(row_type, pa.concat_tables(pieces).combine_chunks()) if pieces else [])
        for piece in pieces:
            yield list(islice(rows, piece.num_rows))
