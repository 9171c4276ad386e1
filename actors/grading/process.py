"""A grading process and the two pipes to it: started, asked, killed."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from enum import StrEnum


class GradeFailure(StrEnum):
    """Why an answer has no verdict although there is a key."""

    RAISED = "raised"
    TIMED_OUT = "timed_out"
    DIED = "died"
    """The worker process ended, or its grader could not be loaded again."""
    COULD_NOT_START = "could_not_start"
    """The system gave no process, again and again."""


async def spawned(grader: str, memory_bytes: int | None) -> asyncio.subprocess.Process:
    """A new process of a grader. Raises `OSError` where the system gives none."""
    limit = [] if memory_bytes is None else [f"--memory-bytes={memory_bytes}"]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "actors.grading.worker", grader, *limit,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=_environment(),
        start_new_session=True,  # a group of its own: Ctrl-C is the parent's to handle, and one kill takes all
    )  # fmt: skip


class Lost(Exception):
    """The worker is of no more use."""

    def __init__(self, failure: GradeFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


class Worker:
    """A worker process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101  # both were asked for
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    @property
    def gone(self) -> bool:
        """It ended while nobody asked it anything, and that was noticed: what it is asked next is not its death."""
        return self._process.returncode is not None or self._stdin.is_closing()

    async def ask(self, request: dict[str, str] | None, timeout_s: float) -> dict[str, object]:
        """Send a request, if any, and wait for one line.

        Raises:
            Lost: it died or is late; kill it.
        """
        line = b""
        try:
            async with asyncio.timeout(timeout_s):
                if request is not None:
                    if self._stdin.is_closing():  # uvloop, in Ray's actors, raises a bare RuntimeError then
                        raise BrokenPipeError
                    self._stdin.write(json.dumps(request).encode() + b"\n")
                    await self._stdin.drain()
                line = await self._stdout.readline()
        except TimeoutError as error:
            raise Lost(GradeFailure.TIMED_OUT, f"no reply within {timeout_s:g} s") from error
        except ConnectionError:
            pass  # it died before it had read everything
        if not line.endswith(b"\n"):
            raise Lost(GradeFailure.DIED, f"the grader's process ended with status {await self._process.wait()}")
        reply: dict[str, object] = json.loads(line)
        return reply

    async def kill(self) -> None:
        """End the process and whatever it has started, and collect it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.communicate()  # to the end of its pipes, so that no transport is left open


def _environment() -> dict[str, str]:
    """Modules are found as they are here, and last in the working folder; numeric libraries get one thread."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    path = [entry for entry in sys.path if entry] + [os.getcwd()]  # noqa: PTH109  # a string is what is wanted
    return {**threads, **os.environ, "PYTHONPATH": os.pathsep.join(path)}
