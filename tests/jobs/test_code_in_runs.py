"""A run folder is data: no command that reads one runs the code that its manifest names, unless the user names it."""

import argparse
import json
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.command_line.commands import COMMANDS
from jobs.recipes.sections import Recipe
from jobs.recipes.trust import refuse_unnamed_code
from records.failure import InvalidInput
from tests.support.stored_runs import stored_run

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
NO_SCORES = "no setting reads scores"

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


@pytest.fixture(params=["grader", "strategy", "extract", "family", "cluster"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run whose manifest names code for one key, or a place, its rows as any run's."""
    folder = tmp_path / "run"
    stored_run(folder, "strategy={name='majority', num_samples=4}", num_problems=4)
    path = folder / "_manifest.json"
    manifest = json.loads(path.read_text())
    recipe = manifest["recipe"]
    if request.param == "grader":
        recipe["grader"]["kind"] = "planted:right"
    elif request.param == "strategy":
        recipe["strategy"] = {"name": "planted:begin"}
    elif request.param == "extract":
        recipe["answer"]["extract"] = "planted:right"
    elif request.param == "family":
        recipe["prm"]["family"] = "planted:right"
    else:  # a cluster that answers in pickles; a file that is none
        recipe["cluster"]["address"] = "ray://192.0.2.1:10001"
        recipe["cost"]["prices"] = "/dev/zero"
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
        ["replay", str(run), "--output", f"{out}-prm", "--prm", str(EXAMPLE / "prm")],
        ["calibrate-answers", str(run), "--output", f"{out}-answers.json"],
        ["calibrate-risk", str(run), "--output", f"{out}-risk.json"],
    ]
    assert {command[0] for command in commands} == readers()
    for command in commands:
        status = main(command)
        said = capsys.readouterr().err
        assert not marker.exists(), command
        reasons = ("runs only if you name it", "would be no row", "are too few to fit on", "have a verdict", NO_SCORES)
        assert status == 0 or any(why in said for why in reasons), (command, said)


def readers() -> set[str]:
    """The commands that take a run which they did not make."""
    found = set()
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        if any(action.dest == "run" for action in parser._actions):
            found.add(name)
    return found


def test_a_replay_is_where_its_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the cluster of a run that one was given, nor its price table, nor its number of replicas."""
    folder = tmp_path / "run"
    stored_run(folder, "strategy={name='best-of-n', num_samples=4}", num_problems=4)
    path = folder / "_manifest.json"
    manifest = json.loads(path.read_text())
    manifest["recipe"]["cluster"]["address"] = "ray://192.0.2.1:10001"  # which would answer in pickles
    manifest["recipe"]["cost"]["prices"] = "/dev/zero"
    manifest["recipe"]["prm"] |= {"num_replicas": 4096, "node_resource": "theirs"}
    path.write_text(json.dumps(manifest))
    asked: list[Recipe] = []

    def session(recipe: Recipe):
        asked.append(recipe)
        raise InvalidInput("no further")

    monkeypatch.setattr("jobs.replaying.rescoring.ray_session", session)
    command = ["replay", str(folder), "--output", str(tmp_path / "out"), "--prm", str(EXAMPLE / "prm")]
    assert main(command) == 2
    assert main([*command, "--set", "cluster.address=127.0.0.1:6379", "--set", "prm.num_replicas=2"]) == 2
    capsys.readouterr()
    [given, named] = asked
    assert (given.cluster.address, given.cost.prices) == (None, None)
    assert given.prm is not None
    assert (given.prm.num_replicas, given.prm.node_resource) == (1, None)
    assert named.prm is not None
    assert (named.cluster.address, named.prm.num_replicas) == ("127.0.0.1:6379", 2)


@pytest.mark.parametrize("typed", ["xplanted:right", "planted:right.more", "planted:rights"])
def test_a_name_is_the_whole_name(typed: str) -> None:
    tables = {"generator": {"model": "m"}, "strategy": {"name": "majority", "num_samples": 2}}
    recipe = Recipe.model_validate(tables | {"grader": {"kind": "planted:right"}})
    with pytest.raises(InvalidInput, match="runs only if you name it"):
        refuse_unnamed_code(recipe, [f"grader.kind={typed}"], run="r", flag="--set {key}={name}")
    refuse_unnamed_code(recipe, ["grader={kind='planted:right'}"], run="r", flag="--set {key}={name}")


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
