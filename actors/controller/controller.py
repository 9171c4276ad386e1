"""The central budget controller: an asyncio shell around the pure parts in `scaling`.

    problems --admission--> scheduler <--results-- replica clients <--> generator and PRM replicas
                               |  ^
                    concluded  |  | ledger ceiling
                               v  |
                            recorder --> grader, writer

Everything that happens is an event on one loop: results, a replica coming up or going down, rows becoming visible, a
limit in time. Each is given to the scheduler, and then `_pump` carries out what follows from it. Nothing waits on a
particular problem, and the loop never blocks.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from actors.controller.elastic import Elastic, Growth
from actors.controller.fleet import Fleet, cancel_all
from actors.controller.heartbeat import heartbeats
from actors.controller.metrics import RunMetrics
from actors.controller.node_loop import watch_nodes
from actors.controller.notes import FailureWatch, Notes, SilenceWarning, closing_notes
from actors.controller.protocols import MetricsExporter, RunWriter
from actors.controller.recorder import Recorder
from actors.controller.settings import (
    GeneratorHandle,
    PrmHandle,
    RunSettings,
    RunSoFar,
    meter_of,
    scheduler_of,
    with_rows,
)
from actors.controller.snapshot import progress_now
from actors.controller.time_limits import TimeLimits
from actors.grading.grader import AnswerGrader
from actors.writer.store_retry import patiently
from records.failure import ActorDied, Fenced, StoreFailed, first_failure
from records.problem import Problem
from records.progress import Progress
from records.rows import OpenRecord, ProblemRecord
from records.usage import Role, Usage
from scaling.budget.metering import Meter
from scaling.search.tasks import CompareTask
from scaling.strategy import StrategyFactory


class Controller:
    """Runs one strategy over the problems that a run still owes.

    Args:
        problems: those without a row yet.
        strategy: begins the search of each.
        settings: of the run.
        so_far: of earlier epochs.
        generators: may be empty for a strategy that never samples.
        prms: may be empty for a strategy that never asks for scores.
        writer: opened by this epoch.
        grader: of answers.
        metrics: is told how it goes, once a second.
        growth: of the roles whose number of replicas follows the work.
        clock: seconds from anywhere, monotonic.
    """

    def __init__(
        self,
        *,
        problems: Iterable[Problem],
        strategy: StrategyFactory,
        settings: RunSettings,
        so_far: RunSoFar,
        generators: Sequence[GeneratorHandle],
        prms: Sequence[PrmHandle],
        writer: RunWriter,
        grader: AnswerGrader,
        metrics: MetricsExporter,
        growth: Mapping[Role, Growth] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._problems, self._settings, self._clock = problems, settings, clock
        self._writer, self._grader, self._notes, self._changed = writer, grader, Notes(), asyncio.Event()
        self._silence, self._failures = SilenceWarning(self._notes.add), FailureWatch(self._notes.add, settings, so_far)
        self._visible, self._read_journals, self._num_left = so_far.visible, so_far.journals, so_far.num_left
        self._meter = meter_of(settings, so_far, generators, prms, now_s=clock())
        self.scheduler = scheduler_of(settings, so_far, strategy, self._meter.change, has_prm=bool(prms))
        self._recorder = Recorder(
            writer=writer,
            grader=grader,
            settings=settings,
            ledger=self.scheduler.ledger,
            metered=self._metered,
            first_batch=so_far.next_batch,
            open_searches=self.scheduler.open_searches,
            on_visible=self._on_visible,
            note=self._notes.add,
            on_graded=self._failures.graded,
        )
        self._fleet = Fleet(
            generators=generators,
            prms=prms,
            settings=settings,
            scheduler=self.scheduler,
            metered=self._metered,
            on_event=self._on_replica_event,
            note=self._notes.add,
        )
        self._limits = TimeLimits(
            settings,
            so_far,
            counts=self.scheduler.counts,
            usage=lambda: self._metered().usage(),
            clock=clock,
            on_reached=self._grant_no_more,
        )
        self._metrics = RunMetrics(metrics, self.scheduler, self._fleet, self._recorder, settings.rates)
        self._elastic = Elastic(
            growth or {}, fleet=self._fleet, scheduler=self.scheduler, note=self._notes.add, clock=clock,
            num_unbegun=lambda: self._visible.total_problems - self._visible.done_problems - self._num_begun,
            num_concluded=lambda: self._visible.done_problems - so_far.visible.done_problems,
            start_s=max((settings.held_s or {}).values(), default=0.0),
        )  # fmt: skip
        self._phase, self._stopping, self._started_s = "waiting for replicas", False, clock()
        self._grading: asyncio.TaskGroup | None = None

    async def run(self) -> bool:
        """Work until every problem has a visible row (True) or `stop` was called (False).

        Raises:
            Failure: what ended the run early; rows that became visible stay, the same run can be resumed.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._fleet.start(group)
                others = [
                    self._recorder.run(),
                    heartbeats(self._writer, self._snapshot, every_s=self._settings.heartbeat_s, clock=self._clock),
                    self._limits.run(),
                    self._metrics.run(self._snapshot),
                    watch_nodes(self._settings.nodes, self._fleet),
                    self._elastic.run(),
                ]
                background = [group.create_task(loop) for loop in others]
                journals = dict(await patiently(lambda: asyncio.to_thread(self._read_journals), self._notes.add))
                self._recorder.restore(journals)
                await self._work(journals)
                await self._fleet.end()
                await self._recorder.flush()  # what came in during the last one
                await cancel_all(background)
        except ExceptionGroup as group_of:
            failure = first_failure(group_of)
            if failure is None:
                raise
            if not isinstance(failure, Fenced | StoreFailed | ActorDied):
                await self._recorder.flush()  # what is paid for is kept
            raise failure from group_of
        finally:
            self._metrics.export(*self._snapshot())
        return not self._stopping

    async def stop(self) -> None:
        """Begin no more; `run` returns once what has concluded is visible."""
        self._stopping, self._phase = True, "stopping"
        self._changed.set()

    def progress(self) -> Progress:
        """How far the run is."""
        return progress_now(
            self._visible, self.scheduler, self._fleet, self._limits.held(),
            phase=self._phase, num_begun=self._num_begun, elapsed_s=self._clock() - self._started_s,
        )  # fmt: skip

    def take_notes(self) -> list[str]:
        """What the user should hear, since the last call."""
        return self._notes.take()

    def charged_tokens(self) -> int:
        """What the run counts as spent, in all epochs; under a cap also what is still out and will not come back."""
        ledger = self.scheduler.ledger
        return ledger.spent_tokens + (ledger.reserved_tokens if ledger.total_tokens is not None else 0)

    async def _work(self, journals: dict[str, OpenRecord]) -> None:
        """Admit, then wait for what is open, then flush what is left. Problems with a journal go on where it ends."""
        async with asyncio.TaskGroup() as grading:
            self._grading = grading
            try:
                await self._until(lambda: self._recorder.models is not None)
                self._phase = "scoring" if not self._stopping else self._phase
                await self._search(journals)
            finally:
                self._grading = None  # a group that is ending takes no more
        self._recorder.drain()
        await self._until(lambda: self._recorder.num_pending == 0, even_when_stopping=True)
        await self._recorder.flush()  # what a stop leaves open
        for note in closing_notes(self.scheduler.counts.truncated, self._grader.failures):
            self._notes.add(note)
        self._failures.raise_if_stopped()

    async def _search(self, journals: dict[str, OpenRecord]) -> None:
        """Open every problem in its turn, until none is left open; those that compete, a window at a time."""
        problems = enumerate(self._problems)
        if not self._settings.competing:
            await self._open(problems, journals, self._may_open)
            return
        num_left = self._num_left
        while not self._stopping and (window := list(islice(problems, self._settings.window_problems))):
            held = [journals[problem.problem_id] for _, problem in window if problem.problem_id in journals]
            held_tokens = sum(record.generated_tokens for record in held)
            self.scheduler.begin_window(num_problems=len(window), num_left=num_left, held_tokens=held_tokens)
            num_left -= len(window)
            await self._open(window, journals, self._may_compete)

    async def _open(
        self, problems: Iterable[tuple[int, Problem]], journals: dict[str, OpenRecord], may_open: Callable[[], bool]
    ) -> None:
        """Open problems, each with its place in the order, when they may be, and wait until none is open."""
        for order, problem in problems:
            await self._until(may_open)
            if self._stopping:
                return
            record = journals.pop(problem.problem_id, None)
            self.scheduler.open(problem, order=order, now_s=self._metered().now_s, record=record)
            self._pump()
            await asyncio.sleep(0)  # with the budget gone, opening alone would never let the loop turn
        await self._until(lambda: self.scheduler.num_open == 0)

    def _may_open(self) -> bool:
        """As the engines need them, and as memory has room; rows that fill it up are written at once."""
        wanted, num_paths = self.scheduler.wants_more_problems, self.scheduler.num_paths + self._recorder.num_paths
        has_room = self._settings.has_room(self._num_begun, num_paths)
        if wanted and not has_room:
            self._recorder.make_room()
        return wanted and has_room

    def _may_compete(self) -> bool:
        """All of a window have to be open; rows of the one before it are waited for only if they are being written."""
        return self._num_begun < self._settings.window_problems + self._settings.flush.num_problems

    @property
    def _num_begun(self) -> int:
        return self.scheduler.num_open + self._recorder.num_pending

    async def _until(self, condition: Callable[[], bool], *, even_when_stopping: bool = False) -> None:
        """Wait for a condition that only events change; a stop ends the wait too."""
        while not condition() and (even_when_stopping or not self._stopping):
            self._changed.clear()
            await self._changed.wait()

    def _pump(self) -> None:
        if self._stopping:  # nothing more is sent, and what concludes now is begun again by the next epoch
            self._changed.set()
            return
        outgoing = self.scheduler.pump(now_s=self._metered().now_s)
        self._fleet.send(outgoing)
        if outgoing.wants_lease:
            self._recorder.request_lease()
        for concluded in self.scheduler.take_concluded():
            if self._grading is not None:
                self._grading.create_task(self._recorder.record(concluded))
            if self._failures.ended(concluded):
                self._stopping, self._phase = True, "stopping"
                break
        for task in outgoing.comparisons:
            if self._grading is not None:
                self._grading.create_task(self._compare(task))
        self._changed.set()

    async def _compare(self, task: CompareTask) -> None:
        """Ask the grader which answers are the same, and let their search go on."""
        same = await self._grader.same(task.pairs)
        self.scheduler.compared(task, dict(zip(task.pairs, same, strict=True)), now_s=self._metered().now_s)
        self._pump()

    def _metered(self) -> Meter:
        """The meter, with the replicas' time shared out up to now: what happens next happens at its `now_s`."""
        self._meter.advance(self._clock())
        return self._meter

    def _snapshot(self) -> tuple[Progress, Usage]:
        return self.progress(), self._meter.usage()  # of one moment: `progress` brought the meter up to it

    def _on_replica_event(self) -> None:
        self._recorder.models = self._recorder.models or self._fleet.models
        self._pump()

    def _on_visible(self, records: list[ProblemRecord]) -> None:
        rows = [record.problem for record in records]
        self._visible = with_rows(self._visible, rows)
        self._metrics.add_rows(rows)
        self._silence.look_at(self._visible)
        self._pump()

    def _grant_no_more(self, why: str) -> None:
        self._notes.add(f"{why}; open problems end with their best answer")
        self.scheduler.ledger.close()  # what is in flight still comes in
        self._pump()
