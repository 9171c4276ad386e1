"""The offline checks: the shipped models pass, and every way to break them is named."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from actors.replicas.preflight import check_generator, check_prm, check_together
from records.failure import InvalidInput, PreflightFailed
from records.replica import ReplicaInfo
from tests.actors.conftest import REAL_GENERATOR, REAL_PRM


def test_the_shipped_models_pass():
    check_generator(REAL_GENERATOR)
    check_prm(REAL_PRM)


@pytest.fixture
def generator_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REAL_GENERATOR.model, tmp_path / "generator"))


@pytest.fixture
def prm_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REAL_PRM.model, tmp_path / "prm"))


def change_json(file: Path, **fields: object) -> None:
    """Set fields; None removes one."""
    content = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


Breakage = tuple[Callable[[Path], object], str]

BROKEN_GENERATORS: dict[str, Breakage] = {
    "no folder": (shutil.rmtree, "no such folder"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "not an object"),
    "no architecture": (lambda folder: change_json(folder / "config.json", architectures=None), "architectures"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no \\*.safetensors"),
    "cut weights": (lambda folder: cut(folder / "model.safetensors"), "cut short"),
    "no safetensors": (lambda folder: (folder / "model.safetensors").write_bytes(b"1234"), "no safetensors file"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json: missing"),
    "bad tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN_GENERATORS)
def test_a_broken_generator_is_named(generator_folder, name):
    break_it, words = BROKEN_GENERATORS[name]
    break_it(generator_folder)
    with pytest.raises(InvalidInput, match=words):
        check_generator(replace(REAL_GENERATOR, model=str(generator_folder)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_model_len": 1024}, "made for 512"),
        ({"max_model_len": 10}, "too short"),
        ({"prompt_template": "Solve it."}, r"lacks \{question\}"),
        ({"chat": True}, "no chat template"),
        ({"max_logprobs": 264}, "vocabulary of 263"),
        ({"separator": ""}, "no step would be seen"),
        ({"separator": "<eos>"}, "no step would be seen"),
    ],
)
def test_settings_that_do_not_fit_the_generator_are_named(fields, words):
    with pytest.raises(InvalidInput, match=words):
        check_generator(replace(REAL_GENERATOR, **fields))


def write_wide_head(folder: Path) -> None:
    save_file({"weight": np.zeros((1, 7), np.float32), "bias": np.zeros(1, np.float32)}, folder / "head.safetensors")


BROKEN_PRMS: dict[str, Breakage] = {
    "no config": (lambda folder: (folder / "prm_config.json").unlink(), "prm_config.json"),
    "newer": (lambda folder: change_json(folder / "prm_config.json", format_version=2), "format_version is 2"),
    "family": (lambda folder: change_json(folder / "prm_config.json", family="other"), "family is 'other'"),
    "no separator": (lambda folder: change_json(folder / "prm_config.json", separator=None), "separator is None"),
    "two tokens": (lambda folder: change_json(folder / "prm_config.json", separator="##"), "not one token"),
    "a list for": (lambda folder: change_json(folder / "prm_config.json", trained_for=["x"]), "trained_for is"),
    "a hot word": (
        lambda folder: change_json(folder / "prm_config.json", trained_for={"temperature": "hot"}),
        "trained_for is",
    ),
    "no head": (lambda folder: (folder / "head.safetensors").unlink(), "head.safetensors: missing"),
    "wide head": (write_wide_head, "over a size of 192"),
}


@pytest.mark.parametrize("name", BROKEN_PRMS)
def test_a_broken_prm_is_named(prm_folder, name):
    break_it, words = BROKEN_PRMS[name]
    break_it(prm_folder)
    with pytest.raises(InvalidInput, match=words):
        check_prm(replace(REAL_PRM, model=str(prm_folder)))


def info(role: str, **details: str | float | None) -> ReplicaInfo:
    return ReplicaInfo(
        "me", role, role, f"sha of {role}", "tokenizer", 10, 512, 8, "cpu", {"separator": "\n\n", **details}
    )


def test_replicas_that_fit_give_no_warning():
    prm = info("prm", trained_for_generator="sha of generator", golden_max_error=1e-6)
    assert check_together(info("generator"), prm) == []


def test_replicas_with_other_separators_do_not_work_together():
    with pytest.raises(PreflightFailed, match="separator"):
        check_together(info("generator"), info("prm", separator="\n"))


def test_a_published_prm_takes_steps_however_they_end():
    assert check_together(info("generator", separator="\n"), info("prm", separator=None, golden_max_error=0.0)) == []


def test_what_a_user_should_know_is_a_warning():
    prm = replace(info("prm", trained_for_generator="another", golden_max_error=None), max_model_len=100)
    warnings = check_together(info("generator"), prm)
    assert ["another generator" in warnings[0], "shorter" in warnings[1], "golden" in warnings[2]] == [True] * 3


def test_a_calibrated_prm_says_for_which_generator():
    assert "does not say" in check_together(info("generator"), info("prm", calibrated=True, golden_max_error=0.0))[0]
    assert check_together(info("generator"), info("prm", calibrated=False, golden_max_error=0.0)) == []


def test_nothing_heavy_is_loaded_for_the_checks():
    probe = (
        "import sys, actors.replicas.preflight, actors.replicas.generator, actors.replicas.prm; "
        "print([m for m in ('torch', 'transformers', "
        "'vllm', 'ray') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
