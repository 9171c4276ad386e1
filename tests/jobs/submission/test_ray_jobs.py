"""Ray jobs for real: a head with its dashboard on loopback, jobs with scripted engines, stops, kills and resumes.

One head asks for a token, another for none. Every command is one that a user would type, in a process of its own.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from actors.writer.lease import newest_lease
from cluster.job_client import STOP_WAIT_S
from cluster.store import LocalStore
from jobs.scoring.run_status import State, read_status
from records.run_folder.reader import read_run
from records.run_folder.store import Store
from tests.services.ray_heads import Head, get, head
from tests.services.tcp_proxy import proxy
from tests.support.rollouts import write_rollouts
from tests.support.scripted import KINDS, sets

pytestmark = [pytest.mark.ray, pytest.mark.ci]

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = "examples/arithmetic"
TOKEN = "a" * 64
LIMIT_S = 300.0
QUICK = sets("output.flush_interval_s=0.5", "output.flush_problems=20", *KINDS, f"script.answers={EXAMPLE}/test.jsonl")


@pytest.fixture(scope="module")
def token_head(tmp_path_factory):
    token = tmp_path_factory.mktemp("token") / "auth_token"
    token.write_text(TOKEN)
    with head({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}) as started:
        yield started


def command(on: Head, *arguments: str, address: str | None = None) -> list[str]:
    return [sys.executable, "-m", "jobs.submit", *arguments, "--address", address or on.address]


def submit(on: Head, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    line = command(on, *arguments)
    environment = on.environment | variables
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def follow(on: Head, *arguments: str, address: str | None = None) -> subprocess.Popen[str]:
    line = command(on, *arguments, address=address)
    return subprocess.Popen(
        line, cwd=ROOT, env=on.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def score(run: Path) -> list[str]:
    return ["score", f"{EXAMPLE}/test.jsonl", "--recipe", f"{EXAMPLE}/sample.toml", "--output", str(run), *QUICK]


def states(on: Head) -> dict[str, str]:
    jobs = json.loads(submit(on, "list", "--json").stdout)
    return {job["submission_id"]: job["status"] for job in jobs}


def num_done(store: Store) -> int:
    if store.read("_manifest.json") is None:
        return 0
    return sum(read_status(store, now_s=time.time()).summary.problems.values())


def wait_until(condition, process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def processes(on: Head, word: str) -> list[psutil.Process]:
    """Of the head's session, those with a word on their command line."""
    found = []
    for process in on.process.children(recursive=True):
        try:
            if word in " ".join([*process.cmdline(), process.name()]):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RAY_AUTH_TOKEN": "b" * 64}, "refuses the token"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere/token"}, "there is no token"),
        ({"RAY_AUTH_MODE": "disabled"}, "refuses the token"),
    ],
)
def test_without_the_right_token_nothing_is_submitted(token_head, tmp_path, variables, message):
    refused = submit(token_head, *score(tmp_path / "run"), **variables)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "b" * 64 not in refused.stderr
    assert states(token_head) == {}


def test_the_jobs_exit_status_is_the_commands(token_head, tmp_path):
    arguments = ["score", str(tmp_path / "no.jsonl"), "--recipe", f"{EXAMPLE}/sample.toml", "--submission-id", "broken"]
    ended = submit(token_head, *arguments, "--output", str(tmp_path / "run"))
    assert ended.returncode == 2
    assert f"parsimony: error: {tmp_path}/no.jsonl" in ended.stdout
    assert "broken | FAILED | exit status 2" in ended.stderr
    assert "broken" in submit(token_head, "stop", "broken").stderr
    assert submit(token_head, "stop", "nobody").returncode == 2


def done(on: Head, *arguments: str, expected: int = 0) -> str:
    """Run a command as a job, to its end; what it wrote."""
    ended = submit(on, *arguments)
    assert ended.returncode == expected, ended.stdout + ended.stderr
    [submission_id] = re.findall(r"parsimony: submitted (\S+) with", ended.stderr)
    told = json.loads(submit(on, "status", submission_id, "--json").stdout)["job"]
    assert (told["command"], told["run"]) == (arguments[0], arguments[arguments.index("--output") + 1])
    return ended.stdout


@pytest.mark.long
def test_what_a_run_leaves_is_read_by_jobs_too(token_head, tmp_path):
    run, page, paths = tmp_path / "run", tmp_path / "page.html", tmp_path / "paths.jsonl"
    done(token_head, *score(run), "--limit", "16")
    assert f"Report: {page}" in done(token_head, "report", str(run), "--output", str(page))
    assert page.read_text().startswith("<!DOCTYPE html>")
    done(token_head, "export", str(run), "--layout", "paths", "--output", str(paths))
    assert len(paths.read_text().splitlines()) == 16
    again = submit(token_head, "report", str(run), "--output", str(page))
    assert again.returncode == 2
    assert "which is SUCCEEDED. To do the same again" in again.stderr
    page.unlink()
    assert "-2 with" in submit(token_head, "report", str(run), "--output", str(page), "--resume").stderr
    assert page.exists()


@pytest.mark.long
def test_every_other_command_is_a_job(token_head, tmp_path):
    problems = [f"{EXAMPLE}/test.jsonl", "--limit", "10"]
    out = {name: str(tmp_path / name) for name in ("rollouts", "prm", "compared", "estimated", "run", "replayed")}
    recipe = ["--recipe", f"{EXAMPLE}/best-of-16.toml", *QUICK]
    assert "continuations succeed" in done(token_head, "rollout", *problems, *recipe, "--output", out["rollouts"])
    few = sets("calibration.epochs=1", "calibration.num_resamples=100", "calibration.cpu_threads=1")
    table = tmp_path / "rollouts.parquet"
    write_rollouts(table)
    fitted = ["calibrate", str(table), "--recipe", f"{EXAMPLE}/calibrate.toml", "--output", out["prm"], *few]
    assert "best after batch" in done(token_head, *fitted)
    assert (tmp_path / "prm/config.json").exists()
    compared = ["compare", *problems, *recipe, "--strategies", "majority:num_samples=2,best-of-n:num_samples=4"]
    assert "cheapest" in done(token_head, *compared, "--output", out["compared"]).lower()
    assert (tmp_path / "compared/comparison.json").exists()
    done(token_head, "estimate", *problems, *recipe, "--pilot", "5", "--output", out["estimated"])
    assert json.loads((tmp_path / "estimated/estimate.json").read_text())["pilot_problems"] == 5
    done(token_head, "score", *problems, *recipe, "--output", out["run"])
    done(token_head, "replay", out["run"], "--sweep", "strategy.num_samples=1,4", "--output", out["replayed"])
    assert len(json.loads((tmp_path / "replayed/summary.json").read_text())["settings"]) == 2
    nowhere = ["export", str(tmp_path / "nothing"), "--layout", "paths", "--output", str(tmp_path / "x.jsonl")]
    assert "parsimony: error:" in done(token_head, *nowhere, expected=2)


@pytest.mark.long
def test_a_run_is_stopped_killed_and_finished_by_its_jobs(token_head, tmp_path):
    run = tmp_path / "run"
    store = LocalStore(run)
    submission_id = follow_and_detach(token_head, run, store)
    stop_half_way(token_head, run, store, submission_id)
    again = submit(token_head, *score(run))
    assert again.returncode == 2
    assert f"the job {submission_id}, which is STOPPED" in again.stderr
    kill_the_next_attempt(token_head, run, store)
    finish_through_a_bad_connection(token_head, run, submission_id)
    ids = read_run(run).problems()["problem_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 500
    mine = {name: state for name, state in states(token_head).items() if name.startswith(submission_id)}
    assert list(mine.items()) == [
        (submission_id, "STOPPED"),
        (f"{submission_id}-2", "FAILED"),
        (f"{submission_id}-3", "SUCCEEDED"),
    ]
    _, alive = psutil.wait_procs(actors(token_head), timeout=20)
    assert not alive
    told = what_the_cluster_tells_of_jobs(token_head)
    assert TOKEN not in told
    assert '"RAY_AUTH_MODE":"token"' in told.replace(" ", "")


def actors(on: Head) -> list[psutil.Process]:
    """The replicas, the controller and the writer."""
    return processes(on, "Host")


def follow_and_detach(on: Head, run: Path, store: Store) -> str:
    """Ctrl-C ends the following and leaves the job, which is slow enough to be met half-way."""
    following = follow(on, *score(run), *sets("script.tokens_per_s=100", "generator.max_num_seqs=4"))
    wait_until(lambda: num_done(store) >= 20, following)
    following.send_signal(signal.SIGINT)
    log, said = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 130
    assert "loading models" in log
    submission_id: str
    [submission_id] = re.findall(r"parsimony: (\S+) goes on\. follow it: parsimony submit logs \1 --address", said)
    attached = submit(on, *score(run), "--resume", "--no-wait")
    assert attached.returncode == 0
    assert f"{submission_id} is RUNNING: nothing was submitted" in attached.stderr
    assert attached.stdout == f"{submission_id}\n"
    assert states(on)[submission_id] == "RUNNING"
    return submission_id


def stop_half_way(on: Head, run: Path, store: Store, submission_id: str) -> None:
    """The driver stops clean, well before Ray would kill it, and takes its replicas with it."""
    assert len(actors(on)) >= 3
    begun_s = time.monotonic()
    stopped = submit(on, "stop", submission_id)
    assert stopped.returncode == 0
    assert "| STOPPED |" in stopped.stderr
    assert time.monotonic() - begun_s < STOP_WAIT_S / 2
    lease = newest_lease(store)
    assert lease is not None
    assert lease.released_at is not None
    assert read_status(store, now_s=time.time()).state is State.STOPPED
    assert 0 < num_done(store) < 500
    assert "stopping: writing what there is" in submit(on, "logs", submission_id, "--no-wait").stdout
    _, alive = psutil.wait_procs(actors(on), timeout=20)
    assert not alive


def kill_the_next_attempt(on: Head, run: Path, store: Store) -> None:
    """SIGKILL of a driver: its lease stays, with a fresh heartbeat."""
    following = follow(on, *score(run), *sets("script.tokens_per_s=100", "generator.max_num_seqs=4"), "--resume")
    wait_until(lambda: lease_epoch(store) == 2, following)
    for driver in processes(on, "jobs.score"):
        driver.kill()
    log, said = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 137, log + said
    lease = newest_lease(store)
    assert lease is not None
    assert lease.released_at is None


def lease_epoch(store: Store) -> int:
    lease = newest_lease(store)
    return 0 if lease is None else lease.epoch


def finish_through_a_bad_connection(on: Head, run: Path, submission_id: str) -> None:
    """The next attempt takes the run at once; a follower whose connections are cut misses and repeats nothing."""
    with proxy(on.port) as bad:
        slow = sets("script.tokens_per_s=300", "generator.max_num_seqs=8")  # enough to be cut three times
        following = follow(on, *score(run), *slow, "--resume", address=f"http://127.0.0.1:{bad.port}")
        wait_until(lambda: f"{submission_id}-3" in states(on), following)
        for _ in range(3):
            time.sleep(2.0)
            wait_until(lambda: bad.cut() > 0, following)
        log, said = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 0, log + said
    assert log == submit(on, "logs", submission_id, "--no-wait").stdout
    assert "500 of 500: 500 succeeded" in log


def what_the_cluster_tells_of_jobs(on: Head) -> str:
    status, text = get(on.port, "/api/jobs/", {"Authorization": f"Bearer {TOKEN}"})
    assert status == 200
    return text


@pytest.mark.long
def test_plain_ray_job_submit_of_the_docs_works_on_a_head_without_authentication(tmp_path):
    [documented] = re.findall(r"^ray job submit (?:.*\\\n)*.*$", (ROOT / "docs/ray-jobs.md").read_text(), re.MULTILINE)
    with head({"RAY_AUTH_MODE": "disabled"}) as on:
        here = {
            "http://127.0.0.1:8265": on.address,
            "my.jsonl": f"{EXAMPLE}/test.jsonl",
            "my.toml": f"{EXAMPLE}/sample.toml",
            "s3://bucket/runs/first": str(tmp_path / "run"),
            '"token"': '"disabled"',
        }
        for there, mine in here.items():
            assert documented.count(there) == 1
            documented = documented.replace(there, mine)
        line = [
            str(Path(sys.executable).parent / "ray"),
            *shlex.split(documented.replace("\\\n", " "))[1:],
            "--limit",
            "16",
        ]
        ended = subprocess.run(
            line, cwd=ROOT, env=on.environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        ids = read_run(tmp_path / "run").problems()["problem_id"].to_pylist()
        assert len(ids) == len(set(ids)) == 16
        status = submit(on, "status", "first", RAY_ADDRESS="127.0.0.1:1", RAY_AUTH_MODE="disabled")
        assert status.returncode == 0
        assert status.stdout.startswith("first | SUCCEEDED | ")
        assert os.environ["RAY_AUTH_MODE"] == "token"  # the head's is its own
