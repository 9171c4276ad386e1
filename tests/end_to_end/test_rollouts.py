"""`parsimony rollout` killed in the middle: every prefix once, with the counts of what was sampled for it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cluster.store import LocalStore
from jobs.command_line.export import ExportOptions
from jobs.export import export
from records.path import FinishReason
from records.run_folder.reader import read_run
from tests.support.drivers import Driver
from tests.support.scripted import KINDS, sets

pytestmark = [pytest.mark.ray, pytest.mark.long]

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
ENDS = (FinishReason.EOS, FinishReason.LENGTH)
NUM_PROBLEMS, NUM_TRAJECTORIES, NUM_CONTINUATIONS = 60, 3, 4
ROLLOUT = [
    str(EXAMPLE / "calibration.jsonl"),
    *("--recipe", str(EXAMPLE / "majority.toml")),
    *("--limit", str(NUM_PROBLEMS)),
    *("--trajectories", str(NUM_TRAJECTORIES), "--continuations", str(NUM_CONTINUATIONS)),
    "--json",
    *sets(*KINDS, f"script.answers={EXAMPLE / 'calibration.jsonl'}", "script.tokens_per_s=300"),
    *sets("generator.block_size=8"),
]


def test_rollouts_killed_in_the_middle_have_every_prefix_once(tmp_path, drivers):
    run = tmp_path / "run"
    killed = Driver(run, "rollout", *ROLLOUT)
    drivers.append(killed)
    killed.wait_for(LocalStore(run), NUM_PROBLEMS // 4)
    killed.kill()
    assert 0 < read_run(run).totals.problems < NUM_PROBLEMS

    resumed = Driver(run, "rollout", *ROLLOUT)
    drivers.append(resumed)
    code, output = resumed.finish()
    assert code == 0, resumed.log.read_text()
    summary = json.loads(output)
    assert summary["problems"]["succeeded"] == NUM_PROBLEMS

    found = read_run(run)
    rows = found.rollouts().to_pylist()
    steps = {(step["problem_id"], step["node_id"]): step for step in found.steps().to_pylist()}
    requests = found.requests().to_pylist()
    assert summary["tokens"]["generated"] == sum(step["generated_tokens"] for step in steps.values())
    assert summary["rollouts"]["prefixes"] == len(rows)
    assert summary["rollouts"]["cached_share"] > 0.5  # a prefix has just been sampled when it is continued

    def path(problem_id: str, node_id: int) -> list[dict[str, Any]]:
        if node_id == 0:
            return []
        step = steps[problem_id, node_id]
        return [*path(problem_id, step["parent_id"]), step]

    def tokens(problem_id: str, node_id: int) -> list[tuple[int, ...]]:
        return [tuple(step["token_ids"]) for step in path(problem_id, node_id)]

    expected = set()
    for request in requests:
        if request["request"] == 0:
            for leaf in request["child_ids"]:
                whole = tokens(request["problem_id"], leaf)
                expected |= {(request["problem_id"], sum(whole[:depth], ())) for depth in range(len(whole) + 1)}
    keys = [(row["problem_id"], tuple(row["token_ids"])) for row in rows]
    assert len(keys) == len(set(keys))
    assert set(keys) == expected
    for row in rows:
        last = path(row["problem_id"], row["node_id"])[-1:]
        assert row["terminal"] == any(step["finish_reason"] in ENDS for step in last)
        assert row["trials"] == (1 if row["terminal"] else NUM_CONTINUATIONS)
        assert 0 <= row["successes"] <= row["trials"]
    root_success = [row["successes"] for row in rows if row["depth"] == 0]
    assert 0 < sum(root_success) < NUM_PROBLEMS * NUM_CONTINUATIONS

    trajectories = {
        (request["problem_id"], leaf): tokens(request["problem_id"], leaf)
        for request in requests
        if request["request"] == 0
        for leaf in request["child_ids"]
    }
    counts = {key: (row["successes"], row["trials"]) for key, row in zip(keys, rows, strict=True)}
    check_export(run, tmp_path / "steps.parquet", trajectories, counts)


def check_export(
    run: Path,
    output: Path,
    trajectories: dict[tuple[str, int], list[tuple[int, ...]]],
    counts: dict[tuple[str, tuple[int, ...]], tuple[int, int]],
) -> None:
    """Every trajectory is labelled step by step with the counts of its prefixes: `parsimony export`."""
    exported = export(ExportOptions(run=str(run), layout="stepwise", output=str(output)))
    labelled = pq.read_table(output).to_pylist()
    assert exported.label_sources == {"monte_carlo": len(labelled)}
    assert sum(row["num_paths"] for row in labelled) == len(trajectories) == NUM_PROBLEMS * NUM_TRAJECTORIES
    for row in labelled:
        ids = trajectories[row["problem_id"], row["node_id"]]
        expected = [counts[row["problem_id"], sum(ids[:depth], ())] for depth in range(1, len(ids) + 1)]
        assert row["labels"] == [successes > 0 for successes, _ in expected]
        assert row["trials"] == [trials for _, trials in expected]
        assert len(row["completions"]) == len(ids)
        assert row["outcome"] == (expected[-1][0] == 1)  # the grader says now what it said then
