"""The grader: is an answer right? In processes that can be killed, because a grader may never come back.

                +--> worker process (actors.grading.worker)      one answer at a time each
    grade() --> +--> worker process
                +--> ...
    in time: True or False     raised: None     past its deadline: SIGKILL, replaced, None     died: replaced, None

An answer that is missing or blank is wrong, whatever the grader; one without a key is not graded. A failure costs one
answer its verdict: None ("not graded"), never False, and no other answer's. Failures are counted.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from actors.grading.process import GradeFailure, Lost, Worker, spawned
from records.failure import InvalidInput

GIB = 2**30
MAX_KEPT = 100_000
"""Verdicts on pairs of answers that are kept."""
SPAWN_RETRY_S = (0.2, 1.0, 3.0)
"""Waits between tries to start a process, while the system is out of processes, memory or file descriptors."""


@dataclass(frozen=True, slots=True)
class GradeRequest:
    """What to compare.

    Attributes:
        answer: as extracted; None or blank where the solution states none, which is wrong.
        reference: the answer key: plain ("18"), LaTeX, or with a box; None where there is none, which is not graded.
    """

    answer: str | None
    reference: str | None


class Grader:
    """Grades answers in `num_workers` processes, which are started when there is something to do.

    Attributes:
        failures: answers without a verdict, by `GradeFailure`.
        first_errors: what the first failure of each kind was.
    """

    def __init__(
        self,
        name: str,
        *,
        num_workers: int,
        timeout_s: float,
        memory_gib: float | None = 4.0,
        start_timeout_s: float = 120,
        warm_spare: bool = False,
    ) -> None:
        """Starts nothing yet.

        Args:
            name: "math-verify", "exact", "numeric", "multiple-choice", or a function of the user's as
                `module:function`, called with (answer, reference) and returning whether the answer is right.
            num_workers: processes; each is busy with one answer at a time.
            timeout_s: how long one answer may take.
            memory_gib: address space of one process; None leaves it unlimited (torch with CUDA wants that).
            start_timeout_s: how long a process may take to import the grader.
            warm_spare: have one process more than are used, from the first answer on: the first that is lost is then
                replaced at once, and not after its imports. Later ones are in any case.
        """
        if num_workers < 1 or timeout_s <= 0:
            raise ValueError(f"num_workers and timeout_s must be above 0, got {num_workers} and {timeout_s}")
        self.name = name
        self.timeout_s = timeout_s
        self.failures: Counter[GradeFailure] = Counter()
        self.first_errors: dict[GradeFailure, str] = {}
        self._memory_bytes = None if memory_gib is None else int(memory_gib * GIB)
        self._start_timeout_s = start_timeout_s
        # A slot holds an idle worker, or None where one has yet to be started. The last one used is taken first.
        self._slots: asyncio.LifoQueue[Worker | None] = asyncio.LifoQueue()
        for _ in range(num_workers):
            self._slots.put_nowait(None)
        self._num_workers = num_workers
        self._loaded = False
        self._closed = False
        self._same: dict[tuple[str, str], bool] = {}
        self._spare: asyncio.Task[Worker] | None = None
        self._warm_spare = warm_spare

    async def start(self) -> None:
        """Start one worker, which shows that the grader can be loaded. Does nothing the second time.

        Raises:
            InvalidInput: it cannot; the message has the import's own error.
        """
        try:
            await self._load()
        except Lost as lost:
            raise InvalidInput(f"grader {self.name!r} cannot be loaded: {lost}") from lost

    async def grade(self, requests: Sequence[GradeRequest]) -> list[bool | None]:
        """One verdict per request, in order; None without a reference, or where the grader failed.

        Raises:
            InvalidInput: the grader cannot be loaded.
        """
        if self._closed:
            raise RuntimeError("the grader is closed")
        try:
            await self._load()
        except Lost as lost:
            if lost.failure is not GradeFailure.COULD_NOT_START:  # that passes: each answer tries again
                raise InvalidInput(f"grader {self.name!r} cannot be loaded: {lost}") from lost
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._grade_one(request)) for request in requests]
        return [task.result() for task in tasks]

    async def same(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether the two answers of each pair are the same; what the grader cannot tell is different.

        Verdicts are kept: two answers are compared once.
        """
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._same]
        if new:
            await self._load()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask({"left": left, "right": right})) for left, right in new]
            if len(self._same) + len(new) > MAX_KEPT:
                self._same.clear()
            self._same.update(zip(new, (task.result() is True for task in tasks), strict=True))
        return [self._same[pair] for pair in pairs]

    async def close(self) -> None:
        """Wait for what is being graded, then end the workers. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        if self._spare is not None:
            self._spare.cancel()  # one that is still importing is not waited for
            [spare] = await asyncio.gather(self._spare, return_exceptions=True)
            if isinstance(spare, Worker):
                await spare.kill()
        for _ in range(self._num_workers):
            worker = await self._slots.get()
            if worker is not None:
                await worker.kill()

    async def __aenter__(self) -> Self:
        """Start the grading processes."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the grading processes."""
        await self.close()

    async def _load(self) -> None:
        """Start one worker, the first time."""
        if self._loaded:
            return
        worker = await self._slots.get()
        try:
            worker = worker or await self._start_worker()
            self._loaded = True
        finally:
            self._slots.put_nowait(worker)

    async def _grade_one(self, request: GradeRequest) -> bool | None:
        if request.reference is None:
            return None
        if request.answer is None or not request.answer.strip():
            return False
        return await self._ask({"answer": request.answer, "reference": request.reference})

    async def _ask(self, request: dict[str, str]) -> bool | None:
        worker = await self._slots.get()
        reusable = None
        try:
            if worker is not None and worker.gone:
                await worker.kill()
                worker = None
            worker = worker or await self._take_spare() or await self._start_worker()
            reply = await worker.ask(request, self.timeout_s)
            reusable = worker
        except Lost as lost:
            self._count(lost.failure, str(lost))
            return None
        finally:  # also when cancelled: a worker that still owes a reply must not serve the next request
            if worker is not None and reusable is None:
                await worker.kill()
            self._slots.put_nowait(reusable)
            self._keep_spare(used=reusable is None or self._warm_spare)
        if "error" in reply:
            self._count(GradeFailure.RAISED, str(reply["error"]))
            return None
        return bool(reply["correct"])

    def _keep_spare(self, *, used: bool) -> None:
        """Have a worker ready for the next one that is lost: to start one takes as long as to import its grader."""
        if used and not self._closed and self._spare is None:
            self._spare = asyncio.create_task(self._start_worker())

    async def _take_spare(self) -> Worker | None:
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        try:
            return await spare
        except Lost:  # whoever wants a worker starts one, and hears why that fails
            return None

    def _count(self, failure: GradeFailure, error: str) -> None:
        self.failures[failure] += 1
        self.first_errors.setdefault(failure, error)

    async def _start_worker(self) -> Worker:
        for wait_s in (*SPAWN_RETRY_S, None):
            try:
                worker = Worker(await spawned(self.name, self._memory_bytes))
                break
            except OSError as error:
                if wait_s is None:
                    raise Lost(GradeFailure.COULD_NOT_START, f"no process for the grader: {error}") from error
                await asyncio.sleep(wait_s)
        ready = False
        try:
            reply = await worker.ask(None, self._start_timeout_s)
            if "error" in reply:
                raise Lost(GradeFailure.DIED, str(reply["error"]))
            ready = True
        finally:
            if not ready:
                await worker.kill()
        return worker


class AnswerGrader(Protocol):
    """Compares answers with their keys."""

    @property
    def failures(self) -> Mapping[GradeFailure, int]:
        """Answers that have no verdict although there is a key, by kind of failure."""
        ...

    @property
    def first_errors(self) -> Mapping[GradeFailure, str]:
        """What the first failure of each kind was."""
        ...

    async def grade(self, requests: Sequence[GradeRequest]) -> list[bool | None]:
        """One verdict each, in order; None without a key, or where the grader failed or ran out of time."""
        ...

    async def same(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether the two answers of each pair are the same; what the grader cannot tell is different."""
        ...
