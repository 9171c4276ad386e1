"""The driver of one epoch of a run: it opens the run, works on it, and lets it go, finished or stopped clean.

    writer.open --> state --> replicas checked --> controller runs --> finish (_SUCCESS) or release

An epoch whose writer or controller dies ends in `ActorDied`, with what was written; `jobs.score` begins the next one.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actors.writer.lease import this_process
from actors.writer.run_state import RunState
from actors.writer.store_retry import StoreRetry, patiently_blocking
from actors.writer.writer import Writer
from jobs.recipes.resume import operational_keys
from jobs.scoring.controlling import HEARTBEAT_S, build_controller, progress_of
from jobs.scoring.introduction import Arrivals
from jobs.scoring.plan import Plan
from jobs.scoring.progress import ProgressDisplay
from jobs.scoring.replicas import Replicas, check_introductions
from records.failure import ActorDied, Failure, Fenced, StoreFailed
from records.progress import Progress

if TYPE_CHECKING:
    from cluster.remote import RemoteController, RemoteWriter

_T = TypeVar("_T")

POLL_S = 0.5


class _SignsOfLife:
    """Shows user and lease, while the models of a run are loaded, that it goes on."""

    def __init__(self, begun: Progress, replicas: Replicas, display: ProgressDisplay, writer: "RemoteWriter") -> None:
        self._begun, self._replicas, self._display, self._writer = begun, replicas, display, writer
        self._started_s = self._beaten_s = time.monotonic()
        self._retry = StoreRetry()

    def on_tick(self, arrivals: Arrivals) -> None:
        """So many replicas are up. Raises `StoreFailed` when the store has been out for too long."""
        now_s = time.monotonic()
        progress = replace(
            self._begun,
            replicas_ready=arrivals.num_ready,
            replicas_waiting=arrivals.num_waiting,
            waiting=arrivals.waiting,
            elapsed_s=now_s - self._started_s,
        )
        self._display.show(progress)
        if now_s - self._beaten_s >= HEARTBEAT_S:
            self._beaten_s = now_s
            self._beat(progress)

    def _beat(self, progress: Progress) -> None:
        accounted_s = time.time()
        try:
            self._writer.call("heartbeat", asdict(progress), self._replicas.unmetered_usage(accounted_s))
            self._replicas.unmetered.accounted_s = accounted_s
            self._retry.end()
        except StoreFailed as failed:
            self._retry.wait_s(failed)


class RunDriver:
    """Drives one run, one epoch at a time: `run` again after `ActorDied` is the next one.

    Args:
        plan: of the run.
        replicas: those that its strategy uses.
        spool: local folder for parts on their way.
        display: where the user looks.
        on_state: called with the run's state once it is ours.
    """

    def __init__(
        self,
        plan: Plan,
        replicas: Replicas,
        spool: Path,
        display: ProgressDisplay,
        *,
        on_state: Callable[[RunState], None],
    ) -> None:
        self._plan, self._replicas, self._spool, self._display = plan, replicas, spool, display
        self._on_state = on_state
        self._introduced = False

    def run(self, *, take_over: bool, again: bool) -> None:
        """Work until the run is finished.

        Args:
            take_over: even from a controller that seems alive.
            again: this process has driven the run before, and its writer is dead.

        Raises:
            Failure: what ended it early; the same command resumes it.
            KeyboardInterrupt: the user did; what there was is written.
        """
        from cluster.remote import RemoteWriter

        self._replicas.unmetered.begin()
        writer = RemoteWriter.launch(partial(Writer, self._plan.store, self._spool), self._replicas.hosts)
        try:
            state: RunState = self._patiently(
                lambda: writer.call(
                    "open",
                    self._plan.manifest,
                    this_process(),
                    take_over=take_over,
                    again=again,
                    free=operational_keys(),
                )
            )
            self._on_state(state)
            if self._plan.num_owed(state.done):
                if not self._introduced:
                    self._introduce(state, writer)
                self._work(state, writer)
            elif not state.finished:  # everything but the last word had been written
                self._conclude(writer, state.spent_tokens)
        finally:
            writer.end()

    def _introduce(self, state: RunState, writer: "RemoteWriter") -> None:
        """Wait for the models and check them, with a sign of life for user and lease; let the run go if it fails."""
        begun = progress_of(self._plan, state, self._replicas)
        signs_of_life = _SignsOfLife(begun, self._replicas, self._display, writer)
        try:
            warnings = check_introductions(self._replicas.introduce(signs_of_life.on_tick), self._plan.manifest)
        except (Fenced, StoreFailed, ActorDied):
            raise
        except (Failure, KeyboardInterrupt):
            self._release(writer, state.spent_tokens)
            raise
        self._introduced = True
        for warning in warnings:
            self._display.note(f"warning: {warning}")

    def _work(self, state: RunState, writer: "RemoteWriter") -> None:
        """Run a controller to its end, and let the run go: finished, or stopped clean."""
        from cluster.remote import RemoteController

        build = partial(build_controller, self._plan, self._replicas, state, writer)
        controller = RemoteController(build, self._replicas.hosts)
        try:
            self._watch(controller)
            self._conclude(writer, controller.call("charged_tokens"))
        except (Fenced, StoreFailed, ActorDied):
            raise
        except Failure:
            self._release(writer, controller.call("charged_tokens"))
            raise
        except KeyboardInterrupt:
            self._stop(controller, writer)
            raise
        finally:
            self._replicas.unmetered.end()
            controller.end()

    def _stop(self, controller: "RemoteController", writer: "RemoteWriter") -> None:
        self._display.note("stopping: writing what there is (once more to stop at once)")
        try:
            try:
                controller.call("stop")
                self._watch(controller)
            finally:
                spent_tokens = controller.call("charged_tokens")
        except (Fenced, StoreFailed, ActorDied) as ended:  # the user wants an end, not another epoch
            self._display.note(f"{ended}; what was not written is done again by the next run of this command")
            return
        except Failure as failure:
            self._display.note(str(failure))
        self._release(writer, spent_tokens)

    def _release(self, writer: "RemoteWriter", spent_tokens: int) -> None:
        """Let the run go on the way to a failure or an end that is more important than whether this succeeds."""
        try:
            self._patiently(lambda: writer.call("release", spent_tokens))
        except Failure as failure:
            self._display.note(f"the run could not be released ({failure}); the same command resumes it all the same")

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        return patiently_blocking(ask, self._display.note)

    def _conclude(self, writer: "RemoteWriter", spent_tokens: int) -> None:
        """Write `_SUCCESS`, after a check that every problem has its row; a pilot only lets the run go."""
        if self._plan.only is not None:
            self._release(writer, spent_tokens)
            return
        problem_ids = [problem.problem_id for problem in self._plan.problems]
        self._patiently(lambda: writer.call("finish", problem_ids, spent_tokens))

    def _watch(self, controller: "RemoteController") -> None:
        """Show how far it is until it has come to an end; raise what ended it."""
        while not controller.finished(POLL_S):
            self._show(controller)
        controller.result()
        self._show(controller)

    def _show(self, controller: "RemoteController") -> None:
        for note in controller.call("take_notes"):
            self._display.note(note)
        self._display.show(controller.call("progress"))
