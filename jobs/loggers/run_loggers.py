"""A run told to the loggers of its recipe: its settings, how far it is, what it came to. They cost the run nothing.

    driver --snapshots--> queue of a logger --> its own thread --> its client
                             full? dropped       an exception: one warning, and the logger is left out

What is told last, the summary, is waited for, but no longer than `FAREWELL_S` for all of them together.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Protocol, Self

from records.progress import Progress

TELL_EVERY_S = 10.0
"""Between two snapshots that are told."""
FAREWELL_S = 30.0
_MOST_WAITING = 64

Settings = Mapping[str, str | int | float | bool | None]
"""Of a recipe, by dotted key."""


class RunLogger(Protocol):
    """A client of one service. Every method may take its time and may raise anything."""

    def begin(self, settings: Settings, run: str) -> None:
        """Begin, or go on with, the record of the run at that address."""
        ...

    def progress(self, elapsed_s: float, values: Mapping[str, float]) -> None:
        """Numbers after so many seconds of this controller."""
        ...

    def finish(self, values: Mapping[str, float], *, finished: bool) -> None:
        """The last numbers; `finished`: the run came to its end, and did not only stop."""
        ...


def progress_values(progress: Progress) -> dict[str, float]:
    """The numbers of a snapshot that are known."""
    graded = progress.graded
    known: dict[str, float | None] = {
        "problems/done": progress.done_problems,
        "problems/total": progress.total_problems,
        "problems/failed": progress.failed_problems,
        "problems/out_of_budget": progress.exhausted_problems,
        "problems/open": progress.open_problems,
        "accuracy": progress.correct / graded if graded else None,
        "tokens/generated": progress.made_tokens,
        "tokens/prompt": progress.prompt_tokens,
        "tokens/cached": progress.cached_tokens,
        "tokens/prm": progress.prm_tokens,
        "replicas/ready": progress.replicas_ready,
        "replicas/lost": progress.replicas_lost,
        "cost/usd": progress.usd,
        "cost/gpu_seconds": progress.gpu_seconds,
    }
    return {name: float(value) for name, value in known.items() if value is not None}


class _Told:
    """One logger and the thread that it is told from."""

    def __init__(self, name: str, logger: RunLogger, note: Callable[[str], None]) -> None:
        self.name, self._logger, self._note = name, logger, note
        self._waiting: Queue[tuple[Callable[[RunLogger], None], bool]] = Queue(_MOST_WAITING)
        self.thread = threading.Thread(target=self._work, name=f"logger {name}", daemon=True)
        self.thread.start()

    def tell(self, call: Callable[[RunLogger], None], *, last: bool = False) -> None:
        """To be done in its turn. Where too much waits it is left out; for the last call, what waits longest is."""
        while True:
            try:
                self._waiting.put_nowait((call, last))
            except Full:
                if not last:
                    return
            else:
                return
            with contextlib.suppress(Empty):
                self._waiting.get_nowait()

    def _work(self) -> None:
        last = False
        while not last:
            call, last = self._waiting.get()
            try:
                call(self._logger)
            except Exception as error:  # noqa: BLE001 (a client may raise anything, and the run goes on without it)
                said = str(error).strip().partition("\n")[0] or type(error).__name__
                self._note(f"warning: loggers: {self.name} failed and is left out from now on: {said}")
                return


class RunLoggers:
    """All loggers of a run: `with RunLoggers(...) as loggers: loggers.show(progress)`.

    Args:
        loggers: by name.
        settings: of the run.
        run: its address.
        note: says a line to the user; called from other threads.
    """

    def __init__(
        self, loggers: Mapping[str, RunLogger], *, settings: Settings, run: str, note: Callable[[str], None]
    ) -> None:
        self._told = [_Told(name, logger, note) for name, logger in loggers.items()]
        self._note = note
        self._last: Progress | None = None
        self._told_at_s: float | None = None
        self.finished = False
        for told in self._told:
            told.tell(lambda logger: logger.begin(settings, run))

    def __enter__(self) -> Self:
        """Nothing is left to do."""
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Tell the last numbers, and wait for them a while."""
        values = progress_values(self._last) if self._last is not None else {}
        finished = self.finished
        for told in self._told:
            told.tell(lambda logger: logger.finish(values, finished=finished), last=True)
        end_s = time.monotonic() + FAREWELL_S
        for told in self._told:
            told.thread.join(max(0.0, end_s - time.monotonic()))
            if told.thread.is_alive():
                self._note(f"warning: loggers: {told.name} does not answer; its last numbers may be missing")

    def show(self, progress: Progress) -> None:
        """A snapshot; told where one is due."""
        self._last = progress
        before_s = self._told_at_s
        if before_s is not None and 0 <= progress.elapsed_s - before_s < TELL_EVERY_S:
            return
        self._told_at_s = progress.elapsed_s
        values = progress_values(progress)
        for told in self._told:
            told.tell(lambda logger: logger.progress(progress.elapsed_s, values))
