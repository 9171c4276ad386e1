"""Parts of `parsimony calibrate` without Ray: trainers that die, what is compared, what is shown."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from actors.trainer.dataset import training_set
from actors.trainer.progress import TrainerProgress
from actors.trainer.trainer import Outputs
from jobs.calibration.methods import CALIBRATED, UNCALIBRATED, UNSHIFTED, fit_baselines, fit_shift, methods
from jobs.calibration.progress import CalibrationDisplay, progress_line
from jobs.calibration.trainer_host import survive
from records.failure import ActorDied, TrainingFailed
from scaling.calibration.heads import HeadSpec
from tests.actors.trainer.test_training_set import Suffixed
from tests.support.fake_training import rollout_row

HEAD = HeadSpec(kind="quantile")


class FakeActor:
    def __init__(self):
        self.started = 0

    def start(self):
        self.started += 1


def dying(times, actor, on_death=lambda: None):
    def work():
        if actor.started <= times:
            on_death()
            raise ActorDied("it was killed")

    return work


def test_a_trainer_that_comes_further_may_die_often():
    actor, batches, notes = FakeActor(), [0], []
    survive(
        actor,
        dying(10, actor, lambda: batches.append(batches[-1] + 1)),
        mark=lambda: batches[-1],
        tries=3,
        note=notes.append,
    )
    assert actor.started == 11
    assert notes == ["it was killed; a new trainer goes on from the last checkpoint"] * 10


def test_trainers_that_come_no_further_end_it():
    actor = FakeActor()
    with pytest.raises(ActorDied):
        survive(actor, dying(10, actor), mark=lambda: 5, tries=3, note=lambda _: None)
    assert actor.started == 3


def test_what_is_no_death_is_not_tried_again():
    actor = FakeActor()

    def work():
        raise TrainingFailed("the loss is nan")

    with pytest.raises(TrainingFailed):
        survive(actor, work, mark=lambda: 5, tries=3, note=lambda _: None)
    assert actor.started == 1


def some_set(num_problems=12):
    rows = []
    for number in range(num_problems):
        name = f"p{number}"
        rows += [rollout_row(name, node, ("step",) * node, (number + node) % 9, 8) for node in range(3)]
        rows.append(rollout_row(name, 3, ("end",), number % 2, 1, terminal=True))
    return training_set(rows, Suffixed(), max_model_len=99, keep_tail=True)[0]


def test_uncalibrated_comes_first_and_calibrated_last():
    chosen = some_set()
    chance = np.random.default_rng(0)
    old = chance.uniform(0.05, 0.95, len(chosen))
    fitted = fit_baselines(chosen, old, levels=HEAD.levels, by_problem=True)
    found = Outputs(chance.normal(0, 1, (len(chosen), 3)), old)
    plain = methods(found, fitted, HEAD, HEAD)
    assert [*plain][:1] + [*plain][-1:] == [UNCALIBRATED, CALIBRATED]
    assert set(plain) == {UNCALIBRATED, "temperature", "isotonic", "histogram", "constant", CALIBRATED}
    shifted = methods(found, fitted, HEAD, HeadSpec(kind="quantile", lower_shift=0.2))
    assert list(shifted)[-2:] == [UNSHIFTED, CALIBRATED]
    lower = [shifted[name].quantile(0.1) for name in (UNSHIFTED, CALIBRATED)]
    assert lower[1] == pytest.approx(np.maximum(lower[0] - 0.2, 0))


def test_the_shift_looks_at_open_prefixes_alone():
    chosen = some_set()
    outputs = np.tile([0.0, 1.0, 2.0], (len(chosen), 1))
    shift = fit_shift(chosen, outputs, HEAD, coverage=0.8)
    wild = outputs.copy()
    wild[chosen.observed.terminal] = 9.0
    assert fit_shift(chosen, wild, HEAD, coverage=0.8) == shift
    shares = chosen.observed.share[~chosen.observed.terminal]
    assert np.mean(shares >= 0.5 - shift) >= 0.8


def test_a_line_says_what_is_known():
    assert progress_line(TrainerProgress(phase="loading the model", elapsed_s=3)) == "[3s] loading the model"
    line = progress_line(
        TrainerProgress(
            phase="training",
            done_batches=5,
            num_batches=20,
            epoch=0.5,
            loss=0.123456,
            prefixes_per_s=1234.5,
            time_left_s=70,
            elapsed_s=61,
        )
    )
    assert line == (
        "[1m01s] training | batch 5/20 (epoch 0.5) | loss 0.1235 | held out ?, best ? | 1.23k prefixes/s | "
        "time left 1m10s"
    )


def test_a_log_gets_a_line_now_and_then():
    console = Console(file=StringIO(), width=200)
    with CalibrationDisplay(console) as display:
        for second in range(12):
            display.show(TrainerProgress(phase="training", num_batches=9, held_out_loss=0.5, elapsed_s=second))
        display.show(TrainerProgress(phase="training", num_batches=9, held_out_loss=0.4, elapsed_s=12))
    assert len(console.file.getvalue().splitlines()) == 4  # at 0, 5 and 10 s, and after an evaluation
