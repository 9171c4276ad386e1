"""Drivers that freeze, wake up and die, all real but the models: one row per problem, and tokens charged once."""

import json
import time
from pathlib import Path

import psutil
import pytest

from actors.writer.lease import HeldLease, newest_lease
from cluster.store import LocalStore
from records.run_folder.checkpoints import read_log
from records.run_folder.layout import TABLES
from records.run_folder.reader import read_run
from tests.support.drivers import Driver
from tests.support.scripted import SCRIPTED, sets

pytestmark = pytest.mark.ray

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
NUM_PROBLEMS = 200
SCORE = [
    str(EXAMPLE / "test.jsonl"),
    "--limit",
    str(NUM_PROBLEMS),
    "--recipe",
    str(EXAMPLE / "majority.toml"),
    "--json",
    *sets(*SCRIPTED, "script.tokens_per_s=150"),
]


def times(run: Path) -> dict[Path, int]:
    """When each file of a run was written."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def charged_tokens(run: Path) -> int:
    """Of a run with every problem once and every step once: tokens are charged once."""
    found = read_run(run)
    ids = found.problems()["problem_id"].to_pylist()
    assert len(ids) == len(set(ids)) == NUM_PROBLEMS
    steps = found.steps().to_pylist()
    assert len({(step["problem_id"], step["node_id"]) for step in steps}) == len(steps)
    charged: int = sum(step["generated_tokens"] for step in steps)
    assert charged == found.totals.generated_tokens
    return charged


@pytest.mark.long
def test_a_frozen_driver_is_fenced_and_a_killed_one_costs_little(tmp_path, drivers):
    run = tmp_path / "run"
    store = LocalStore(run)

    frozen = Driver(run, "score", *SCORE)
    drivers.append(frozen)
    frozen.wait_for(store, NUM_PROBLEMS // 5)
    stopped = frozen.hosts()
    assert len(stopped) >= 4
    for process in stopped:
        process.suspend()
    # However long the next driver takes to start, this one's last heartbeat is not old by then.
    HeldLease(store, newest_lease(store)).heartbeat(time.time() + 300, {})

    refused = Driver(run, "score", *SCORE)
    drivers.append(refused)
    code, _ = refused.finish()
    assert code == 2
    assert "--take-over" in refused.log.read_text()

    killed = Driver(run, "score", *SCORE, "--take-over")
    drivers.append(killed)
    killed.wait_for(store, NUM_PROBLEMS // 3)
    generated_tokens = killed.generated_tokens()
    below, hosts = killed.tree.children(recursive=True), killed.hosts()
    for process in hosts:  # all at once: none writes what another has lost
        process.suspend()
    written_tokens = read_log(store).spent_tokens
    for process in hosts:
        process.kill()
    killed.process.wait()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not [process for process in alive if "Host" in process.name()]
    wasted_tokens = generated_tokens - written_tokens

    resumed = Driver(run, "score", *SCORE)
    drivers.append(resumed)
    code, output = resumed.finish()
    assert code == 0, resumed.log.read_text()
    summary = json.loads(output)
    assert summary["problems"]["succeeded"] == NUM_PROBLEMS

    before = times(run)
    log, lease = read_log(store), newest_lease(store)
    for process in stopped:
        process.resume()
    code, _ = frozen.finish()
    assert code == 1
    assert "has taken" in frozen.log.read_text()
    after = times(run)
    assert {path: after.get(path) for path in before} == before
    # What it had in hand when it froze may lie there as parts, or as a file in the making; no commit names them.
    left = {path.relative_to(run).parts[0] for path in after.keys() - before.keys()}
    assert left <= {*TABLES, ".tmp"}
    assert (read_log(store), newest_lease(store)) == (log, lease)

    charged = charged_tokens(run)
    assert charged == summary["tokens"]["generated"]
    # Samples that were in flight come on top: at most 80 at a time here, of 83 tokens on average.
    assert wasted_tokens <= 0.1 * charged
