"""Submitting without a cluster: arguments, what travels, what is refused before anything is sent, attempts."""

import subprocess
import zipfile
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.job_client import Job, JobClient, check_token
from jobs.cli import main, parse
from jobs.command_line.score import ScoreOptions, score_arguments
from jobs.command_line.submit import JobCommand, SubmitScore
from jobs.submission import working_dir
from jobs.submission.prepare import prepare
from jobs.submission.working_dir import shipped_files, write_package
from jobs.submit import attempts, exit_status
from records.failure import ClusterFailed, InvalidInput

ADDRESS = "http://127.0.0.1:8265"

words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=["L", "N", "P", "S"]), min_size=1)
names = words.filter(lambda word: not word.startswith("-"))


@given(
    st.builds(
        ScoreOptions,
        problems=names,
        recipe=words.map(Path),
        output=words,
        overrides=st.lists(words).map(tuple),
        limit=st.none() | st.integers(1, 10**9),
        **{field.name: st.booleans() for field in fields(ScoreOptions) if isinstance(field.default, bool)},
    )
)
def test_the_jobs_arguments_mean_what_was_given(options):
    assert parse(["score", *score_arguments(options)]) == ("score", options)


def test_score_and_job_arguments_stand_together():
    line = "score p.jsonl --recipe r.toml --output s3://b/r --set seed=1 --json --resume --no-wait --working-dir d"
    score = ScoreOptions(problems="p.jsonl", recipe=Path("r.toml"), output="s3://b/r", overrides=("seed=1",), json=True)
    options = SubmitScore(
        address=ADDRESS, score=score, submission_id=None, resume=True, wait=False, working_dir=Path("d")
    )
    assert parse(["submit", *line.split(), "--address", ADDRESS]) == ("submit", options)
    assert parse([*line.split(), "--address", ADDRESS], command="submit") == ("submit", options)
    stop = JobCommand(address=ADDRESS, action="stop", submission_id="x", wait=True, json=False)
    assert parse(["submit", "stop", "x", "--address", ADDRESS]) == ("submit", stop)


@pytest.mark.parametrize(
    "line",
    [
        "submit",
        "submit score p --recipe r --output o",
        "submit score p --recipe r --address http://h:1",
        "submit score p --recipe r --output o --address http://h:1 --limit 0",
        "submit score p --recipe r --output o --address http://h:1 --limits 5",
        "submit score p --recipe r --output o --address http://h:1 --submission-id a/b",
        "submit stop --address http://h:1",
        "submit list x --address http://h:1",
    ],
)
def test_wrong_usage_is_refused_here(line, capsys):
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2
    assert "usage: parsimony" in capsys.readouterr().err


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with problems, a recipe and two small models, in which a user works."""
    folder = tmp_path / "project"
    for name in ("data/p.jsonl", "models/g/config.json", "models/p/config.json", "runs/old/part", ".venv/bin/python"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    recipe = (
        '[generator]\nmodel = "models/g"\n[prm]\nmodel = "models/p"\n[strategy]\nname = "majority"\nnum_samples = 2\n'
    )
    (folder / "r.toml").write_text(recipe)
    monkeypatch.chdir(folder)
    return folder


def options(problems="data/p.jsonl", recipe="r.toml", output="s3://b/r", overrides=(), **job) -> SubmitScore:
    score = ScoreOptions(problems=problems, recipe=Path(recipe), output=output, overrides=overrides)
    job = {"submission_id": None, "resume": False, "wait": True, "working_dir": Path(), **job}
    return SubmitScore(address=ADDRESS, score=score, **job)


def test_what_is_needed_travels_and_the_rest_stays(project):
    submission = prepare(options())
    assert [str(file) for file in submission.files] == [
        "data/p.jsonl",
        "models/g/config.json",
        "models/p/config.json",
        "r.toml",
    ]
    assert submission.command == "python -m jobs.score data/p.jsonl --recipe=r.toml --output=s3://b/r"
    assert submission.warnings == ()


def test_a_job_starts_where_the_command_did(project, monkeypatch):
    monkeypatch.chdir(project / "data")
    submission = prepare(options("p.jsonl", "../r.toml", working_dir=Path("..")))
    assert submission.command == "cd data && python -m jobs.score p.jsonl --recipe=../r.toml --output=s3://b/r"
    with pytest.raises(InvalidInput, match=r"must be .*models.* or inside it"):
        prepare(options("p.jsonl", "../r.toml", working_dir=project / "models"))


def test_one_run_has_one_id(project):
    ids = {
        output: prepare(options(output=output)).submission_id
        for output in ("s3://b/r", "s3://b/r/", "s3://b/other", "/d/r", "/d/r/", "/d//r", "file:///d/r", "/d/other")
    }
    assert len(set(ids.values())) == 4
    assert ids["s3://b/r"] == ids["s3://b/r/"]
    assert ids["/d/r"] == ids["/d/r/"] == ids["/d//r"] == ids["file:///d/r"]
    assert all(name.startswith("parsimony-") for name in ids.values())
    assert prepare(options(submission_id="mine")).submission_id == "mine"
    assert prepare(options(overrides=("seed=3",))).submission_id == ids["s3://b/r"]


def test_a_shipped_recipe_goes_by_its_name(project):
    submission = prepare(options(recipe="qwen2.5-math-7b"))
    assert "--recipe=qwen2.5-math-7b" in submission.command


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problems": "data/q.jsonl"}, "PROBLEMS data/q.jsonl: there is no such file"),
        ({"problems": "../p.jsonl"}, "is outside the working directory"),
        ({"problems": "runs/old/part"}, "does not travel"),
        ({"recipe": "data"}, "recipe data: no such file, and the shipped ones are called"),
        ({"output": "runs/new"}, "is relative"),
        ({"output": "ftp://b/r"}, "not an address of a run"),
        ({"working_dir": Path("nowhere")}, "no such folder"),
        ({"overrides": ("generator.temprature=1",)}, "temprature"),
        ({"overrides": ("generator.model=./models/none",)}, "generator.model .* does not travel"),
        ({"overrides": ("cluster.address=auto",)}, "cluster.address is auto"),
    ],
)
def test_what_the_job_could_not_do_is_refused_before_anything_is_sent(project, changes, message):
    with pytest.raises(InvalidInput, match=message):
        prepare(options(**changes))


def test_what_is_the_clusters_own_is_said(project):
    submission = prepare(options(problems="/data/p.jsonl", output="/data/r", overrides=("prm.model=/models/p",)))
    named = [warning.split(" ")[:2] for warning in submission.warnings]
    assert named == [["PROBLEMS", "/data/p.jsonl"], ["prm.model", "/models/p"], ["--output", "/data/r"]]
    assert prepare(options(problems="s3://b/p.jsonl")).warnings == ()


def test_git_says_what_travels(project):
    subprocess.run(["git", "init", "-q"], check=True)
    (project / ".gitignore").write_text("*.secret\nmodels/p/\n")
    (project / "key.secret").write_text("x")
    (project / "link.jsonl").symlink_to("data/p.jsonl")
    files = {str(file) for file in shipped_files(project)}
    assert files == {".gitignore", "data/p.jsonl", "link.jsonl", "models/g/config.json", "r.toml"}
    with pytest.raises(InvalidInput, match=r"prm\.model .* does not travel"):
        prepare(options())


def test_a_package_unpacks_to_the_files_and_is_the_same_every_time(project, tmp_path):
    files = shipped_files(project)
    sizes = [write_package(project, files, tmp_path / name) for name in ("a.zip", "b.zip")]
    (project / "r.toml").touch()
    sizes.append(write_package(project, files, tmp_path / "c.zip"))
    contents = [(tmp_path / name).read_bytes() for name in ("a.zip", "b.zip", "c.zip")]
    assert contents[0] == contents[1] == contents[2]
    assert sizes == [len(contents[0])] * 3
    with zipfile.ZipFile(tmp_path / "a.zip") as package:
        package.extractall(tmp_path / "there")
    assert shipped_files(tmp_path / "there") == files
    assert all((tmp_path / "there" / file).read_bytes() == (project / file).read_bytes() for file in files)


def test_a_package_that_ray_would_refuse_is_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(working_dir, "MAX_BYTES", 1000)
    (project / "models/g/weights").write_bytes(bytes(range(256)) * 8192)
    (project / "models/p/weights").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"too large .* models/g/weights \(2 MiB\)"):
        write_package(project, shipped_files(project), tmp_path / "a.zip")
    assert write_package(project, [PurePosixPath("r.toml")], tmp_path / "b.zip") <= 1000


def job(submission_id: str, status: str = "RUNNING", exit_code: int | None = None) -> Job:
    return Job(
        submission_id=submission_id,
        status=status,
        exit_code=exit_code,
        message=None,
        run=None,
        started_s=None,
        ended_s=None,
    )


def test_attempts_are_those_of_one_id_in_order():
    jobs = [
        job(name) for name in ("run-10", "run", "run-2", "run-x", "running", "run-1", "run-02", "other-2", "run-2-2")
    ]
    assert [item.submission_id for item in attempts(jobs, "run")] == ["run", "run-2", "run-10"]
    assert [item.submission_id for item in attempts(jobs, "run-2")] == ["run-2", "run-2-2"]
    assert attempts(jobs, "nobody") == []


@pytest.mark.parametrize(
    ("status", "exit_code", "expected"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 3, 3),
        ("FAILED", 2, 2),
        ("FAILED", 1, 1),
        ("FAILED", 137, 137),
        ("FAILED", -9, 137),
        ("FAILED", None, 1),
        ("STOPPED", None, 143),
    ],
)
def test_the_exit_status_is_the_jobs(status, exit_code, expected):
    ended = job("run", status, exit_code)
    assert ended.ended
    assert exit_status(ended) == expected
    assert not replace(ended, status="PENDING").ended


@pytest.mark.parametrize("address", ["head:8265", "ray://head:10001", "auto", "http://"])
def test_an_address_that_is_no_dashboard_is_refused(address):
    with pytest.raises(InvalidInput, match="must be that of the head's dashboard"):
        JobClient(address)


def test_a_cluster_that_does_not_answer_is_a_failure_wherever_the_environment_points(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:3")
    with pytest.raises(ClusterFailed, match=r"no Ray cluster answers at http://127\.0\.0\.1:1"):
        JobClient("http://127.0.0.1:1")


def test_token_mode_needs_a_token(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(InvalidInput, match="there is no token"):
        check_token()
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(InvalidInput, match="is empty"):
        check_token()
    (tmp_path / "token").write_text("secret\n")
    check_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="there is no token"):
        check_token()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    check_token()
