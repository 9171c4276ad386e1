"""Runs of every schema version since the first are read: by status, report, export and replay, byte by byte as written.

`older/schema-N/STRATEGY` is a run that the version of that schema wrote; nothing here may be written again.
"""

import json
import shutil
from pathlib import Path

import pytest

from jobs.cli import main
from records.run_folder.manifest import differences
from records.run_folder.reader import read_run
from records.schemas import SCHEMA_VERSION
from tests.records.builders import manifest

pytestmark = pytest.mark.slow

RUNS = sorted((Path(__file__).parent / "older").glob("schema-*/*"))
IDS = ["/".join(run.parts[-2:]) for run in RUNS]


@pytest.fixture(params=RUNS, ids=IDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "run"))


def test_there_is_one_of_every_version() -> None:
    assert {run.parent.name for run in RUNS} >= {f"schema-{number}" for number in range(1, SCHEMA_VERSION)}


def test_every_reader_reads_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(run), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert summary["problems"]["succeeded"] == 4
    assert main(["report", str(run), "--output", str(tmp_path / "page.html")]) == 0
    assert "Accuracy" in (tmp_path / "page.html").read_text()
    assert main(["export", str(run), "--layout", "paths", "--output", str(tmp_path / "paths.parquet")]) == 0
    capsys.readouterr()
    assert main(["replay", str(run), "--output", str(tmp_path / "replay"), "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert replayed["settings"][0]["num_left"] == 0, "the run's own setting asks for what is stored"


def test_rows_have_null_where_the_version_had_no_column(run: Path) -> None:
    found = read_run(run)
    assert found.manifest.schema_version < SCHEMA_VERSION
    assert set(found.problems()["num_unanswered"].to_pylist()) == {None}
    assert set(found.steps()["answer"].to_pylist()) == {None}
    assert found.totals.finished_samples == 0


def test_a_resume_by_this_version_is_refused_by_its_number(run: Path) -> None:
    older = read_run(run).manifest
    lines = differences(older, manifest(recipe=older.recipe, models=older.models), ())
    assert f"schema_version: was {older.schema_version}, is {SCHEMA_VERSION}" in lines
