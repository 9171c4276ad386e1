"""`parsimony score`: search every problem of a file, grade the answers, stream rows to Parquet. Again = resume.

plan (all checks, no model) --> finished? done --> Ray --> replicas loaded and checked --> controller runs
                                                                                               |
summary <-- _SUCCESS, or a clean stop that leaves the rest for the same command <--------------+
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from actors.controller import Controller
from actors.grader import Grader
from actors.lease import this_process
from actors.recorder import FlushPolicy
from actors.run_settings import RunSettings, RunSoFar
from actors.run_state import RunState, agree_on_manifest
from actors.writer import Writer
from jobs.options import ScoreOptions
from jobs.plan import OwedProblems, Plan, make_plan
from jobs.progress import ProgressDisplay
from jobs.recipe import Recipe, operational_keys, sampling
from jobs.replicas import Replicas, check_introductions, cpu_slots, launch
from jobs.signals import treat_sigterm_as_interrupt
from jobs.status import read_status
from jobs.summary import Summary, as_json, print_summary
from records import layout
from records.failure import Failure, ReplicaFailed
from records.progress import Progress

if TYPE_CHECKING:
    from cluster.remote import RemoteController, RemoteWriter

SOME_FAILED = 3
POLL_S = 0.5
HEARTBEAT_S = 5.0


def run(options: ScoreOptions) -> int:
    """Score a problem set; the exit status."""
    plan = make_plan(options)
    summary = finished_summary(plan)
    if summary is None:
        with ray_session(plan.recipe):
            summary = score(plan, launch(plan.recipe))
    if options.json:
        sys.stdout.write(as_json(summary) + "\n")
    else:
        print_summary(summary, Console())
    return SOME_FAILED if summary.problems["failed"] else 0


def finished_summary(plan: Plan) -> Summary | None:
    """The summary of a run that has nothing left to do; None for any other.

    Raises:
        RunMismatch: it was begun with something that decides results otherwise.
    """
    if plan.store.read(layout.SUCCESS) is None:
        return None
    agree_on_manifest(plan.store, plan.manifest, operational_keys())
    return read_status(plan.store, now_s=time.time()).summary


@contextmanager
def ray_session(recipe: Recipe) -> Iterator[None]:
    """Be in the recipe's Ray cluster, or in a local one that is big enough for its replicas."""
    from cluster.session import connect

    with connect(recipe.cluster.address, num_cpus=recipe.cluster.num_cpus, min_cpus=cpu_slots(recipe)):
        treat_sigterm_as_interrupt()
        yield


def score(plan: Plan, replicas: Replicas) -> Summary:
    """Run a plan on replicas, in the Ray session that we are in, until it is finished.

    Raises:
        Failure: what ended it early; the same command resumes it.
        KeyboardInterrupt: the user did; what had concluded is written.
    """
    from cluster.remote import RemoteWriter

    replicas = replicas.needed_by(plan.recipe)
    with (
        tempfile.TemporaryDirectory(prefix="parsimony-", ignore_cleanup_errors=True) as spool,
        ProgressDisplay() as display,
    ):
        for warning in (*plan.warnings, *plan.problems.warnings):
            display.note(f"warning: {warning}")
        writer = RemoteWriter.launch(partial(Writer, plan.store, Path(spool)))
        state: RunState = writer.call(
            "open", plan.manifest, this_process(), take_over=plan.options.take_over, free=operational_keys()
        )
        for line in state.drift:
            display.note(f"warning: {line}")
        if len(state.done) < plan.problems.num_problems:
            _introduce(plan, replicas, state, writer, display)
            _work(plan, replicas, state, writer, display)
        elif not state.finished:  # everything but the last word had been written
            _finish(plan, writer, state.spent_tokens)
    return read_status(plan.store, now_s=time.time()).summary


def _introduce(
    plan: Plan, replicas: Replicas, state: RunState, writer: "RemoteWriter", display: ProgressDisplay
) -> None:
    """Wait for the models and check them, with a sign of life for user and lease; let the run go if it fails."""
    started_s = beaten_s = time.monotonic()

    def on_tick(num_ready: int) -> None:
        nonlocal beaten_s
        now_s = time.monotonic()
        progress = replace(_progress(plan, state, len(replicas)), replicas_ready=num_ready, elapsed_s=now_s - started_s)
        display.show(progress)
        if now_s - beaten_s >= HEARTBEAT_S:
            beaten_s = now_s
            writer.call("heartbeat", asdict(progress))

    try:
        warnings = check_introductions(replicas.introduce(on_tick), plan.manifest)
    except (Failure, KeyboardInterrupt):
        writer.call("release", state.spent_tokens)
        raise
    for warning in warnings:
        display.note(f"warning: {warning}")


def _work(plan: Plan, replicas: Replicas, state: RunState, writer: "RemoteWriter", display: ProgressDisplay) -> None:
    """Run a controller to its end, and let the run go: finished, or stopped clean."""
    from cluster.remote import RemoteController

    controller = RemoteController(partial(_controller, plan, replicas, state, writer))
    try:
        _watch(controller, display)
        _finish(plan, writer, controller.call("charged_tokens"))
    except ReplicaFailed:
        writer.call("release", controller.call("charged_tokens"))
        raise
    except KeyboardInterrupt:
        display.note("stopping: writing what has concluded (once more to stop at once)")
        controller.call("stop")
        _watch(controller, display)
        writer.call("release", controller.call("charged_tokens"))
        raise
    finally:
        controller.end()


def _finish(plan: Plan, writer: "RemoteWriter", spent_tokens: int) -> None:
    """Write `_SUCCESS`, after a check that every problem has its row."""
    writer.call("finish", [problem.problem_id for problem in plan.problems], spent_tokens)


def _watch(controller: "RemoteController", display: ProgressDisplay) -> None:
    """Show how far it is until it has come to an end; raise what ended it."""
    while not controller.finished(POLL_S):
        _show(controller, display)
    controller.result()
    _show(controller, display)


def _show(controller: "RemoteController", display: ProgressDisplay) -> None:
    for note in controller.call("take_notes"):
        display.note(note)
    display.show(controller.call("progress"))


def _controller(plan: Plan, replicas: Replicas, state: RunState, writer: "RemoteWriter") -> Controller:
    """The controller of a run, made in its own process."""
    recipe = plan.recipe
    settings = RunSettings(
        replica_epoch=time.time_ns() // 1_000_000,
        run_seed=recipe.seed,
        strategy_name=recipe.strategy.name,
        sampling=sampling(recipe),
        total_tokens=recipe.budget.total_tokens,
        deadline_s=recipe.budget.deadline_s,
        max_open_problems=recipe.cluster.max_open_problems,
        # Rows that wait to be written count as open: never so many that they keep others from being begun.
        flush=FlushPolicy(
            num_problems=max(1, min(recipe.output.flush_problems, recipe.cluster.max_open_problems // 2)),
            interval_s=recipe.output.flush_interval_s,
        ),
        heartbeat_s=HEARTBEAT_S,
    )
    so_far = RunSoFar(
        visible=_progress(plan, state, len(replicas)),
        spent_tokens=state.spent_tokens,
        leased_tokens=state.leased_tokens,
        next_batch=state.next_batch,
    )
    grader = recipe.grader
    return Controller(
        problems=OwedProblems(plan.problems, state.done),
        strategy=plan.strategy,
        settings=settings,
        so_far=so_far,
        generators=replicas.generators,
        prms=replicas.prms,
        writer=writer,
        grader=Grader(grader.kind, num_workers=grader.num_workers, timeout_s=grader.timeout_s),
    )


def _progress(plan: Plan, state: RunState, replicas_wanted: int) -> Progress:
    """Where the run stands before this controller has done anything."""
    totals = state.totals
    return Progress(
        phase="loading models",
        total_problems=plan.problems.num_problems,
        done_problems=totals.problems,
        failed_problems=totals.failed,
        exhausted_problems=totals.budget_exhausted,
        graded=totals.graded,
        correct=totals.correct,
        open_problems=0,
        generated_tokens=state.spent_tokens,
        prompt_tokens=totals.prompt_tokens,
        cached_tokens=totals.cached_tokens,
        prm_tokens=totals.prm_tokens,
        total_tokens_cap=plan.recipe.budget.total_tokens,
        elapsed_s=0.0,
        replicas_ready=0,
        replicas_wanted=replicas_wanted,
        replicas_lost=0,
    )


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="score"))
