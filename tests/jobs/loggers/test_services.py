"""A run told to the real clients, each keeping it in local files: TensorBoard, W&B offline, MLflow."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.loggers.of_recipe import LOGGER_PACKAGES, check_loggers, make_loggers, told_settings
from jobs.loggers.run_loggers import RunLoggers
from jobs.recipes.load import load_recipe
from jobs.recipes.sections import Recipe
from records.failure import InvalidInput
from tests.jobs.loggers.test_run_loggers import BEGUN

EXAMPLE = Path(__file__).parents[3] / "examples/arithmetic/majority.toml"


def recipe(kind: str, *sets: str) -> Recipe:
    return load_recipe(EXAMPLE, [f'loggers.kinds=["{kind}"]', *sets])


def tell(made: Recipe, run: str, numbers: list[int]) -> None:
    notes: list[str] = []
    with RunLoggers(make_loggers(made, run), settings=told_settings(made), run=run, note=notes.append) as loggers:
        for at in numbers:
            loggers.show(replace(BEGUN, done_problems=at, elapsed_s=20.0 * at, graded=at, correct=at))
        loggers.finished = numbers[-1] == 8
    assert notes == []


def test_tensorboard_has_curves_settings_and_the_runs_address(tmp_path):
    events = pytest.importorskip("tensorboardX.proto.event_pb2")
    tell(recipe("tensorboard", f"loggers.folder={tmp_path}"), "runs/mine", [0, 4, 8])
    [file] = (tmp_path / "mine").iterdir()
    content, at, points, texts = file.read_bytes(), 0, {}, {}
    while at < len(content):  # length, its checksum, an event, its checksum
        length = int.from_bytes(content[at : at + 8], "little")
        event = events.Event.FromString(content[at + 12 : at + 12 + length])
        at += length + 16
        for value in event.summary.value:
            if value.tensor.string_val:
                texts[value.tag.partition("/")[0]] = value.tensor.string_val[0].decode()
            else:
                points.setdefault(value.tag, {})[event.step] = value.simple_value
    assert points["problems/done"] == {0: 0, 80: 4, 160: 8}
    assert points["accuracy"] == {80: 1, 160: 1}
    assert "| strategy.num_samples | 16 |" in texts["settings"]
    assert texts["run"] == "runs/mine"
    assert "finished" in texts["summary"]


def test_wandb_offline_keeps_it_in_files(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    tell(recipe("wandb"), "runs/mine", [0, 8])
    [file] = tmp_path.rglob("*.wandb")
    expected = (b"strategy.num_samples", b"problems/done", b"runs/mine")
    end_s = time.monotonic() + 60  # W&B's own process writes the file, and may do so after `finish`
    while time.monotonic() < end_s and not all(said in file.read_bytes() for said in expected):
        time.sleep(0.1)
    content = file.read_bytes()
    assert [said for said in expected if said not in content] == []


def test_mlflow_has_params_metrics_and_goes_on_with_a_run(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow's pins are not ours: it is not in the lists")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for numbers in ([0, 4], [4, 8]):
        tell(recipe("mlflow", "loggers.project=sums"), "runs/mine", numbers)
    client = tracking.MlflowClient()
    experiment = client.get_experiment_by_name("sums")
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.tags["parsimony.finished"]) == ("FINISHED", "true")
    assert run.data.params["strategy.num_samples"] == "16"
    assert run.data.metrics["final/problems/done"] == 8
    assert [point.value for point in client.get_metric_history(run.info.run_id, "problems/done")] == [0, 4, 4, 8]


@pytest.mark.parametrize("kind", LOGGER_PACKAGES)
def test_a_package_that_is_not_there_is_refused_before_anything_else(kind, monkeypatch):
    monkeypatch.setattr("jobs.loggers.of_recipe.find_spec", lambda _: None)
    with pytest.raises(
        InvalidInput, match=rf"loggers.kinds: {kind} needs the package {LOGGER_PACKAGES[kind]}.*pip install"
    ):
        check_loggers(recipe(kind))
    check_loggers(load_recipe(EXAMPLE))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('loggers.kinds=["neptune"]', "loggers.kinds"),
        ('loggers.kinds=["wandb", "wandb"]', "names one of them twice"),
        ("loggers.name=../up", "must be a name, not a path"),
    ],
)
def test_what_is_no_logger_is_refused(override, said, capsys):
    assert main(["recipe", "show", str(EXAMPLE), "--set", override]) == 2
    assert said in capsys.readouterr().err


def test_a_recipe_without_loggers_is_what_it_was():
    assert "loggers" not in json.loads(load_recipe(EXAMPLE).model_dump_json())
