"""The grader: is an answer right? In processes that can be killed, because a grader may never come back.

                +--> worker process (actors.grading.worker)      one answer at a time each
    grade() --> +--> worker process
                +--> ...
    in time: True or False     raised: None     past its deadline: SIGKILL, replaced, None     died: replaced, None

An answer that is missing or blank is wrong, whatever the grader; one without a key is not graded. A failure costs one
answer its verdict: None ("not graded"), never False, and no other answer's. Failures are counted.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from records.failure import InvalidInput

GIB = 2**30
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


class GradeFailure(StrEnum):
    """Why an answer has no verdict although there is a key."""

    RAISED = "raised"
    TIMED_OUT = "timed_out"
    DIED = "died"
    """The worker process ended, or its grader could not be loaded again."""
    COULD_NOT_START = "could_not_start"
    """The system gave no process, again and again."""


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
    ) -> None:
        """Starts nothing yet.

        Args:
            name: "math-verify", "exact", "numeric", "multiple-choice", or a function of the user's as
                `module:function`, called with (answer, reference) and returning whether the answer is right.
            num_workers: processes; each is busy with one answer at a time.
            timeout_s: how long one answer may take.
            memory_gib: address space of one process; None leaves it unlimited (torch with CUDA wants that).
            start_timeout_s: how long a process may take to import the grader.
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
        self._slots: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(num_workers):
            self._slots.put_nowait(None)
        self._num_workers = num_workers
        self._loaded = False
        self._closed = False

    async def start(self) -> None:
        """Start one worker, which shows that the grader can be loaded. Does nothing the second time.

        Raises:
            InvalidInput: it cannot; the message has the import's own error.
        """
        try:
            await self._load()
        except _Lost as lost:
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
        except _Lost as lost:
            if lost.failure is not GradeFailure.COULD_NOT_START:  # that passes: each answer tries again
                raise InvalidInput(f"grader {self.name!r} cannot be loaded: {lost}") from lost
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._grade_one(request)) for request in requests]
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """Wait for what is being graded, then end the workers. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
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
        worker = await self._slots.get()
        reusable = None
        try:
            worker = worker or await self._start_worker()
            reply = await worker.ask({"answer": request.answer, "reference": request.reference}, self.timeout_s)
            reusable = worker
        except _Lost as lost:
            self._count(lost.failure, str(lost))
            return None
        finally:  # also when cancelled: a worker that still owes a reply must not serve the next request
            if worker is not None and reusable is None:
                await worker.kill()
            self._slots.put_nowait(reusable)
        if "error" in reply:
            self._count(GradeFailure.RAISED, str(reply["error"]))
            return None
        return bool(reply["correct"])

    def _count(self, failure: GradeFailure, error: str) -> None:
        self.failures[failure] += 1
        self.first_errors.setdefault(failure, error)

    async def _start_worker(self) -> "_Worker":
        for wait_s in (*SPAWN_RETRY_S, None):
            try:
                worker = _Worker(await self._spawn())
                break
            except OSError as error:
                if wait_s is None:
                    raise _Lost(GradeFailure.COULD_NOT_START, f"no process for the grader: {error}") from error
                await asyncio.sleep(wait_s)
        ready = False
        try:
            reply = await worker.ask(None, self._start_timeout_s)
            if "error" in reply:
                raise _Lost(GradeFailure.DIED, str(reply["error"]))
            ready = True
        finally:
            if not ready:
                await worker.kill()
        return worker

    async def _spawn(self) -> asyncio.subprocess.Process:
        limit = [] if self._memory_bytes is None else [f"--memory-bytes={self._memory_bytes}"]
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "actors.grading.worker", self.name, *limit,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_worker_environment(),
            start_new_session=True,  # a group of its own: Ctrl-C is the parent's to handle, and one kill takes all
        )  # fmt: skip


class _Lost(Exception):
    """The worker is of no more use."""

    def __init__(self, failure: GradeFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


class _Worker:
    """A worker process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101  # both were asked for
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    async def ask(self, request: dict[str, str] | None, timeout_s: float) -> dict[str, object]:
        """Send a request, if any, and wait for one line.

        Raises:
            _Lost: it died or is late; kill it.
        """
        line = b""
        try:
            async with asyncio.timeout(timeout_s):
                if request is not None:
                    self._stdin.write(json.dumps(request).encode() + b"\n")
                    await self._stdin.drain()
                line = await self._stdout.readline()
        except TimeoutError as error:
            raise _Lost(GradeFailure.TIMED_OUT, f"no reply within {timeout_s:g} s") from error
        except ConnectionError:
            pass  # it died before it had read everything
        if not line.endswith(b"\n"):
            raise _Lost(GradeFailure.DIED, f"the grader's process ended with status {await self._process.wait()}")
        reply: dict[str, object] = json.loads(line)
        return reply

    async def kill(self) -> None:
        """End the process and whatever it has started, and collect it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.communicate()  # to the end of its pipes, so that no transport is left open


def _worker_environment() -> dict[str, str]:
    """Modules are found as they are here, and last in the working folder; numeric libraries get one thread."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    path = [entry for entry in sys.path if entry] + [os.getcwd()]  # noqa: PTH109  # a string is what is wanted
    return {**threads, **os.environ, "PYTHONPATH": os.pathsep.join(path)}


class AnswerGrader(Protocol):
    """Compares answers with their keys."""

    @property
    def failures(self) -> Mapping[GradeFailure, int]:
        """Answers that have no verdict although there is a key, by kind of failure."""
        ...

    async def grade(self, requests: Sequence[GradeRequest]) -> list[bool | None]:
        """One verdict each, in order; None without a key, or where the grader failed or ran out of time."""
        ...
