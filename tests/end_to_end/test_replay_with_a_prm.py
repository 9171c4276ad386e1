"""`parsimony replay --prm` on a run of real engines: the PRM that is loaded again."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import replay
from jobs.command_line.replay import ReplayOptions
from jobs.command_line.score import ScoreOptions
from jobs.score import carry_out
from jobs.scoring.plan import make_plan
from records.run_folder.reader import Run, read_run

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.long]

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    options = ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / "best-of-16.toml",
        output=str(folder / "fixed"),
        overrides=("strategy.num_samples=12",),
        limit=24,
    )
    carry_out(make_plan(options))
    return read_run(folder / "fixed")


def replayed(run: Run, output: Path, prm: str) -> dict[str, dict[str, Any]]:
    assert replay.run(ReplayOptions(run=run.uri, output=str(output), prm=prm)) == 0
    return {row["problem_id"]: row for row in pq.read_table(output / "replay.parquet").to_pylist()}


def rows_of(run: Run) -> dict[str, dict[str, Any]]:
    return {row["problem_id"]: row for row in run.problems().to_pylist()}


def test_the_same_prm_loaded_again_says_the_same(run, tmp_path):
    """So nothing but the PRM differs where another one is given; and a second replay loads none."""
    output = tmp_path / "out"
    rows, prm = rows_of(run), str(EXAMPLE / "prm")
    found = replayed(run, output, prm=prm)
    assert {problem_id: line["answer"] for problem_id, line in found.items()} == {
        problem_id: row["answer"] for problem_id, row in rows.items()
    }
    steps = {(step["problem_id"], step["node_id"]): step["p_median"] for step in run.steps().to_pylist()}
    [file] = output.glob("scores-*.parquet")
    scores = pq.read_table(file).to_pylist()
    assert len(scores) == 24 * 13  # every sample, and the bare question
    for row in scores:
        stored = steps.get((row["problem_id"], row["node_id"]), rows[row["problem_id"]]["p_median"])
        assert row["p_median"] == pytest.approx(stored, abs=1e-4)
    written = file.stat().st_mtime_ns
    assert replayed(run, output, prm=prm) == found
    assert file.stat().st_mtime_ns == written
    assert json.loads((output / "summary.json").read_text())["prm"] == prm
