"""From concluded searches to visible rows: grade, buffer, append, flush, and commit the spending ceiling ahead.

A problem is counted as done when its row is visible. One loop talks to the writer, so batches and commits are in order;
grading runs beside it, one task a problem, so that a slow grader holds up its own problem only.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from actors.grader import GradeRequest
from actors.protocols import AnswerGrader, RunWriter
from records.failure import StoreFailed
from records.rows import ProblemRecord
from scaling.accounting import ModelSizes, problem_record
from scaling.ledger import Ledger
from scaling.scheduler import Concluded

RETRY_S = (0.5, 2.0, 8.0, 30.0)
"""Waits between tries of a flush that the store refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushPolicy:
    """When rows become visible: after this many problems or this long, whichever is first."""

    num_problems: int
    interval_s: float


class Recorder:
    """Owns what has concluded and is not yet visible.

    Args:
        writer: of the run.
        grader: of answers.
        ledger: whose ceiling is committed.
        lease_tokens: how far ahead of the spending the ceiling is put.
        policy: when to flush.
        strategy: its name, for the rows.
        first_batch: number of the first batch; the numbers are unique in the run.
        on_visible: called with the records that have become visible.
    """

    def __init__(
        self,
        *,
        writer: RunWriter,
        grader: AnswerGrader,
        ledger: Ledger,
        lease_tokens: int,
        policy: FlushPolicy,
        strategy: str,
        first_batch: int,
        on_visible: Callable[[list[ProblemRecord]], None],
    ) -> None:
        self.sizes: ModelSizes | None = None
        self._writer, self._grader, self._ledger = writer, grader, ledger
        self._lease_tokens = lease_tokens
        self._policy = policy
        self._strategy = strategy
        self._on_visible = on_visible
        self._ready: list[ProblemRecord] = []
        self._num_grading = 0
        self._next_batch = first_batch
        self._num_flushing = 0
        self._wake = asyncio.Event()
        self._draining = False
        self._lease_wanted = False

    @property
    def num_pending(self) -> int:
        """Problems concluded and not yet visible."""
        return self._num_grading + len(self._ready) + self._num_flushing

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
        try:
            choice, reference = concluded.search.choice, concluded.search.problem.reference
            correct = None
            if choice is not None:
                [correct] = await self._grader.grade([GradeRequest(choice.answer, reference)])
            if self.sizes is None:
                raise RuntimeError("a search concluded before any generator was up")
            record = problem_record(
                concluded.search,
                correct=correct,
                sizes=self.sizes,
                strategy=self._strategy,
                wall_seconds=concluded.wall_seconds,
            )
            self._ready.append(record)
        finally:
            self._num_grading -= 1
        if self._draining or len(self._ready) >= self._policy.num_problems:
            self._wake.set()

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._policy.interval_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Make what is ready visible; raise the ceiling if there is a cap."""
        records, self._ready = self._ready, []
        self._num_flushing = len(records)
        lease = self._ledger.next_lease(self._lease_tokens)
        if not records and not (lease is not None and self._lease_wanted):
            return
        self._lease_wanted = False
        if records:
            await self._writer.append(self._next_batch, records)
            self._next_batch += 1
        await self._flush_writer(lease if lease is not None else self._ledger.leased_tokens)
        if lease is not None:
            self._ledger.leased_tokens = lease
        self._num_flushing = 0
        self._on_visible(records)

    async def _flush_writer(self, leased_tokens: int | None) -> None:
        """Flush; a store that fails is asked again, because the writer goes on where it stopped."""
        for wait_s in RETRY_S:
            try:
                await self._writer.flush(leased_tokens)
            except StoreFailed:
                await asyncio.sleep(wait_s)
            else:
                return
        await self._writer.flush(leased_tokens)
