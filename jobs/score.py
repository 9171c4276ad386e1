"""`parsimony score`: search every problem of a file, grade the answers, stream rows to Parquet. Again = resume.

plan (all checks, no model) --> finished? done --> Ray --> replicas loaded and checked --> controller runs
                                                                                               |
summary <-- _SUCCESS, or a clean stop that leaves the rest for the same command <--------------+
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from actors.writer.run_state import RunState, agree_on_manifest
from actors.writer.store_retry import patiently_blocking
from jobs.command_line.score import ScoreOptions
from jobs.command_line.signals import treat_sigterm_as_interrupt
from jobs.display.consoles import new_console
from jobs.display.terminal import out
from jobs.loggers.of_recipe import make_loggers, told_settings
from jobs.loggers.run_loggers import RunLoggers
from jobs.recipes.resume import operational_keys
from jobs.recipes.sections import Recipe
from jobs.scoring.driver import RunDriver
from jobs.scoring.farewell import farewell
from jobs.scoring.placement import cpu_slots, node_slots
from jobs.scoring.plan import Plan, make_plan
from jobs.scoring.progress import ProgressDisplay
from jobs.scoring.replicas import Replicas, launch
from jobs.scoring.run_status import read_status
from jobs.scoring.summary import Summary, print_summary, summary_json
from records.failure import ActorDied
from records.run_folder import layout
from records.scratch import scratch_folder

SOME_FAILED = 3
MAX_IDLE_REIGNS = 3
"""Controllers in a row that die before anything more is written; then the run ends."""


def run(options: ScoreOptions) -> int:
    """Score a problem set; the exit status."""
    summary = carry_out(make_plan(options))
    if options.json:
        out(summary_json(summary) + "\n")
    else:
        print_summary(summary, new_console())
    return SOME_FAILED if summary.problems["failed"] else 0


def carry_out(plan: Plan) -> Summary:
    """Run a plan in a Ray session of its own, unless it is finished already. Raises as `score` does."""
    summary = finished_summary(plan)
    if summary is None:
        with ray_session(plan.recipe):
            summary = score(plan, launch(plan.recipe))
    return summary


def finished_summary(plan: Plan) -> Summary | None:
    """The summary of a run that has nothing left to do; None for any other.

    Raises:
        RunMismatch: it was begun with something that decides results otherwise.
    """
    if plan.store.read(layout.SUCCESS) is None:
        return None
    agree_on_manifest(plan.store, plan.manifest, operational_keys())
    return read_status(plan.store, now_s=plan.store.now_s()).summary


@contextmanager
def ray_session(recipe: Recipe) -> Iterator[None]:
    """Be in the recipe's Ray cluster, or in a local one that is big enough for its replicas."""
    from cluster.session import connect

    cluster = recipe.cluster
    with connect(cluster.address, num_cpus=cluster.num_cpus, min_cpus=cpu_slots(recipe), resources=node_slots(recipe)):
        treat_sigterm_as_interrupt()
        yield


def score(plan: Plan, replicas: Replicas) -> Summary:
    """Run a plan on replicas, in the Ray session that we are in, until it is finished.

    A controller or writer that dies is replaced; the next one goes on from what is written.

    Raises:
        Failure: what ended it early; the same command resumes it.
        KeyboardInterrupt: the user did; what there was is written.
    """
    replicas.prepare_run()  # the controller's process comes up while models load
    replicas = replicas.needed_by(plan.recipe)
    states: list[RunState] = []
    with (
        scratch_folder() as spool,
        ProgressDisplay() as display,
        RunLoggers(
            make_loggers(plan.recipe, plan.store.uri),
            settings=told_settings(plan.recipe),
            run=plan.store.uri,
            note=display.note,
        ) as loggers,
    ):
        display.listeners.append(loggers.show)

        def on_state(state: RunState) -> None:
            states.append(state)
            for line in state.drift if len(states) == 1 else ():
                display.note(f"warning: {line}")

        display.note(plan.problems.said)
        for warning in (*plan.warnings, *plan.problems.warnings):
            display.note(f"warning: {warning}")
        if plan.only is not None:
            display.note(f"a pilot: {len(plan.only)} of {plan.problems.num_problems} problems")
        driver = RunDriver(plan, replicas, spool, display, on_state=on_state)
        begun_at: list[tuple[int, int]] = []
        while True:
            try:
                driver.run(take_over=plan.options.take_over and not states, again=bool(begun_at))
                break
            except ActorDied as died:
                if not states:
                    raise
                last = states[-1]
                begun_at.append((len(last.done), last.totals.generated_tokens + last.open_tokens))
                if begun_at[-MAX_IDLE_REIGNS:] == [begun_at[-1]] * MAX_IDLE_REIGNS:
                    raise
                display.note(f"{died}; a new one goes on from what is written")
            except KeyboardInterrupt:
                display.note(farewell(plan.store))
                raise
        loggers.finished = True
        return patiently_blocking(lambda: read_status(plan.store, now_s=plan.store.now_s()), display.note).summary


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="score"))
