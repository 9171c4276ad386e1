"""`parsimony calibrate` as a user runs it: real Ray, real torch, the example's PRM; killed, and resumed."""

import json
import time
from pathlib import Path

import psutil
import pytest

from actors.trainer.checkpoint import CHECKPOINT, read_training_state
from cluster.store import LocalStore
from jobs.cli import main
from tests.support.drivers import LIMIT_S, Driver, named_below
from tests.support.rollouts import write_rollouts

pytestmark = pytest.mark.ray

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
SMALL = (
    "calibration.epochs=4",
    "calibration.batch_prefixes=16",
    "calibration.evaluations_per_epoch=1",
    "calibration.checkpoint_interval_s=0.01",
    "calibration.num_resamples=100",
    "calibration.cpu_threads=1",
    "calibration.test_share=0.3",
    "calibration.stopping_share=0.2",
    "calibration.seed=1",
)


class Calibrating(Driver):
    """One `parsimony calibrate` in a process of its own."""

    def __init__(self, rollouts: Path, output: Path) -> None:
        overrides = [argument for override in SMALL for argument in ("--set", override)]
        recipe = ["--recipe", str(EXAMPLE / "calibrate.toml")]
        super().__init__(output, "calibrate", str(rollouts), *recipe, "--json", *overrides)
        self.training = LocalStore(output / "_training")

    def wait_for_batches(self, number: int) -> None:
        """Until a checkpoint stands so far."""
        deadline_s = time.monotonic() + LIMIT_S
        while self.training.list(CHECKPOINT)[-1:] < [f"{CHECKPOINT}{number:010d}.zip"]:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.02)

    def trainer(self) -> psutil.Process:
        """The process of the trainer's actor."""
        (found,) = named_below(self.tree, "ThreadedHost")
        return found


@pytest.mark.long
def test_killed_and_resumed_it_ends_where_an_unbroken_one_does(tmp_path, drivers, capsys):
    rollouts = tmp_path / "rollouts.parquet"
    write_rollouts(rollouts)
    whole = Calibrating(rollouts, tmp_path / "whole")
    drivers.append(whole)
    code, output = whole.finish()
    assert code == 0, whole.log.read_text()
    expected = json.loads(output)
    losses = [loss for _, loss in expected["training"]["held_out_losses"]]
    assert min(losses) < 0.8 * losses[0]  # it has learned

    killed = Calibrating(rollouts, tmp_path / "killed")
    drivers.append(killed)
    killed.wait_for_batches(3)
    killed.trainer().kill()
    killed.wait_for_batches(9)
    killed.kill()  # and the trainer: Ray would let it go on for seconds, and it may finish
    assert "a new trainer goes on" in killed.log.read_text()
    left = read_training_state(killed.training).position.num_done
    assert 9 <= left < expected["training"]["batches"]
    assert not (tmp_path / "killed/config.json").exists()

    resumed = Calibrating(rollouts, tmp_path / "killed")
    drivers.append(resumed)
    code, output = resumed.finish()
    assert code == 0, resumed.log.read_text()
    found = json.loads(output)
    assert f"going on from the checkpoint after batch {left}\n" in resumed.log.read_text()
    assert found["training"]["best_loss"] == pytest.approx(expected["training"]["best_loss"], rel=1e-4)
    assert found["training"]["batches"] == expected["training"]["batches"]
    assert [at for at, _ in found["training"]["held_out_losses"]] == [
        at for at, _ in expected["training"]["held_out_losses"]
    ]
    briers = [
        each["evaluation"]["tables"]["test"]["methods"]["calibrated"]["brier"]["value"] for each in (found, expected)
    ]
    assert briers[0] == pytest.approx(briers[1], rel=1e-4)

    prm = tmp_path / "killed"
    told = json.loads((prm / "prm_config.json").read_text())
    assert told["trained_for"] == {"generator": "a" * 64, "temperature": 0.7}
    assert told["calibration"]["data"]["rollouts"]["problems"] == 40
    assert len(told["calibration"]["prm_sha256"]) == 64
    assert {file.name for file in (prm / "calibration").iterdir()} >= {
        "summary.json",
        "evaluation.json",
        "reliability.png",
    }
    assert not list((prm / "_training").glob("checkpoint-*"))

    again = ["calibrate", str(rollouts), "--recipe", str(EXAMPLE / "calibrate.toml"), "--output", str(prm)]
    again += [argument for override in SMALL for argument in ("--set", override)]
    capsys.readouterr()
    assert main(again) == 0
    assert "calibrated" in capsys.readouterr().out
    assert main([*again, "--set", "calibration.epochs=5"]) == 2
    assert "calibration.epochs: was 4, is 5" in capsys.readouterr().err
