"""`parsimony replay` on runs through Ray: an adaptive budget, a cap, and each run as itself."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import replay
from jobs.command_line.replay import ReplayOptions
from jobs.command_line.score import ScoreOptions
from jobs.score import ray_session, score
from jobs.scoring.plan import make_plan
from jobs.scoring.replicas import Replicas, launch
from records.run_folder.reader import Run, read_run
from tests.support.scripted import SCRIPTED

pytestmark = [pytest.mark.ray, pytest.mark.long]

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
WIDTH = "strategy.num_samples=12"
ADAPTIVE = ("strategy.name=adaptive-best-of-n", WIDTH, "strategy.confidence=0.95")
COSTS = ("num_samples", "num_steps", "generated_tokens", "pruned_tokens", "prompt_tokens", "prm_tokens")


def options(output: Path, *overrides: str) -> ScoreOptions:
    return ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / "best-of-16.toml",
        output=str(output),
        overrides=(*SCRIPTED, *overrides),
        limit=24,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    """Fixed best-of-12, the adaptive one, and the fixed one under a cap: one after the other on the same engines."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = make_plan(options(folder / "fixed", WIDTH)).recipe

    def scored(replicas: Replicas, name: str, *overrides: str) -> Run:
        score(make_plan(options(folder / name, *overrides)), replicas)
        return read_run(folder / name)

    with ray_session(recipe):
        replicas = launch(recipe)
        fixed = scored(replicas, "fixed", WIDTH)
        total = round(0.6 * fixed.totals.generated_tokens)
        return {
            "fixed": fixed,
            "adaptive": scored(replicas, "adaptive", *ADAPTIVE),
            "capped": scored(replicas, "capped", WIDTH, f"budget.total_tokens={total}"),
        }


def replayed(run: Run, output: Path, *overrides: str) -> dict[str, dict[str, Any]]:
    options = ReplayOptions(run=run.uri, output=str(output), overrides=overrides)
    assert replay.run(options) == 0
    return {row["problem_id"]: row for row in pq.read_table(output / "replay.parquet").to_pylist()}


def rows_of(run: Run) -> dict[str, dict[str, Any]]:
    return {row["problem_id"]: row for row in run.problems().to_pylist()}


def test_the_adaptive_budget_on_stored_samples_is_the_run_of_that_budget(runs, tmp_path):
    rows, found = rows_of(runs["adaptive"]), replayed(runs["fixed"], tmp_path / "out", *ADAPTIVE)
    assert len(found) == 24
    assert {row["num_samples"] for row in rows.values()} > {12}
    for problem_id, line in found.items():
        row = rows[problem_id]
        assert (line["answer"], line["correct"]) == (row["answer"], row["correct"])
        assert {name: line[name] for name in COSTS} == {name: row[name] for name in COSTS}
        assert line["answer_p_median"] == pytest.approx(row["answer_p_median"], abs=1e-4)


@pytest.mark.parametrize("name", ["fixed", "adaptive", "capped"])
def test_every_run_replays_as_itself(runs, tmp_path, name):
    run = runs[name]
    assert bool(run.totals.budget_exhausted) == (name == "capped")
    rows, found = rows_of(run), replayed(run, tmp_path / "out")
    for problem_id, line in found.items():
        same = {column: value for column, value in line.items() if column in rows[problem_id]}
        assert len(same) > 15
        assert same == {column: rows[problem_id][column] for column in same}
