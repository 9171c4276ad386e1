"""A run folder is data: no command that reads one runs the code that its manifest names, unless the user names it."""

import json
from pathlib import Path

import pytest

from jobs.cli import main
from tests.support.stored_runs import stored_run

pytestmark = pytest.mark.slow

PLANTED = """
from pathlib import Path

Path({marker!r}).write_text("imported")


def right(answer, reference):
    Path({marker!r}).write_text("called")
    return True


def begin(root, **options):
    Path({marker!r}).write_text("begun")
    yield None
"""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Is there once any of the planted code has run."""
    found = tmp_path / "ran"
    (tmp_path / "planted.py").write_text(PLANTED.format(marker=str(found)))
    monkeypatch.syspath_prepend(tmp_path)
    return found


@pytest.fixture(params=["grader", "strategy", "extract"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run whose manifest names code for one key, its rows as any run's."""
    folder = tmp_path / "run"
    stored_run(folder, "strategy={name='majority', num_samples=4}", num_problems=4)
    path = folder / "_manifest.json"
    manifest = json.loads(path.read_text())
    recipe = manifest["recipe"]
    if request.param == "grader":
        recipe["grader"]["kind"] = "planted:right"
    elif request.param == "strategy":
        recipe["strategy"] = {"name": "planted:begin"}
    else:
        recipe["answer"]["extract"] = "planted:right"
    path.write_text(json.dumps(manifest))
    return folder


def test_no_reader_runs_it(run: Path, tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    layouts = ("preference", "stepwise", "distillation", "paths")
    commands = [
        ["status", str(run)],
        ["status", str(run), "--json"],
        ["report", str(run), "--output", f"{out}.html"],
        ["report", str(run), str(run), "--output", f"{out}2.html"],
        *(["export", str(run), "--layout", layout, "--output", f"{out}-{layout}.parquet"] for layout in layouts),
        ["replay", str(run), "--output", f"{out}-replay"],
        [
            "replay",
            str(run),
            "--output",
            f"{out}-set",
            "--set",
            "strategy.name=best-of-n",
            "--set",
            "grader.kind=exact",
        ],
        ["replay", str(run), "--output", f"{out}-sweep", "--sweep", "answer.abstain_below=0.5,0.9"],
    ]
    for command in commands:
        status = main(command)
        said = capsys.readouterr().err
        assert not marker.exists(), command
        assert status == 0 or "runs only if you name it" in said or "would be no row" in said, (command, said)


def test_named_code_runs(tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run(tmp_path / "run", "strategy={name='majority', num_samples=4}", num_problems=4)
    out = str(tmp_path / "paths.parquet")
    assert (
        main(["export", str(tmp_path / "run"), "--layout", "paths", "--output", out, "--grader", "planted:right"]) == 0
    )
    assert marker.read_text() == "called"
    marker.unlink()
    command = [
        "replay",
        str(tmp_path / "run"),
        "--output",
        str(tmp_path / "replay"),
        "--set",
        "grader.kind=planted:right",
    ]
    assert main(command) == 0
    assert marker.read_text() == "called"
    capsys.readouterr()


def test_a_prm_with_code_of_its_own_is_not_loaded_because_a_run_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    stored_run(folder, "strategy={name='best-of-n', num_samples=4}", num_problems=2)
    path = folder / "_manifest.json"
    manifest = json.loads(path.read_text())
    manifest["recipe"]["prm"]["trust_remote_code"] = True
    path.write_text(json.dumps(manifest))
    words = ["replay", str(folder), "--output", str(tmp_path / "out"), "--prm", str(tmp_path)]
    assert main(words) == 2
    assert "prm.trust_remote_code is true: code in the PRM's folder would run" in capsys.readouterr().err
    assert main([*words, "--set", "prm.trust_remote_code=false"]) == 2
    assert "trust_remote_code" not in capsys.readouterr().err  # what is wrong now is the folder
