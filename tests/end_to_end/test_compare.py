"""`parsimony compare` : what it says of a setting is what the setting's own run says."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import known_success
from records.run_folder.reader import read_run
from tests.support.scripted import SCRIPTED, sets

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/arithmetic"
WORDS = [
    *(str(EXAMPLE / "test.jsonl"), "--recipe", str(EXAMPLE / "best-of-16.toml"), "--limit", "14"),
    *sets(*SCRIPTED),
]
BASELINE = "best-of-n:num_samples=4"
OTHERS = ("majority:num_samples=3", "sequential:num_samples=4:wave_size=2", "beam-search:num_samples=4:beam_width=2")
COSTS = ("generated_tokens", "prompt_tokens", "cached_tokens", "pruned_tokens", "prm_tokens", "prm_cached_tokens")


def compare(output: Path, *more: str) -> str:
    """Run the command; what it prints."""
    strategies = ("--strategies", ",".join([BASELINE, *OTHERS]), "--output", str(output))
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "compare", *WORDS, *strategies, *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
def test_settings_cost_and_answer_what_their_own_runs_say(tmp_path, capsys):
    output = tmp_path / "compared"
    assert "cheapest" in compare(output, "--orders", "1").lower()
    assert (output / "comparison.png").stat().st_size > 20_000
    names = sorted(path.name for path in (output / "runs").iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["best-of-16-beam-search", "best-of-16-samples-4"]
    table = pq.read_table(output / "problems.parquet").to_pylist()
    for label, name in ((BASELINE, names[1]), (OTHERS[2], names[0])):
        rows = {row["problem_id"]: row for row in read_run(output / "runs" / name).problems().to_pylist()}
        own = [row for row in table if row["setting"] == label]
        assert len(own) == len(rows) == 14
        for row in own:
            there = rows[row["problem_id"]]
            assert row["correct"] == there["correct"]
            assert row["answer_p"] == there["answer_p_median"]
            assert row["flops"] == pytest.approx(there["flops"], rel=1e-9)
            assert {cost: row[cost] for cost in COSTS} == {cost: there[cost] for cost in COSTS}
            assert row["covered"] >= row["correct"]

    written = times(output / "runs")
    again = json.loads(compare(output, "--orders", "5", "--baseline", OTHERS[0], "--json"))
    assert times(output / "runs") == written  # nothing was run again
    assert again["baseline"] == OTHERS[0]
    assert [row["num_orders"] for row in again["rows"]] == [5, 5, 5, 1]

    pool = str(output / "runs" / names[1])
    rollouts = str(EXAMPLE / "rollouts/test.parquet")
    known_success.main([*WORDS, "--samples", pool, "--rollouts", rollouts, "--num-samples", "4", "--orders", "2"])
    said = json.loads(capsys.readouterr().out)
    [baseline] = [row for row in again["rows"] if row["label"] == BASELINE]
    assert said["fixed"]["accuracy"] == said["fixed"]["accuracy_of_fixed_at_same_tokens"]
    assert said["fixed"]["generated_tokens_per_problem"] == pytest.approx(baseline["generated_tokens"]["value"])
    assert said["monte_carlo"]["coverage"] <= said["fixed"]["coverage"]
