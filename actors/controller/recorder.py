"""From searches to visible rows: grade, buffer, append, flush, and commit the spending ceiling ahead.

    open search ------- rows of delivered requests ----+--> append --> flush --> visible
    concluded search --> grade --> its row, the rest --+

A problem is counted as done when its row is visible. What an open one has come to is written with every flush, so that
another controller goes on from there. One flush talks to the writer at a time, so batches and commits are in order;
grading runs beside it, one task a problem, so that a slow grader holds up its own problem only.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from actors.controller.protocols import RunWriter
from actors.controller.settings import RunSettings
from actors.grading.grader import AnswerGrader, GradeRequest
from actors.grading.process import GradeFailure
from actors.writer.store_retry import patiently
from records.packing import Columns, packed, row_slices
from records.rows import OpenRecord, ProblemRecord, RolloutRow
from scaling.budget.ledger import Ledger
from scaling.budget.metering import Meter
from scaling.scheduler.open_search import Concluded
from scaling.search.accounting import Models, problem_record, with_share
from scaling.search.problem_search import ProblemSearch
from scaling.search.rollouts import answers_of, rollout_rows

LEASE_SHARE = 0.02
"""Share of the run's cap that the committed ceiling is ahead of the spending: what a crash can lose at most."""

FIRST_INTERVAL_S = 1.0
"""Time to the first flush of a run."""

INTERVAL_SHARE = 0.05
"""Flushes come at intervals of this share of the run so far, up to the policy's: a kill costs no more than that."""


class Recorder:
    """Owns what has concluded and is not yet visible.

    Args:
        writer: of the run.
        grader: of answers.
        settings: of the run.
        ledger: whose ceiling is committed.
        metered: the meter of the replicas' time, up to now.
        first_batch: number of the first batch; the numbers are unique in the run.
        open_searches: those that have not concluded.
        on_visible: called with the records that have become visible.
        note: says something to the user.
        on_graded: called after each verdict with the grader's first errors.
    """

    def __init__(
        self,
        *,
        writer: RunWriter,
        grader: AnswerGrader,
        settings: RunSettings,
        ledger: Ledger,
        metered: Callable[[], Meter],
        first_batch: int,
        open_searches: Callable[[], Iterable[ProblemSearch]],
        on_visible: Callable[[list[ProblemRecord]], None],
        note: Callable[[str], None],
        on_graded: Callable[[Mapping[GradeFailure, str]], None],
    ) -> None:
        self.models: Models | None = None
        self._writer, self._grader, self._ledger = writer, grader, ledger
        self._settings = settings
        self._lease_tokens = max(1, int(LEASE_SHARE * (settings.total_tokens or 0)))
        self._metered = metered
        self._on_visible = on_visible
        self._note, self._on_graded = note, on_graded
        self._visible_until_s = metered().now_s
        self._open_searches = open_searches
        # Of open problems: how many step and request rows the writer has.
        self._written: dict[str, tuple[int, int]] = {}
        self._ready: list[ProblemRecord] = []
        self._num_grading = self._num_paths = 0
        self._next_batch = first_batch
        self._num_flushing = 0
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._draining = False
        self._lease_wanted = False

    @property
    def num_pending(self) -> int:
        """Problems concluded and not yet visible."""
        return self._num_grading + len(self._ready) + self._num_flushing

    @property
    def num_paths(self) -> int:
        """Steps of problems concluded and not yet visible, without those that are written already."""
        return self._num_paths

    def make_room(self) -> None:
        """Others wait for the memory of what is ready: do not wait for more of it."""
        if self._ready:
            self._wake.set()

    @property
    def lag_s(self) -> float:
        """All that was ready longer ago than this is visible."""
        return self._metered().now_s - self._visible_until_s

    def restore(self, journals: Mapping[str, OpenRecord]) -> None:
        """Take note of what earlier epochs have written of problems that are open."""
        self._written = {name: (len(rows.steps), len(rows.requests)) for name, rows in journals.items()}

    def request_lease(self) -> None:
        """The ledger waits for a higher ceiling."""
        self._lease_wanted = True
        self._wake.set()

    def drain(self) -> None:
        """Flush whatever is ready from now on without waiting for a full batch."""
        self._draining = True
        self._wake.set()

    async def record(self, concluded: Concluded) -> None:
        """Grade one concluded search and hand its rows to the flush loop."""
        self._num_grading += 1
        self._num_paths += len(concluded.search.steps)
        try:
            choice, reference = concluded.search.choice, concluded.search.problem.reference
            correct = None
            if choice is not None:
                [correct] = await self._grader.grade([GradeRequest(choice.answer, reference)])
            self._on_graded(self._grader.first_errors)
            if self.models is None:
                raise RuntimeError("a search concluded before the models were known")
            record = problem_record(
                concluded.search,
                correct=correct,
                models=self.models,
                strategy=self._settings.strategy_name,
                wall_seconds=concluded.wall_seconds,
                share=self._metered().share_so_far(concluded.search.problem.problem_id),
                abstention=self._settings.abstention,
            )
            num_steps, num_requests = self._written.pop(record.problem.problem_id, (0, 0))
            rollouts = await self._rollouts(concluded.search, self.models)
            tail = replace(
                record, steps=record.steps[num_steps:], requests=record.requests[num_requests:], rollouts=rollouts
            )
            self._ready.append(tail)
            self._num_paths -= num_steps
        finally:
            self._num_grading -= 1
        if self._draining or len(self._ready) >= self._settings.flush.num_problems:
            self._wake.set()

    async def _rollouts(self, search: ProblemSearch, models: Models) -> tuple[RolloutRow, ...]:
        """Grade the continuations of the prefixes that a search counts, each answer once."""
        prefixes = search.choice.prefixes if search.choice is not None else ()
        if not prefixes:
            return ()
        answers = answers_of(prefixes)
        distinct = list(dict.fromkeys(answers.values()))
        requests = [GradeRequest(answer, search.problem.reference) for answer in distinct]
        verdicts = dict(zip(distinct, await self._grader.grade(requests), strict=True))
        return rollout_rows(
            search,
            prefixes,
            lambda path: verdicts[answers[path]],
            generator=models.generator_sha256,
            sampling=self._settings.sampling,
        )

    async def run(self) -> None:
        """Flush until cancelled."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while True:
            so_far_s = loop.time() - started_s
            interval_s = min(self._settings.flush.interval_s, max(FIRST_INTERVAL_S, INTERVAL_SHARE * so_far_s))
            try:
                async with asyncio.timeout(interval_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Make what is ready visible, and what open problems have come to; raise the ceiling if there is a cap."""
        async with self._one_at_a_time:
            await self._flush()

    async def _flush(self) -> None:
        begun_s = self._metered().now_s
        records, self._ready = [self._closed(record) for record in self._ready], []
        self._num_flushing = len(records)
        lease = self._ledger.next_lease(self._lease_tokens)
        opened = self._unwritten()
        if not records and not opened and not (lease is not None and self._lease_wanted):
            self._visible_until_s = begun_s
            return
        self._lease_wanted = False
        if records or opened:
            batch, self._next_batch = self._next_batch, self._next_batch + 1  # used up, whatever becomes of it
            await self._writer.append(batch, [record.problem for record in records], await _packed(records, opened))
        ceiling = lease if lease is not None else self._ledger.leased_tokens
        # A store that fails is asked again, because the writer goes on where it stopped.
        usage = self._metered().usage()
        await patiently(lambda: self._writer.flush(ceiling, usage), self._note)
        if lease is not None:
            self._ledger.leased_tokens = lease
        self._num_flushing = 0
        self._num_paths -= sum(len(record.steps) for record in records)
        self._visible_until_s = begun_s
        self._on_visible(records)

    def _closed(self, record: ProblemRecord) -> ProblemRecord:
        """A record with its final part of the replicas' time: while it waited to be written it had one too."""
        share = self._metered().close(record.problem.problem_id)
        return replace(record, problem=with_share(record.problem, share, self._settings.rates))

    def _unwritten(self) -> list[OpenRecord]:
        """What open searches have come to since they were last written."""
        opened = []
        for search in self._open_searches():
            problem_id = search.problem.problem_id
            num_steps, num_requests = self._written.get(problem_id, (0, 0))
            steps, requests = tuple(search.steps[num_steps:]), tuple(search.requests[num_requests:])
            if requests:
                opened.append(OpenRecord(problem_id=problem_id, steps=steps, requests=requests))
                self._written[problem_id] = (len(search.steps), len(search.requests))
        return opened


async def _packed(records: Sequence[ProblemRecord], opened: Sequence[OpenRecord]) -> list[Columns]:
    """Rows as columns, slice by slice: results come in between, however many rows a flush has."""
    columns = []
    for rows in row_slices(records, opened):
        columns.append(packed(rows))
        await asyncio.sleep(0)
    return columns
