"""The main job: generators and PRMs in Ray actors, the problems of the repository, rows in Parquet.

The engines are scripted; `test_on_vllm.py` has the models. Two generators and two PRMs are launched once for the
module; each test is a run of its own on some of them.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import psutil
import pyarrow.parquet as pq
import pytest

from cluster.remote import wait_for
from cluster.store import LocalStore
from jobs.command_line.export import ExportOptions
from jobs.command_line.score import ScoreOptions
from jobs.export import export
from jobs.score import finished_summary, ray_session, score
from jobs.scoring.plan import make_plan
from jobs.scoring.replicas import launch
from jobs.scoring.run_status import State, read_status
from records.run_folder.reader import read_run
from records.run_folder.store import Store
from scaling.answers.numeric import numeric_equal
from tests.support.drivers import named_below
from tests.support.scripted import EXAMPLE, SCRIPTED, sets

pytestmark = pytest.mark.ray

SHIPPED = ("sample", "majority", "best-of-16", "beam-16")
"""Recipes of the example."""
PLAIN = ("sample", "majority")
"""Of these, what others hold too."""
QUICK = ("output.flush_interval_s=0.5", "output.flush_problems=20", *SCRIPTED)
TWO = ("generator.num_replicas=2", "prm.num_replicas=2", "script.tokens_per_s=200", "script.prm_tokens_per_s=10000")


def options(output: Path, recipe: str, *overrides: str, limit: int | None = None) -> ScoreOptions:
    return ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / f"{recipe}.toml",
        output=str(output),
        overrides=(*QUICK, *overrides),
        limit=limit,
    )


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    plan = make_plan(options(tmp_path_factory.mktemp("none") / "run", "beam-16", *TWO))
    with ray_session(plan.recipe):
        yield launch(plan.recipe)


@pytest.fixture(autouse=True)
def another_run_follows(replicas):
    yield
    replicas.prepare_run()


@pytest.fixture
def one_each(replicas):
    return replace(replicas, generators=replicas.generators[:1], prms=replicas.prms[:1])


@pytest.fixture
def one_generator(replicas):
    return replace(replicas, generators=replicas.generators[:1], prms=())


@pytest.mark.parametrize(
    "recipe", [pytest.param(one, marks=pytest.mark.long if one in PLAIN else ()) for one in SHIPPED]
)
def test_every_shipped_recipe_scores_and_every_reader_reads(tmp_path, replicas, recipe):
    plan = make_plan(options(tmp_path / "run", recipe, limit=24))
    summary = score(plan, replicas)
    assert summary.finished
    assert summary.problems == {"succeeded": 24, "failed": 0, "budget_exhausted": 0, "cancelled": 0}
    assert summary.graded == 24
    run = read_run(tmp_path / "run")
    problems, steps = run.problems().to_pylist(), run.steps().to_pylist()
    assert sum(row["generated_tokens"] for row in problems) == sum(len(row["token_ids"]) for row in steps) > 0
    assert all(row["answer_p_median"] is not None for row in problems) == plan.recipe.strategy.gives_answer_p
    parts = run.part_paths("problems")
    query = f"select count(*), sum(generated_tokens) from read_parquet({parts})"  # noqa: S608 (our own paths)
    with duckdb.connect() as connection:
        [(count, tokens)] = connection.sql(query).fetchall()
    assert (count, int(tokens)) == (24, summary.tokens["generated"])
    assert pl.read_parquet(parts)["problem_id"].n_unique() == 24
    before = file_times(tmp_path)
    assert finished_summary(make_plan(plan.options)) == summary
    check_export(tmp_path / "run", tmp_path / "paths.parquet", problems, steps)
    (tmp_path / "paths.parquet").unlink()
    assert file_times(tmp_path) == before


def check_export(run, output, problems, steps):
    """Every path that ended is exported, with the verdict that the run has of its answer, or that an equal one has."""
    written = export(ExportOptions(run=str(run), layout="paths", output=str(output)))
    ended = {(row["problem_id"], row["node_id"]) for row in steps if row["finish_reason"] in {"eos", "length"}}
    paths = pq.read_table(output).to_pylist()
    assert {(row["problem_id"], row["node_id"]) for row in paths} == ended
    assert written.rows == len(paths) == len(ended)
    chosen = {row["problem_id"]: (row["answer"], row["correct"]) for row in problems}
    outcomes = {}
    for row in paths:
        assert row["outcome"] == outcomes.setdefault((row["problem_id"], row["answer"]), row["outcome"])
        assert row["outcome"] == numeric_equal(row["answer"] or "", row["reference"])
    for problem_id, (answer, correct) in chosen.items():
        assert outcomes[problem_id, answer] == correct


def test_problems_compete_for_the_samples_that_a_cap_allows(tmp_path, replicas):
    """In two windows, each of which gets its half."""
    chosen = ("strategy.name=marginal", "strategy.num_samples=16")
    chosen = (*chosen, "budget.total_tokens=4000", "cluster.max_open_problems=12")
    summary = score(make_plan(options(tmp_path / "run", "sample", *chosen, limit=24)), replicas)
    assert summary.finished
    assert 3900 < summary.tokens["generated"] <= 4000
    assert summary.problems["budget_exhausted"] > 0
    run = read_run(tmp_path / "run")
    requests = [row for row in run.requests().to_pylist() if row["kind"] == "expand"]
    assert all(row["worth"] > 0 for row in requests)
    tokens = {row["problem_id"]: row["generated_tokens"] for row in run.problems().to_pylist()}
    ids = [json.loads(line)["problem_id"] for line in (EXAMPLE / "test.jsonl").read_text().splitlines()[:24]]
    assert sum(tokens[one] for one in ids[:12]) <= 2000
    assert len({row["num_samples"] for row in run.problems().to_pylist()}) > 2


def test_two_replicas_of_each_role_give_the_rows_of_one(tmp_path, replicas, one_each):
    for name, fleet in (("one", one_each), ("two", replicas)):
        score(make_plan(options(tmp_path / name, "best-of-16", limit=40)), fleet)
    one, two = (read_run(tmp_path / name) for name in ("one", "two"))
    ids = [sorted(run.problems()["problem_id"].to_pylist()) for run in (one, two)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 40
    assert set(one.steps()["replica"].to_pylist()) == {"generator-0"}
    assert set(two.steps()["replica"].to_pylist()) == {"generator-0", "generator-1"}
    assert set(two.steps()["prm_replica"].to_pylist()) >= {"prm-0", "prm-1"}


def test_the_cap_on_tokens_is_never_exceeded(tmp_path, replicas):
    capped = options(tmp_path / "run", "best-of-16", "budget.total_tokens=20000", limit=100)
    summary = score(make_plan(capped), replicas)
    assert 18_000 < summary.tokens["generated"] <= 20_000
    assert sum(summary.problems.values()) == 100
    assert summary.problems["budget_exhausted"] > 0
    assert summary.problems["succeeded"] > 0
    steps = read_run(tmp_path / "run").steps()
    assert sum(steps["generated_tokens"].to_pylist()) == summary.tokens["generated"]


@pytest.mark.parametrize(
    "victim",
    [
        "controller",
        pytest.param("writer", marks=pytest.mark.long),
        pytest.param("generator", marks=pytest.mark.ci),
        pytest.param("prm", marks=pytest.mark.long),
    ],
)
def test_kill_minus_nine_of_an_actor_in_the_middle_of_a_run(tmp_path, one_each, victim, capfd):
    plan = make_plan(options(tmp_path / "run", "beam-16", limit=60))
    replicas = {handle.replica_id: handle._actor for handle in [*one_each.generators, *one_each.prms]}
    pids = {name: wait_for(actor.process_id.remote()) for name, actor in replicas.items()}
    killed: list[int] = []
    killer = threading.Thread(target=kill_actor_half_way, args=(plan.store, pids, victim, killed))
    killer.start()
    summary = score(plan, one_each)
    killer.join()
    assert len(killed) == 1
    said = capfd.readouterr().err
    run = read_run(tmp_path / "run")
    if victim in ("controller", "writer"):
        assert "a new one goes on from what is written" in said
        assert run.log.epoch == 2
    else:
        assert f"{victim}-0 is gone" in said
        assert f"{victim}-0 is back" in said
        assert run.log.epoch == 1
    assert summary.problems["succeeded"] == 60
    problems, steps = run.problems().to_pylist(), run.steps().to_pylist()
    assert len({row["problem_id"] for row in problems}) == len(problems) == 60
    assert len({(step["problem_id"], step["node_id"]) for step in steps}) == len(steps)
    charged = sum(step["generated_tokens"] for step in steps)
    assert charged == sum(row["generated_tokens"] for row in problems) == summary.tokens["generated"]


def kill_actor_half_way(store: Store, replicas: dict[str, int], victim: str, killed: list[int]) -> None:
    """SIGKILL the process of one actor, once 20 problems are done."""
    while not killed:
        time.sleep(0.05)
        if num_done(store) >= 20:
            pid = replicas.get(f"{victim}-0") or newest_host(victim, set(replicas.values()))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)


def newest_host(victim: str, replicas: set[int]) -> int:
    """The process of this run's controller or writer: those of earlier runs are older, or gone."""
    kind = "AsyncHost" if victim == "controller" else "ThreadedHost"
    hosts = named_below(psutil.Process(), kind)
    newest: psutil.Process = max(
        (host for host in hosts if host.pid not in replicas), key=lambda host: host.create_time()
    )
    return int(newest.pid)


def file_times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.ci
def test_sigterm_leaves_the_rest_to_the_same_command_and_a_finished_run_starts_nothing(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "jobs.score", str(EXAMPLE / "test.jsonl"), "--output", str(run)]
    command += ["--recipe", str(EXAMPLE / "sample.toml"), "--json", "--limit", "200"]
    command += sets(*QUICK, "script.tokens_per_s=20")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    store = LocalStore(run)
    while process.poll() is None and num_done(store) < 50:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert read_status(store, now_s=time.time()).state is State.STOPPED
    first = num_done(store)
    assert 50 <= first < 200
    resumed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    summary = json.loads(resumed.stdout)
    assert summary["problems"]["succeeded"] == 200
    assert summary["accuracy_lower"] < summary["accuracy"] < summary["accuracy_upper"]
    ids = read_run(run).problems()["problem_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 200
    before = file_times(run)
    nowhere = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}  # a third run that tried to start anything would fail
    again = subprocess.run(command, capture_output=True, text=True, check=False, env=nowhere)
    assert (again.returncode, json.loads(again.stdout)) == (0, summary)
    assert file_times(run) == before


def num_done(store: Store) -> int:
    if store.read("_manifest.json") is None:
        return 0
    return sum(read_status(store, now_s=time.time()).summary.problems.values())


def test_a_resume_with_another_recipe_is_refused_before_anything_starts(tmp_path, one_generator):
    first = options(tmp_path / "run", "sample", limit=5)
    score(make_plan(first), one_generator)
    status = read_status(make_plan(first).store, now_s=time.time())
    assert status.state is State.FINISHED
    with pytest.raises(Exception, match=r"generator\.temperature: was 0\.7, is 0\.2"):
        finished_summary(make_plan(replace(first, overrides=("generator.temperature=0.2",))))
