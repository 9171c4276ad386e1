"""A run as a report reads it: the rows of all problems, and the trees of those that there is room for.

Steps and requests are read for a choice of problems only: those that a reader will ask for first (named on the command
line, failed, open, dearest, slowest, wrong), then a seeded sample of the others.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.reporting.choices import Replayer
from jobs.reporting.trees import Tree, tree_of
from records.failure import InvalidInput, StoreFailed
from records.rows import ProblemRow, RequestRow, Status, StepRow
from records.run_folder.layout import Table
from records.run_folder.reader import Run
from records.schemas import to_rows

NUM_EXTREME = 100
"""Dearest problems, and slowest ones, whose trees come before those of others."""
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

    def trees(self) -> Iterator[Tree]:
        """Of as many problems as are read, by precedence."""
        rows = {row.problem_id: row for row in self.rows}
        wanted = self._readable(rows)
        steps = _Grouped(self._read("steps", wanted), wanted)
        requests = _Grouped(self._read("requests", wanted), wanted)
        for number, problem_id in enumerate(wanted):
            yield tree_of(
                problem_id,
                rows.get(problem_id),
                to_rows(StepRow, steps.of(number)),
                to_rows(RequestRow, requests.of(number)),
                self.replayer,
            )

    def _readable(self, rows: dict[str, ProblemRow]) -> list[str]:
        """The sample's, and others from the first on, as far as memory goes."""
        must = frozenset(self.sample)
        others = [problem_id for problem_id in self.order if problem_id not in must]
        room = _MOST.minus(rows[problem_id] for problem_id in must)
        fitting = must | frozenset(_fitting(others, rows, room))
        return [problem_id for problem_id in self.order if problem_id in fitting]

    def _read(self, table: Table, wanted: Sequence[str]) -> pa.Table:
        if not self.run.log.parts_of(table):
            return getattr(self.run, table)()
        of_wanted = pc.field("problem_id").isin(pa.array(wanted, pa.string()))
        try:
            return self.run.dataset(table).to_table(filter=of_wanted)
        except OSError as error:
            raise StoreFailed(f"{self.run.uri}: a part of {table} is gone or damaged: {error}") from error


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


_MOST = _Room(steps=1_500_000, tokens=60_000_000)
"""What is read: more than has room in a page of 20 MB."""
_MOST_SAMPLED = _Room(steps=750_000, tokens=30_000_000)


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

    def of(self, number: int) -> pa.Table:
        """The rows of the problem of that number."""
        start, end = int(self._ends[number]), int(self._ends[number + 1])
        return self._table.slice(start, end - start)
