"""A PRM used with another generator or temperature than it was trained for: warned of before any model is loaded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from jobs.command_line.score import ScoreOptions
from jobs.scoring.plan import Plan, make_plan
from jobs.scoring.replicas import check_introductions
from records.jsonio import decode, encode
from records.replica import ReplicaInfo
from records.run_folder.manifest import Manifest, differences
from tests.actors.conftest import EXAMPLE


def plan(tmp_path: Path, *overrides: str, recipe: str = "best-of-16") -> Plan:
    options = ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / f"{recipe}.toml",
        output=str(tmp_path / "run"),
        overrides=overrides,
        limit=2,
    )
    return make_plan(options)


@pytest.fixture
def other_generator(tmp_path) -> Path:
    folder = Path(shutil.copytree(EXAMPLE / "generator", tmp_path / "other"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] *= 1.01
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def introductions(made: Plan) -> list[ReplicaInfo]:
    """What the replicas of a plan say once they are up."""
    config = json.loads((EXAMPLE / "prm" / "prm_config.json").read_text())
    shared = {"separator": "\n\n", "trained_for_generator": config["trained_for"]["generator"], "golden_max_error": 0.0}
    return [
        ReplicaInfo("me", role, model.model, model.model_sha256, str(model.tokenizer_sha256), 1, 512, 8, "cpu", shared)
        for role, model in made.manifest.models.items()
    ]


def test_what_it_was_trained_for_gives_no_warning(tmp_path):
    assert plan(tmp_path).warnings == plan(tmp_path).manifest.warnings == ()


def test_another_temperature_is_warned_of(tmp_path):
    made = plan(tmp_path, "generator.temperature=0.3")
    (warning,) = made.warnings
    assert "with temperature 0.7, and generator.temperature is 0.3" in warning
    assert made.manifest.warnings == made.warnings


def test_another_way_of_drawing_is_warned_of_where_the_prm_says_how_it_was(tmp_path):
    drawn = ("generator.top_p=0.9", 'generator.stop=["x"]', "generator.logit_bias={7 = -1.0}")
    assert plan(tmp_path, *drawn).warnings == ()  # an older PRM does not say
    folder = Path(shutil.copytree(EXAMPLE / "prm", tmp_path / "prm"))
    config = json.loads((folder / "prm_config.json").read_text())
    config["trained_for"]["sampling"] = {"top_p": 0.9, "top_k": 5, "logit_bias": {"7": -1.0}}
    (folder / "prm_config.json").write_text(json.dumps(config))
    said = plan(tmp_path, f"prm.model={folder}", *drawn).warnings
    assert [warning.partition(": its")[0].partition("samples ")[2] for warning in said] == [
        'with stop [], and generator.stop is ["x"]',
        "with top_k 5, and generator.top_k is 0",
    ]


def test_another_generator_is_warned_of_once(tmp_path, other_generator):
    made = plan(tmp_path, f"generator.model={other_generator}")
    (warning,) = made.warnings
    assert "trained for another generator (ec4747dedbca)" in warning
    assert check_introductions(introductions(made), made.manifest) == []
    large = replace(made.manifest, warnings=())  # its weights were too large to be hashed offline
    assert check_introductions(introductions(made), large) == [warning]


def test_a_strategy_without_a_prm_is_not_warned(tmp_path):
    assert plan(tmp_path, "generator.temperature=0.3", recipe="majority").warnings == ()


def test_an_uncalibrated_prm_need_not_say_for_which_generator(tmp_path):
    folder = Path(shutil.copytree(EXAMPLE / "prm", tmp_path / "prm"))
    config = json.loads((folder / "prm_config.json").read_text())
    del config["trained_for"]
    (folder / "prm_config.json").write_text(json.dumps(config))
    assert plan(tmp_path, f"prm.model={folder}").warnings == ()


def test_another_head_on_the_same_backbone_is_another_model(tmp_path):
    made = plan(tmp_path).manifest
    folder = Path(shutil.copytree(EXAMPLE / "prm", tmp_path / "prm"))
    same = plan(tmp_path, f"prm.model={folder}").manifest
    assert same.models["prm"].model_sha256 == made.models["prm"].model_sha256
    tensors = load_file(folder / "head.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, folder / "head.safetensors")
    other = plan(tmp_path, f"prm.model={folder}").manifest
    assert any(line.startswith("models.prm.model_sha256") for line in differences(made, other))


def test_warnings_are_kept_and_do_not_keep_a_run_from_going_on(tmp_path):
    manifest = plan(tmp_path, "generator.temperature=0.3").manifest
    assert decode(Manifest, encode(manifest), "_manifest.json") == manifest
    assert differences(manifest, replace(manifest, warnings=())) == []


def test_the_examples_calibrated_prm_is_for_the_examples_generator(tmp_path):
    calibrated = str(EXAMPLE / "prm-calibrated")
    assert plan(tmp_path, f"prm.model={calibrated}").warnings == ()
    [warning] = plan(tmp_path, f"prm.model={calibrated}", "generator.temperature=1.0").warnings
    assert "temperature" in warning
    spec = json.loads((EXAMPLE / "prm-calibrated/prm_config.json").read_text())["head"]
    assert (spec["kind"], spec["levels"]) == ("beta-binomial", [0.1, 0.5, 0.9])
