"""Models by their name on a hub: fetched from one on loopback, pinned, found again without it, refused by name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.hub import is_hub_name
from tests.services.hub import COMMIT, serving

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/arithmetic"
NAME = "parsimony/arithmetic"
STAGE = """
import sys
from cluster.hub import pinned_hub_name, stage_hub_outline
from cluster.staging import stage_folder
from records.failure import InvalidInput
try:
    pinned = pinned_hub_name(sys.argv[1])
    outline = sorted(file.name for file in stage_hub_outline(pinned).iterdir()) if sys.argv[2:] else []
    print(pinned, stage_folder(pinned), *outline, sep="\\n")
except InvalidInput as error:
    sys.exit(str(error))
"""


def stage(home: Path, endpoint: str, name: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)} | more
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "5", "HF_HUB_ETAG_TIMEOUT": "5"}
    return subprocess.run(
        [sys.executable, "-c", STAGE, name, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    return Path(shutil.copytree(EXAMPLE / "generator", tmp_path_factory.mktemp("hub") / "repository"))


def test_a_model_is_fetched_once_pinned_and_found_again_without_the_hub(tmp_path, repository):
    with serving({NAME: repository}) as hub:
        done = stage(tmp_path, hub.endpoint, NAME, "outline")
        assert done.returncode == 0, done.stderr
        pinned, folder, *outline = done.stdout.splitlines()
        assert pinned == f"{NAME}@{COMMIT}"
        assert "model.safetensors" not in outline
        assert {file.name for file in Path(folder).iterdir()} >= {"model.safetensors", "tokenizer.json", "config.json"}
        assert (Path(folder) / "model.safetensors").read_bytes() == (repository / "model.safetensors").read_bytes()
        gets = [line for line in hub.requests if line.startswith("GET") and "model.safetensors" in line]
        assert len(gets) == 1
        endpoint = hub.endpoint
    again = stage(tmp_path, endpoint, NAME)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == [pinned, folder]
    assert stage(tmp_path, endpoint, NAME, HF_HUB_OFFLINE="1").stdout.splitlines() == [pinned, folder]


def test_what_the_hub_has_not_is_refused_by_name(tmp_path, repository):
    with serving({NAME: repository}) as hub:
        nobody = stage(tmp_path, hub.endpoint, "nobody/nothing")
        assert "nobody/nothing: there is no such folder here, and no such model on the hub" in nobody.stderr
        revision = stage(tmp_path, hub.endpoint, f"{NAME}@v9")
        assert f"{NAME}@v9: the hub has no revision 'v9' of it" in revision.stderr


def test_without_a_hub_the_command_that_fetches_it_is_named(tmp_path):
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        done = stage(tmp_path, "http://127.0.0.1:9", NAME, **more)
        assert done.returncode == 1
        assert f"{NAME}: it is not here, and the hub cannot be reached" in done.stderr
        assert f"`hf download {NAME} --local-dir FOLDER`" in done.stderr


def test_a_folder_of_that_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("org/name")
    assert is_hub_name("org/name@v1.0")
    (tmp_path / "org/name").mkdir(parents=True)
    assert not is_hub_name("org/name")
    assert not any(map(is_hub_name, ("name", "/org/name", "./org/name", "s3://a/b", "a/b/c", "org/../name")))


def test_check_shows_the_prompt_of_a_model_on_a_hub(tmp_path, repository):
    (tmp_path / "p.jsonl").write_text(json.dumps({"question": "Compute 1 + 2.", "answer": 3}) + "\n")
    with serving({NAME: repository}) as hub:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", "check", "p.jsonl", "--recipe", str(EXAMPLE / "sample.toml"), "--json",
             "--set", f"generator.model={NAME}"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
            env=os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert not any("model.safetensors" in line and line.startswith("GET") for line in hub.requests)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prompt_tokens"] > 5
