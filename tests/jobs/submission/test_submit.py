"""Submitting without a cluster: arguments, what travels, what is refused before anything is sent, attempts."""

import subprocess
import zipfile
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.job_client import Job, JobClient, check_token
from jobs.cli import main, parse
from jobs.command_line.commands import COMMANDS
from jobs.command_line.common import Command
from jobs.command_line.score import ScoreOptions
from jobs.command_line.submit import SUBMITTABLE, JobCommand, SubmitCommand
from jobs.recipes.load import FILES
from jobs.submission import working_dir
from jobs.submission.prepare import prepare
from jobs.submission.working_dir import shipped_files, write_package
from jobs.submit import attempts, begin, exit_status
from records.failure import ClusterFailed, InvalidInput

ADDRESS = "http://127.0.0.1:8265"

words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=["L", "N", "P", "S"]), min_size=1)
values = words.filter(lambda word: not word.startswith("-"))
numbers = st.integers(1, 10**9).map(str)

RECIPE = st.tuples(st.just("--recipe"), values)
OUTPUT = st.tuples(st.just("--output"), values)
SETS = st.lists(words.map(lambda word: (f"--set={word}",)), max_size=2)
JSON = st.sampled_from([[], [("--json",)]])
LIMIT = st.sampled_from([[], [("--limit", "3")]])
STRATEGIES = st.lists(st.sampled_from(["majority", "best-of-n:num_samples=4", "r@sequential:a=1,b"]), min_size=1)


def groups(*parts):
    """Lists of groups of words, each of which stays together; their order is free."""
    return st.tuples(*parts).map(lambda found: [one for part in found for one in part])


def always(strategy):
    return strategy.map(lambda group: [group])


TYPED = {
    "score": groups(always(RECIPE), always(OUTPUT), SETS, LIMIT, JSON),
    "rollout": groups(always(RECIPE), always(OUTPUT), st.just([("--trajectories", "2")]), SETS),
    "calibrate": groups(always(RECIPE), always(OUTPUT), st.just([("--evaluate", "x=s3://b/x")]), SETS),
    "compare": groups(
        always(RECIPE), always(OUTPUT), always(STRATEGIES.map(lambda names: ("--strategies", *names))), SETS
    ),
    "estimate": groups(always(RECIPE), always(OUTPUT), st.just([("--replicas", "8+2"), ("--max-usd", "1.5")]), SETS),
    "replay": groups(always(OUTPUT), st.just([("--sweep", "strategy.num_samples=1,2"), ("--orders", "3")]), SETS),
    "report": groups(st.sampled_from([[], [("--problem", "x"), ("--max-mb", "3")]]), JSON),
    "export": groups(always(OUTPUT), st.just([("--layout", "paths")]), JSON),
}
OF_THE_JOB = st.lists(
    st.sampled_from([("--resume",), ("--no-wait",), ("--working-dir", "d"), ("--submission-id", "x")]), unique=True
)


def has_output(command: Command) -> bool:
    parser = ArgumentParser()
    command.add_arguments(parser)
    return "--output" in parser.format_help()


def test_every_command_that_leaves_something_can_be_a_job():
    leave = {name for name, command in COMMANDS.items() if has_output(command)}
    # They prepare a model, or write a small file, on this machine.
    here = {"import-adapter", "calibrate-answers", "calibrate-risk"}
    assert set(SUBMITTABLE) == set(TYPED) == leave - here


@pytest.mark.parametrize("name", TYPED)
@settings(max_examples=10)
@given(data=st.data())
def test_the_jobs_arguments_mean_what_was_given(name, data):
    own, job = data.draw(TYPED[name]), data.draw(OF_THE_JOB)
    positional = data.draw(values)
    mixed = data.draw(st.permutations([*own, *job, ("--address", ADDRESS)]))
    _, submitted = parse(["submit", name, positional, *(word for group in mixed for word in group)])
    _, alone = parse([name, positional, *(word for group in own for word in group)])
    assert submitted.name == name
    assert submitted.resume == (("--resume",) in job)
    assert parse(submitted.words, command=name) == (name, submitted.options)
    if not any(group[0].startswith("--set") for group in own):  # whose order counts
        assert submitted.options == alone


def test_score_and_job_arguments_stand_together():
    line = "score p.jsonl --recipe r.toml --output s3://b/r --set seed=1 --json --resume --no-wait --working-dir d"
    options = SubmitCommand(
        address=ADDRESS,
        name="score",
        options=ScoreOptions(
            problems="p.jsonl", recipe=Path("r.toml"), output="s3://b/r", overrides=("seed=1",), json=True
        ),
        words=("p.jsonl", "--recipe", "r.toml", "--output", "s3://b/r", "--set", "seed=1", "--json"),
        submission_id=None,
        resume=True,
        wait=False,
        working_dir=Path("d"),
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
        "submit report r --output o --address http://h:1 --max-mb none",
        "submit export r --output o --layout none --address http://h:1",
        "submit compare --recipe r --output o --strategies a --address http://h:1 p",  # p would be a strategy
        "submit status r --output o --address http://h:1",
        "submit check p --recipe r --address http://h:1",
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


def typed(line: str, **job) -> SubmitCommand:
    """What `parsimony submit LINE` is, with other arguments of the job."""
    _, options = parse(["submit", *line.split(), "--address", ADDRESS])
    assert isinstance(options, SubmitCommand)
    return replace(options, **job)


def options(problems="data/p.jsonl", recipe="r.toml", output="s3://b/r", overrides=(), **job) -> SubmitCommand:
    sets = " ".join(f"--set {override}" for override in overrides)
    return typed(f"score {problems} --recipe {recipe} --output {output} {sets}", **job)


def test_what_is_needed_travels_and_the_rest_stays(project):
    submission = prepare(options())
    assert [str(file) for file in submission.files] == [
        "data/p.jsonl",
        "models/g/config.json",
        "models/p/config.json",
        "r.toml",
    ]
    assert submission.line == "python -m jobs.score data/p.jsonl --recipe r.toml --output s3://b/r"
    assert submission.warnings == ()


def test_a_job_starts_where_the_command_did(project, monkeypatch):
    monkeypatch.chdir(project / "data")
    submission = prepare(options("p.jsonl", "../r.toml", working_dir=Path("..")))
    assert submission.line == "cd data && python -m jobs.score p.jsonl --recipe ../r.toml --output s3://b/r"
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
    assert "--recipe qwen2.5-math-7b" in submission.line


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


@pytest.mark.parametrize("key", FILES)
def test_each_file_that_a_recipe_names_travels_or_is_refused(project, key):
    target = ("answer.target_error=0.1",) if key == "answer.risk" else ()

    def prepared(file):
        return prepare(options(overrides=("generator.chat=true", *target, f"{key}={file}")))

    assert PurePosixPath("data/p.jsonl") in prepared("data/p.jsonl").files
    with pytest.raises(InvalidInput, match=f"{key} .*: there is no such file"):
        prepared("data/none.json")
    with pytest.raises(InvalidInput, match=f"{key} .* does not travel"):
        prepared("runs/old/part")


RUN_COMMANDS = {
    "calibrate": "calibrate {} --recipe r.toml --output s3://b/prm",
    "calibrate --evaluate": "calibrate s3://b/r --recipe r.toml --evaluate ood={} --output s3://b/prm",
    "replay": "replay {} --output s3://b/again",
    "replay --prm": "replay s3://b/r --prm {} --output s3://b/again",
    "report": "report {} --output s3://b/r/report.html",
    "report two": "report s3://b/r {} --output s3://b/r/report.html",
    "export": "export {} --layout paths --output s3://b/paths.parquet",
}


@pytest.mark.parametrize("line", RUN_COMMANDS.values(), ids=RUN_COMMANDS)
def test_a_run_that_is_read_travels_or_lies_where_the_cluster_reads_it(project, line):
    (project / "done").mkdir()
    (project / "done/_manifest.json").write_text("{}")
    submission = prepare(typed(line.format("done")))
    assert PurePosixPath("done/_manifest.json") in submission.files
    assert submission.line == f"python -m jobs.{submission.name} {line.format('done').partition(' ')[2]}"
    assert submission.warnings == ()
    assert prepare(typed(line.format("s3://b/other"))).warnings == ()
    [warning] = prepare(typed(line.format("/runs/r"))).warnings
    assert "/runs/r is absolute: the job reads what has that name on the cluster" in warning
    with pytest.raises(InvalidInput, match=r"runs/old does not travel .* never does \(.*runs"):
        prepare(typed(line.format("runs/old")))
    with pytest.raises(InvalidInput, match="there is no such file"):
        prepare(typed(line.format("nowhere")))


def test_an_output_that_is_a_file_here_is_another_one_on_the_head(project):
    page = project / "page.html"
    first = prepare(typed(f"report s3://b/r --output {page}"))
    page.write_text("of another run")
    assert prepare(typed(f"report s3://b/r --output {page}")).submission_id == first.submission_id


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("report s3://b/r", r"--output report\.html is relative"),
        ("export s3://b/r --layout paths --output paths.parquet", r"--output paths\.parquet is relative"),
        ("compare data/p.jsonl --recipe r.toml --strategies nothing --output s3://b/c", "nothing"),
        ("compare data/p.jsonl --recipe r.toml x.toml --strategies majority --output s3://b/c", r"x\.toml"),
        ("compare data/p.jsonl --recipe r.toml --strategies majority:x=1 --output s3://b/c", "majority:x=1"),
        ("estimate data/p.jsonl --recipe r.toml --strategies sample:x=1 --output s3://b/e", "sample:x=1"),
        ("rollout data/p.jsonl --recipe r.toml --set generator.model=./models/none --output s3://b/o", "not travel"),
        ("calibrate s3://b/r --recipe r.toml --set prm.model=./models/none --output s3://b/prm", "not travel"),
    ],
)
def test_what_another_command_could_not_do_is_refused_likewise(project, line, message):
    with pytest.raises(InvalidInput, match=message):
        prepare(typed(line.replace(" x.toml", " --recipe x.toml")))


def test_another_command_with_the_same_output_is_not_the_same_work(project):
    one = prepare(typed("score data/p.jsonl --recipe r.toml --output s3://b/r"))
    other = prepare(typed("rollout data/p.jsonl --recipe r.toml --output s3://b/r"))
    assert one.submission_id == other.submission_id
    taken = StoredJobs([job(one.submission_id, command="score")])
    with pytest.raises(InvalidInput, match="is another command, score, with the output s3://b/r"):
        begin(replace(typed("rollout data/p.jsonl --recipe r.toml --output s3://b/r"), resume=True), other, taken)
    with pytest.raises(InvalidInput, match="already has the job"):
        begin(typed("score data/p.jsonl --recipe r.toml --output s3://b/r"), one, taken)
    assert (
        begin(typed("score data/p.jsonl --recipe r.toml --output s3://b/r", resume=True, wait=False), one, taken) == 0
    )


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


def job(submission_id: str, status: str = "RUNNING", exit_code: int | None = None, command: str = "score") -> Job:
    return Job(
        submission_id=submission_id,
        status=status,
        exit_code=exit_code,
        message=None,
        run="s3://b/r",
        command=command,
        started_s=None,
        ended_s=None,
    )


class StoredJobs:
    """The jobs of a cluster that takes no other."""

    address = ADDRESS

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = jobs

    def jobs(self) -> list[Job]:
        return self._jobs


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


def test_a_cluster_without_jobs_says_so(monkeypatch, capsys):
    monkeypatch.setattr(JobClient, "__init__", lambda self, address: setattr(self, "address", address))
    monkeypatch.setattr(JobClient, "jobs", lambda self: [])
    assert main(["submit", "list", "--address", ADDRESS]) == 0
    assert f"{ADDRESS} has no job of parsimony" in capsys.readouterr().err
    assert main(["submit", "list", "--address", ADDRESS, "--json"]) == 0
    said = capsys.readouterr()
    assert (said.out.strip(), said.err) == ("[]", "")
