"""The three commands of docs/calibration.md, as they stand there, on a newcomer's own problems and models; small."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from records.run_folder.reader import read_run

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.ci]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/arithmetic"
SMALL = """
[calibration]
head = "beta-binomial"
lora_rank = 2
target_modules = ["q_proj", "v_proj"]
every_nth_layer = 2
epochs = 1
evaluations_per_epoch = 1
num_resamples = 100
"""


def commands() -> list[list[str]]:
    """The words of each, without `parsimony`."""
    block = re.search(
        r"^## Three commands\n\n```\n(.*?)```", (ROOT / "docs/calibration.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert block is not None
    return [shlex.split(line)[1:] for line in block[1].splitlines()]


def test_the_documented_commands_make_a_calibrated_prm_and_score_with_it(tmp_path):
    recipe = (EXAMPLE / "best-of-16.toml").read_text()
    for role in ("generator", "prm"):
        recipe = recipe.replace(f'model = "{role}"', f'model = "{EXAMPLE / role}"')
    recipe = recipe.replace("num_samples = 16", "num_samples = 4")
    (tmp_path / "my.toml").write_text(recipe + SMALL)
    lines = (EXAMPLE / "calibration.jsonl").read_text().splitlines(keepends=True)
    short = [line for line in lines if json.loads(line)["level"] <= 2]
    (tmp_path / "my.jsonl").write_text("".join(short[:24]))
    (tmp_path / "my-test.jsonl").write_text("".join(short[24:32]))

    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # the checkout need not be installed
    written = commands()
    assert [words[0] for words in written] == ["rollout", "calibrate", "score"]
    for name, *arguments in written:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", name, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    rollouts = read_run(tmp_path / "runs/rollouts").rollouts()
    assert rollouts["trials"].to_pylist().count(8) > 50
    prm = tmp_path / "models/my-prm"
    config = json.loads((prm / "prm_config.json").read_text())
    assert config["head"]["kind"] == "beta-binomial"
    assert config["trained_for"] == {
        "generator": rollouts["generator"][0].as_py(),
        "temperature": tomllib.loads(recipe)["generator"]["temperature"],
        "sampling": {},
    }
    assert (prm / "calibration/reliability.png").stat().st_size > 10_000
    found = read_run(tmp_path / "runs/calibrated")
    assert found.finished
    assert found.manifest.warnings == ()
    for row in found.problems().to_pylist():
        assert 0 <= row["p_lower"] < row["p_median"] < row["p_upper"] <= 1
