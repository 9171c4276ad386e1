"""Models by their name on a hub: fetched from one on loopback, pinned, found again without it, refused by name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.hub import is_hub_name
from tests.services.hub import COMMIT, serving

pytestmark = pytest.mark.slow

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


def stage(
    home: Path, endpoint: str, name: str, *words: str, script: str = STAGE, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)} | more
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "5", "HF_HUB_ETAG_TIMEOUT": "5"}
    return subprocess.run(
        [sys.executable, "-c", script, name, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


FILE = """
import sys
from itertools import islice
from cluster.hub import stage_hub_file
from jobs.problems.problem_set import ProblemColumns, inspect_problems
from records.failure import InvalidInput
try:
    found = inspect_problems(sys.argv[1], ProblemColumns(), 3)
    print(found.path, stage_hub_file(found.path), *(problem.question for problem in found), sep="\\n")
except InvalidInput as error:
    sys.exit(str(error))
"""
DATASET = "parsimony/sums"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("hub") / "dataset"
    (folder / "main").mkdir(parents=True)
    shutil.copy(EXAMPLE / "test.jsonl", folder / "main/test.jsonl")
    (folder / "README.md").write_text("# sums")
    table = pa.table({"question": [f"Compute {number} + 1." for number in range(4)], "answer": ["1", "2", "3", "4"]})
    for name in ("test/0000", "train/0000", "train/0001"):
        file = folder / f"default/{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file)
    return folder


def problems_of(home: Path, endpoint: str, address: str, **more: str) -> subprocess.CompletedProcess[str]:
    return stage(home, endpoint, address, script=FILE, **more)


def test_a_file_of_a_dataset_is_fetched_once_pinned_and_found_again_without_the_hub(tmp_path, dataset):
    address = f"hf://datasets/{DATASET}/main/test.jsonl"
    with serving({f"datasets:{DATASET}": dataset}) as hub:
        done = problems_of(tmp_path, hub.endpoint, address)
        assert done.returncode == 0, done.stderr
        pinned, file, *questions = done.stdout.splitlines()
        assert pinned == f"hf://datasets/{DATASET}@{COMMIT}/main/test.jsonl"
        assert Path(file).read_bytes() == (dataset / "main/test.jsonl").read_bytes()
        lines = (dataset / "main/test.jsonl").read_text().splitlines()
        assert questions == [json.loads(line)["question"] for line in lines[:3]]
        assert len([line for line in hub.requests if line.startswith("GET") and "test.jsonl" in line]) == 1
        endpoint = hub.endpoint
    for name in (address, pinned):
        again = problems_of(tmp_path, endpoint, name, HF_HUB_OFFLINE="1")
        assert again.returncode == 0, again.stderr
        assert again.stdout == done.stdout


def test_a_split_is_named_by_its_folder(tmp_path, dataset):
    """As a hub keeps each split as Parquet: by config and split, and by whatever name its one file has."""
    with serving({f"datasets:{DATASET}": dataset}) as hub:
        whole = problems_of(tmp_path, hub.endpoint, f"hf://datasets/{DATASET}@~parquet/default/test")
        assert whole.returncode == 0, whole.stderr
        pinned, _, *questions = whole.stdout.splitlines()
        assert pinned == f"hf://datasets/{DATASET}@{COMMIT}/default/test/0000.parquet"
        assert questions == [f"Compute {number} + 1." for number in range(3)]
        several = problems_of(tmp_path, hub.endpoint, f"hf://datasets/{DATASET}@~parquet/default/train/")
        assert several.returncode == 1
        said = (
            "default/train has several files: name one; it has default/train/0000.parquet, default/train/0001.parquet"
        )
        assert said in several.stderr


def test_what_a_dataset_has_not_is_refused_and_what_it_has_is_named(tmp_path, dataset):
    has = "it has default/test/0000.parquet, default/train/0000.parquet, default/train/0001.parquet, main/test.jsonl"
    with serving({f"datasets:{DATASET}": dataset}) as hub:
        for address, said in (
            ("hf://datasets/nobody/nothing/x.jsonl", "there is no such dataset on the hub"),
            (f"hf://datasets/{DATASET}/main/train.jsonl", f"the dataset has no such file; {has}"),
            (f"hf://datasets/{DATASET}", f"name a file of the dataset; {has}"),
            (f"hf://datasets/{DATASET}@v9/main/test.jsonl", "the hub has no revision 'v9' of it"),
            ("hf://datasets/sums", "is no file of a dataset; they are written hf://datasets/ORG/NAME"),
            ("hf://models/a/b.jsonl", "or from hf://datasets/ORG/NAME/PATH"),
        ):
            refused = problems_of(tmp_path, hub.endpoint, address)
            assert refused.returncode == 1
            assert said in refused.stderr, refused.stderr
            assert "Traceback" not in refused.stderr
    away = problems_of(tmp_path / "empty", "http://127.0.0.1:9", f"hf://datasets/{DATASET}/main/test.jsonl")
    assert "it is not here, and the hub cannot be reached" in away.stderr
    assert f"hf download --repo-type dataset {DATASET} main/test.jsonl --local-dir FOLDER" in away.stderr


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
