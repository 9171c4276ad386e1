"""Runs on a cluster of several nodes: what a node lacks, and a run that begins before all of its nodes are there.

The nodes are raylets of this machine (`tests.services.ray_nodes`), the engines scripted. The driver lives on the head,
which has room for no replica; the run's files lie where only the driver looks.
"""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.state import actors

from cluster.store import LocalStore
from jobs.command_line.score import ScoreOptions
from jobs.score import ray_session, score
from jobs.scoring.plan import make_plan
from jobs.scoring.replicas import Replicas, launch
from jobs.scoring.summary import Summary
from records.failure import PreflightFailed
from records.run_folder.checkpoints import read_log
from records.run_folder.reader import read_run
from records.run_folder.store import Store
from tests.services.ray_nodes import LocalCluster, can_have_networks, can_mount
from tests.support.scripted import EXAMPLE, SCRIPTED, sets

pytestmark = [pytest.mark.ray, pytest.mark.long]

GENERATOR, PRM = {"kind": "generator"}, {"kind": "prm"}
PLACED = (
    "generator.node_labels.kind=generator",
    "prm.node_labels.kind=prm",
    "generator.placement=spread",
    "prm.placement=spread",
    "generator.num_replicas=2",
    "prm.num_replicas=2",
)
QUICK = ("output.flush_interval_s=0.5", "output.flush_problems=20", *SCRIPTED)
PACE = ("script.tokens_per_s=200", "script.prm_tokens_per_s=10000")
"""Slow enough to be met half-way."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster() as made:
        for name in ("generator-a", "generator-b"):
            made.add(name, labels=GENERATOR)
        for name in ("prm-a", "prm-b"):
            made.add(name, labels=PRM)
        yield made


def options(cluster: LocalCluster, output: Path, *overrides: str, limit: int = 60) -> ScoreOptions:
    return ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / "beam-16.toml",
        output=str(output),
        overrides=(*QUICK, *PLACED, *PACE, f"cluster.address={cluster.address}", *overrides),
        limit=limit,
    )


@pytest.fixture(scope="module")
def session(cluster, tmp_path_factory):
    with ray_session(make_plan(options(cluster, tmp_path_factory.mktemp("none") / "run")).recipe):
        yield cluster


def handles_of(replicas: Replicas) -> list[Any]:
    return [*replicas.generators, *replicas.prms]


@contextmanager
def launched(plan) -> Iterator[Replicas]:
    """The replicas of a plan; they end with the block, as with a driver's session."""
    made = launch(plan.recipe)
    try:
        yield made
    finally:
        for handle in handles_of(made):
            ray.kill(handle._actor)


def run_with(plan, do: Callable[[Store], None]) -> Summary:
    """Score a plan, and do something beside it."""
    beside = threading.Thread(target=do, args=(plan.store,))
    with launched(plan) as replicas:
        beside.start()
        try:
            return score(plan, replicas)
        finally:
            beside.join()


def living_actors() -> list[dict[str, Any]]:
    """Those that are there, or are asked for."""
    return [one for one in actors().values() if one["State"] != "DEAD"]


def wait_for_rows(store: Store, number: int) -> None:
    while not store.read("_manifest.json") or read_log(store).totals.problems < number:
        time.sleep(0.05)


def check_rows(folder: Path, number: int) -> None:
    """One row per problem, and every token of the steps on somebody's account."""
    run = read_run(folder)
    problems, steps = run.problems().to_pylist(), run.steps().to_pylist()
    assert len({row["problem_id"] for row in problems}) == len(problems) == number
    assert len({(step["problem_id"], step["node_id"]) for step in steps}) == len(steps)
    assert sum(step["generated_tokens"] for step in steps) == sum(row["generated_tokens"] for row in problems)


def test_a_run_begins_with_the_replicas_that_have_a_node(session, tmp_path, capfd):
    """The third generator waits for a node of its kind, in sight; that one comes in mid-run."""
    plan = make_plan(options(session, tmp_path / "run", "generator.num_replicas=3", "generator.node_resource=slot"))
    first, second = (session.add(f"slot-{name}", labels=GENERATOR, resources={"slot": 1}) for name in "ab")

    def add_a_node(store: Store) -> None:
        wait_for_rows(store, 20)
        session.add("slot-c", labels=GENERATOR, resources={"slot": 1})

    summary = run_with(plan, add_a_node)
    assert summary.finished
    said = capfd.readouterr().err
    assert "2 of 3 generators, waiting for nodes of kind slot, kind=generator" in said
    check_rows(tmp_path / "run", 60)
    assert set(read_run(tmp_path / "run").steps()["replica"].to_pylist()) >= {"generator-0", "generator-1"}
    for node in (first, second):
        session.kill(node)


needs_mounts = pytest.mark.skipif(not can_mount(), reason="needs root and mount namespaces")


@needs_mounts
def test_a_model_that_a_node_lacks_and_another_version_are_said_before_anything_is_loaded(session, tmp_path):
    """Two nodes: one without the model's folder, one with other code; each is named with what it lacks."""
    model, empty, other = tmp_path / "model", tmp_path / "empty", tmp_path / "code"
    shutil.copytree(EXAMPLE / "generator", model)
    empty.mkdir()
    shutil.copytree(ROOT / "cluster", other, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "added.py").write_text('"""Another version."""\n')
    without = session.add_apart("without-model", {model: empty}, labels=GENERATOR)
    newer = session.add_apart("newer", {ROOT / "cluster": other}, labels=GENERATOR)
    real = ("generator.kind=vllm", "prm.kind=vllm", f"generator.model={model}")
    recipe = make_plan(options(session, tmp_path / "run", *real)).recipe
    with pytest.raises(PreflightFailed) as refused:
        launch(recipe)
    lacks = str(refused.value).splitlines()[1:]
    assert len(lacks) == 2
    [folder] = [line for line in lacks if line.startswith("node without-model")]
    assert f"has no folder {model}, which generator.model names" in folder or f"{model}, which generator" in folder
    [version] = [line for line in lacks if line.startswith("node newer")]
    assert version.count("code ") == 2
    assert not (tmp_path / "run" / "_manifest.json").exists()
    for node in (without, newer):
        session.kill(node)


def test_replicas_come_with_the_work_and_go_in_the_tail(session, tmp_path, capfd):
    """One at first; two more are asked for once it is full, of which one has to wait for its node."""
    overrides = ("generator.num_replicas={min = 1, max = 3}", "prm.num_replicas=1", "generator.max_num_seqs=8")
    plan = make_plan(options(session, tmp_path / "run", *overrides, "generator.node_resource=room", limit=200))
    nodes = [session.add(f"room-{name}", labels=GENERATOR, resources={"room": 1}) for name in "ab"]

    def add_a_node(store: Store) -> None:
        wait_for_rows(store, 30)
        nodes.append(session.add("room-c", labels=GENERATOR, resources={"room": 1}))

    assert run_with(plan, add_a_node).finished
    said = capfd.readouterr().err
    assert "3 generators are wanted now, 1 were" in said
    check_rows(tmp_path / "run", 200)
    served = set(read_run(tmp_path / "run").steps()["replica"].to_pylist())
    assert served >= {"generator-0", "generator-1"}
    deadline_s = time.monotonic() + 30
    while any("ReplicaHost" in one["ActorClassName"] for one in living_actors()):
        assert time.monotonic() < deadline_s, "what the run asked for is still there"
        time.sleep(0.5)
    for node in nodes:
        session.kill(node)


needs_networks = pytest.mark.skipif(not can_have_networks(), reason="needs root, ip and network namespaces")


@needs_networks
@pytest.mark.parametrize("for_good", [False, True])
def test_a_node_that_is_cut_off_costs_no_row(session, tmp_path, for_good):
    """Its engine goes on and its connections stand: for a while, or until the head says that the node is dead."""
    node = session.add_away(f"away-{for_good}", labels={"kind": "away"})
    overrides = ("generator.node_labels.kind=in(generator,away)", "generator.num_replicas=3")
    plan = make_plan(options(session, tmp_path / "run", *overrides, limit=120))

    def cut(store: Store) -> None:
        wait_for_rows(store, 15)
        session.cut(node)
        if not for_good:
            time.sleep(8)
            session.mend(node)

    assert run_with(plan, cut).finished
    check_rows(tmp_path / "run", 120)
    assert "generator-2" in set(read_run(tmp_path / "run").steps()["replica"].to_pylist())
    session.mend(node)
    session.kill(node)


def test_a_head_that_is_lost_ends_the_command_in_a_sentence_and_another_cluster_goes_on(tmp_path):
    run = tmp_path / "run"

    def begin(cluster: LocalCluster) -> "subprocess.Popen[str]":
        for name, labels in (("g", GENERATOR), ("p", PRM)):
            cluster.add(name, labels=labels)
        one_each = ("generator.num_replicas=1", "prm.num_replicas=1")
        settings = (*QUICK, *PLACED, "script.tokens_per_s=40", *one_each, f"cluster.address={cluster.address}")
        words = ["jobs.score", str(EXAMPLE / "test.jsonl"), "--recipe", str(EXAMPLE / "beam-16.toml")]
        words += ["--limit", "60", "--output", str(run), *sets(*settings)]
        return subprocess.Popen(
            [sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )

    with LocalCluster() as first:
        command = begin(first)
        wait_for_rows(LocalStore(run), 10)
        first.kill_gcs()
        _, said = command.communicate(timeout=180)
    assert command.returncode == 1
    last = [line for line in said.splitlines() if line.strip()][-1]
    assert "the head of the Ray cluster has not answered" in last
    assert "Traceback" not in said
    before = len(read_run(run).problems())
    assert before >= 10
    with LocalCluster() as second:
        command = begin(second)
        _, said = command.communicate(timeout=300)
    assert command.returncode == 0, said
    check_rows(run, 60)
