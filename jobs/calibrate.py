"""`parsimony calibrate`: fit a PRM's head and adapters to rollouts, and publish it as a PRM. Again = resume.

plan (all checks, no model) --> finished? its table --> lease --> Ray --> trainer: train, from the last checkpoint on
                                                                             |
   _training/_SUCCESS <-- PRM, config.json last <-- table against baselines <-- shift <-- outputs on held-out problems
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console

from actors.trainer.checkpoint import CHECKPOINT, Position, remove_training_states
from actors.trainer.trainer import Outputs
from actors.writer.lease import Claim, HeldLease, acquire, beating, newest_lease, this_process
from actors.writer.store_retry import patiently_blocking
from actors.writer.writer import FRESH_S
from jobs.calibration.methods import fit_baselines, fit_shift, methods
from jobs.calibration.plan import SUCCESS, CalibrationPlan, make_calibration_plan
from jobs.calibration.progress import CalibrationDisplay
from jobs.calibration.report import REPORT_FILE, CalibrationReport, build_report, print_report, write_report
from jobs.calibration.trainer_host import TrainerActor, survive
from jobs.command_line.calibrate import CalibrateOptions
from jobs.command_line.signals import treat_sigterm_as_interrupt
from jobs.display.consoles import new_console
from jobs.display.terminal import out
from records.failure import Failure, StoreFailed
from records.jsonio import decode
from records.rows import RolloutRow
from records.run_folder.store import Store
from records.scratch import scratch_folder
from scaling.calibration.chains import CONFORMAL, TEST, TRAINING, split_of
from scaling.calibration.heads import HeadSpec
from scaling.calibration.observed import Predictions

MAX_IDLE_TRAINERS = 3
"""Trainers in a row that die before another checkpoint is written; then the calibration ends."""
REPORT_FOLDER = "calibration"
_SUMMARY_FILE = "summary.json"
REPORT_COLUMNS = 120
"""Of the tables where no terminal says how many there are."""
NUM_EXAMPLES = 4
"""Paths whose scores golden.json keeps."""


def run(options: CalibrateOptions) -> int:
    """Calibrate a PRM; the exit status."""
    plan = make_calibration_plan(options)
    if not plan.finished:
        calibrate(plan, take_over=options.take_over)
    summary, report = read_result(plan)
    if options.json:
        out(json.dumps(summary | {"evaluation": asdict(report)}, indent=2, allow_nan=False) + "\n")
    else:
        console = new_console(width=None if sys.stdout.isatty() else REPORT_COLUMNS)
        print_report(report, console)
        _print_summary(summary, console)
    return 0


def calibrate(plan: CalibrationPlan, *, take_over: bool) -> None:
    """Carry out a plan to its end.

    Raises:
        RunLocked: another driver is at work on this output.
        Failure: what ended it early; the same command goes on.
        KeyboardInterrupt: the user did; the training has a checkpoint.
    """
    with CalibrationDisplay() as display:
        for warning in plan.warnings:
            display.note(f"warning: {warning}")
        with _lease(plan, display, take_over=take_over) as lease, ExitStack() as session:
            with beating(lease, lease.clock, FRESH_S / 6):
                session.enter_context(_ray_session(plan))
            if plan.training.read(SUCCESS) is None:  # else another driver finished it just now
                _work(plan, lease, display)


def read_result(plan: CalibrationPlan) -> tuple[dict[str, Any], CalibrationReport]:
    """What a finished calibration came to.

    Raises:
        StoreFailed: its files are gone or damaged.
    """
    names = [f"{REPORT_FOLDER}/{_SUMMARY_FILE}", f"{REPORT_FOLDER}/{REPORT_FILE}"]
    found = [plan.output.read(name) for name in names]
    if found[0] is None or found[1] is None:
        raise StoreFailed(f"{plan.output.uri} is finished, and lacks {' or '.join(names)}")
    return json.loads(found[0]), decode(CalibrationReport, found[1], names[1])


def _work(plan: CalibrationPlan, lease: HeldLease, display: CalibrationDisplay) -> None:
    with scratch_folder() as spool:
        actor = TrainerActor(plan, lease, spool, display)
        try:
            survive(
                actor,
                partial(_fit_and_publish, plan, actor, lease, display, spool),
                mark=partial(last_checkpoint, plan.training, display.note),
                tries=MAX_IDLE_TRAINERS,
                note=display.note,
            )
        except KeyboardInterrupt:
            display.note("stopping: writing a checkpoint (once more to stop at once)")
            try:
                actor.stop()
            except Failure as failure:  # the user wants an end, not another trainer
                display.note(f"{failure}; the same command goes on from the last checkpoint")
            raise
        finally:
            actor.end()
        finish(plan.training, lease, display.note)


def last_checkpoint(training: Store, note: Callable[[str], None]) -> list[str]:
    """Its name; empty before the first. May raise `StoreFailed` after an outage that lasts."""
    return patiently_blocking(lambda: training.list(CHECKPOINT)[-1:], note)


def finish(training: Store, lease: HeldLease, note: Callable[[str], None]) -> None:
    """Say that the PRM is whole, and remove what only a resume needs.

    Raises:
        Fenced: another driver has the output; nothing is written.
    """
    _check_held(lease, note)
    patiently_blocking(lambda: training.create(SUCCESS, b""), note)
    patiently_blocking(lambda: remove_training_states(training), note)


def _check_held(lease: HeldLease, note: Callable[[str], None]) -> None:
    """Raise `Fenced` if another driver has the output."""
    patiently_blocking(lambda: lease.heartbeat(lease.clock(), {}), note)


def _fit_and_publish(
    plan: CalibrationPlan, actor: TrainerActor, lease: HeldLease, display: CalibrationDisplay, spool: Path
) -> None:
    """All that is done with one trainer; another one begins from its checkpoint."""
    section, head = plan.section, plan.section.head_spec()
    position: Position = actor.perform("train")
    training = plan.splits[TRAINING]
    fitted = fit_baselines(
        training, actor.perform("old_scores", training), levels=head.levels, by_problem=section.weighting == "problem"
    )
    shifted, coverage = head, section.coverage()
    if coverage is not None:
        held_out = plan.splits[CONFORMAL]
        found: Outputs = actor.perform("predict", held_out)
        shifted = replace(head, lower_shift=fit_shift(held_out, found.outputs, head, coverage=coverage))
    said = {
        name: methods(actor.perform("predict", chosen), fitted, head, shifted)
        for name, chosen in plan.evaluations.items()
    }
    summary = _summary(plan, position, shifted)
    with beating(lease, lease.clock, FRESH_S / 6):
        display.note("evaluating")
        _write_report(plan, summary, said, spool / REPORT_FOLDER, display.note)
    _check_held(lease, display.note)
    actor.perform(
        "publish",
        plan.output,
        trained_for=plan.rollouts.trained_for,
        notes={key: value for key, value in summary.items() if key != "prm"},
        examples=_examples(plan),
        lower_shift=shifted.lower_shift,
    )


def _write_report(
    plan: CalibrationPlan,
    summary: dict[str, Any],
    said: Mapping[str, Mapping[str, Predictions]],
    folder: Path,
    note: Callable[[str], None],
) -> None:
    """Evaluate what the methods said of each set, and put table, diagram and summary beside the PRM to come."""
    # A prefix counts as often as trajectories pass through it, so "prefixes" below are prefixes of trajectories.
    sets = {name: (plan.evaluations[name].observed, plan.evaluations[name].sampled, own) for name, own in said.items()}
    report = build_report(
        {
            name: (observed.at(rows), {method: each.at(rows) for method, each in own.items()})
            for name, (observed, rows, own) in sets.items()
        },
        num_resamples=plan.section.num_resamples,
        seed=plan.seed,
    )
    write_report(report, folder)
    (folder / _SUMMARY_FILE).write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for file in sorted(folder.iterdir()):
        name = f"{REPORT_FOLDER}/{file.name}"
        patiently_blocking(partial(plan.output.upload, name, file), note)


def _summary(plan: CalibrationPlan, position: Position, shifted: HeadSpec) -> dict[str, Any]:
    """What a calibration was, as JSON; without the address also what prm_config.json says of it."""
    manifest = plan.manifest
    return {
        "prm": plan.output.uri,
        "base": Path(manifest.prm.model).name,
        "base_tokenizer_sha256": manifest.prm.tokenizer_sha256,
        "settings": manifest.settings,
        "data": manifest.data,
        "splits": {
            name: {"problems": len(split.questions), "prefixes": len(split), "tokens": split.num_tokens}
            for name, split in plan.splits.items()
        },
        "training": {
            "batches": position.num_done,
            "best_batch": position.best_batch,
            "best_loss": position.best_loss,
            "held_out_losses": [list(each) for each in position.held_out],
            "seconds": round(position.seconds, 3),
        },
        "conformal": None
        if plan.section.coverage() is None
        else {"coverage": plan.section.coverage(), "lower_shift": shifted.lower_shift},
        "versions": manifest.versions,
        "git_revision": manifest.git_revision,
    }


def _examples(plan: CalibrationPlan) -> list[tuple[str, tuple[str, ...]]]:
    """A path of each of a few problems that were not trained on: the shortest one of several steps."""
    shares = plan.section.shares()
    shortest: dict[str, RolloutRow] = {}
    for row in plan.rollouts.rows:
        if split_of(row.problem_id, seed=plan.seed, shares=shares) != TEST:
            continue
        held = shortest.get(row.problem_id)
        if held is None or _length(row) < _length(held):
            shortest[row.problem_id] = row
    chosen = sorted(shortest.values(), key=lambda row: (_length(row), row.problem_id))[:NUM_EXAMPLES]
    return [(row.question, row.steps) for row in chosen]


def _length(row: RolloutRow) -> tuple[int, int]:
    return (-min(row.depth, 2), len(row.question) + sum(map(len, row.steps)))


@contextmanager
def _lease(plan: CalibrationPlan, display: CalibrationDisplay, *, take_over: bool) -> Iterator[HeldLease]:
    """Be the only driver of this output."""
    store = plan.training
    claim = Claim(writer=uuid4().hex, owner=this_process(), take_over=take_over, again=False, fresh_s=FRESH_S)
    lease = HeldLease(
        store, patiently_blocking(lambda: acquire(store, claim, newest_lease(store), store.now_s()), display.note)
    )
    try:
        yield lease
    finally:
        try:
            patiently_blocking(lambda: lease.release(lease.clock()), display.note)
        except Failure as failure:
            display.note(f"{store.uri} could not be released ({failure}); the same command goes on all the same")


@contextmanager
def _ray_session(plan: CalibrationPlan) -> Iterator[None]:
    from cluster.session import connect

    cluster = plan.recipe.cluster
    node_resource = plan.recipe.prm.node_resource if plan.recipe.prm is not None else None
    resources = {node_resource: 1} if node_resource else {}
    with connect(cluster.address, num_cpus=cluster.num_cpus, min_cpus=plan.section.cpu_threads, resources=resources):
        treat_sigterm_as_interrupt()
        yield


def _print_summary(summary: dict[str, Any], console: Console) -> None:
    training = summary["training"]
    console.print(
        f"{summary['prm']}: best after batch {training['best_batch']} of {training['batches']}, "
        f"loss on the stopping problems {training['best_loss']:.4f}, before {training['held_out_losses'][0][1]:.4f}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="calibrate"))
