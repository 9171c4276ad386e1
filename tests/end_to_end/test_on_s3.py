"""The main job on a real object store: the rows of a local run, also when store and network fail in the middle."""

import threading
import time
from pathlib import Path

import pytest

from cluster.store import open_store
from jobs.command_line.score import ScoreOptions
from jobs.score import finished_summary, ray_session, score
from jobs.scoring.plan import make_plan
from jobs.scoring.replicas import Replicas, launch
from jobs.scoring.run_status import State, read_status
from records.run_folder.checkpoints import read_log
from records.run_folder.reader import Run, read_run
from records.run_folder.store import Store
from tests.services.proxy import Proxy
from tests.services.radosgw import RadosGateway
from tests.services.servers import Bucket
from tests.support.scripted import SCRIPTED

pytestmark = [pytest.mark.ray, pytest.mark.s3]

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
GREEDY = "generator.temperature=0.0"
PACED = "script.tokens_per_s=400"


def options(output: str, recipe: str, limit: int, *overrides: str) -> ScoreOptions:
    return ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / f"{recipe}.toml",
        output=output,
        overrides=("output.flush_interval_s=0.5", "output.flush_problems=10", *SCRIPTED, PACED, *overrides),
        limit=limit,
    )


@pytest.fixture(scope="module")
def bucket(radosgw: RadosGateway):
    # The run's actors have the environment that their session was begun in, so all tests share one place.
    with pytest.MonkeyPatch.context() as environment, Proxy(radosgw.endpoint_url).running() as proxy:
        made = Bucket(radosgw, proxy)
        for name, value in made.environment.items():
            environment.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def replicas(bucket: Bucket):
    plan = make_plan(options(bucket.uri("none"), "majority", 1))
    with ray_session(plan.recipe):
        yield launch(plan.recipe)


@pytest.fixture(autouse=True)
def another_run_follows(replicas):
    yield
    replicas.prepare_run()


def found(run: Run) -> dict[str, tuple[object, ...]]:
    rows = run.problems().to_pylist()
    assert len({row["problem_id"] for row in rows}) == len(rows)
    return {row["problem_id"]: (row["status"], row["answer"], row["correct"], row["generated_tokens"]) for row in rows}


def check_books(run: Run) -> None:
    """Nothing stands twice, and every token is charged once."""
    steps = run.steps().to_pylist()
    assert len({(step["problem_id"], step["node_id"]) for step in steps}) == len(steps)
    assert sum(step["generated_tokens"] for step in steps) == run.totals.generated_tokens
    assert run.log.open_tokens == 0


@pytest.mark.ci
def test_a_run_on_s3_has_the_rows_of_a_local_one(tmp_path: Path, bucket: Bucket, replicas: Replicas) -> None:
    local = score(make_plan(options(str(tmp_path / "run"), "sample", 40, GREEDY)), replicas)
    plan = make_plan(options(bucket.uri("same"), "sample", 40, GREEDY))
    remote = score(plan, replicas)
    here, there = read_run(tmp_path / "run"), read_run(bucket.uri("same"))
    assert found(there) == found(here)
    assert remote.tokens["generated"] == local.tokens["generated"] > 0
    check_books(there)
    assert read_status(open_store(bucket.uri("same")), now_s=time.time()).state is State.FINISHED
    objects = {name: bucket.get(f"same/{name}") for name in plan.store.list("")}
    assert finished_summary(make_plan(plan.options)) == remote
    assert {name: bucket.get(f"same/{name}") for name in plan.store.list("")} == objects


@pytest.mark.ci
def test_lost_replies_cut_uploads_and_a_killed_server_duplicate_nothing(
    bucket: Bucket, radosgw: RadosGateway, replicas: Replicas
) -> None:
    bucket.fail("PUT", "_commits/0000000002.json", "drop", times=2)
    bucket.fail("PUT", "_commits/0000000004.json", "status", status=503, times=3)
    bucket.fail("PUT", "_epochs/1.json", "drop")
    bucket.fail("PUT", ".parquet", "cut", times=2)
    bucket.fail("PUT", ".parquet", "drop", times=2)
    plan = make_plan(options(bucket.uri("rough"), "majority", 160))
    over, restarted_at = threading.Event(), list[int]()
    killer = threading.Thread(target=restart_half_way, args=(plan.store, radosgw, over, restarted_at))
    killer.start()
    try:
        summary = score(plan, replicas)
        run = read_run(bucket.uri("rough"))
        rows = found(run)
        check_books(run)
    finally:
        over.set()
        killer.join()
        radosgw.kill_gateway()  # it may have died with its thread; this one lives on
        radosgw.start_gateway()
    assert len(restarted_at) == 1
    assert restarted_at[0] < 160
    assert all(fault.times == 0 for fault in bucket.proxy.faults)
    assert summary.problems == {"succeeded": 160, "failed": 0, "budget_exhausted": 0, "cancelled": 0}
    assert len(rows) == 160
    assert run.log.epoch == 1


def restart_half_way(store: Store, radosgw: RadosGateway, over: threading.Event, restarted_at: list[int]) -> None:
    """SIGKILL the server once 30 problems are done, and start it again three seconds later."""
    while not over.wait(0.2):
        done = read_log(store).totals.problems
        if done >= 30:
            radosgw.kill_gateway()
            time.sleep(3.0)
            radosgw.start_gateway()
            restarted_at.append(done)
            over.wait()  # the server lives as long as the thread that started it
