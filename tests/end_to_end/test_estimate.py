"""`parsimony estimate` : its pilot begins the real run, whose rows add up to what was held."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest

from benchmarks import estimates
from cluster.store import LocalStore
from records.jsonio import decode
from records.run_folder.prediction import ESTIMATE, Prediction
from records.run_folder.reader import read_run
from tests.support.scripted import SCRIPTED, sets

pytestmark = [pytest.mark.ray, pytest.mark.long]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/arithmetic"
NUM_PROBLEMS, NUM_PILOT = 16, 6
STALL_S = 1.0


def parsimony(*words: str) -> str:
    """Run a command; what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_real_run_goes_on_with_the_pilot(tmp_path, capsys):
    words = [str(EXAMPLE / "test.jsonl"), "--recipe", str(EXAMPLE / "best-of-16.toml"), "--limit", str(NUM_PROBLEMS)]
    instances = [f"cost.{role}_instance=m7i.2xlarge" for role in ("generator", "prm")]
    priced = sets(*instances, *SCRIPTED, "script.tokens_per_s=200", "script.prm_tokens_per_s=4000")
    asked = [
        "--pilot",
        str(NUM_PILOT),
        "--strategies",
        "best-of-n:num_samples=4",
        "--replicas",
        "1+1",
        "--replicas",
        "8+2",
    ]
    given = [
        "estimate",
        *words,
        "--output",
        str(tmp_path / "e"),
        *priced,
        *asked,
        "--accuracy",
        "0.01",
        "--max-usd",
        "1",
    ]
    said = json.loads(parsimony(*given, "--json"))

    questions = read_run(tmp_path / "e/questions")
    assert questions.finished
    assert questions.totals.generated_tokens == 0
    assert questions.totals.prm_tokens > 0
    assert {replica.role for replica in questions.log.usages[-1].usage.replicas} == {"prm"}
    assert questions.problems()["p_median"].null_count == questions.problems()["correct"].null_count - NUM_PROBLEMS == 0

    [one] = said["strategies"]
    pilot = read_run(one["run"])
    assert not pilot.finished
    assert pilot.problems().num_rows == NUM_PILOT
    assert said["advice"]["cheapest"] == one["strategy"]
    small, large = one["replicas"]
    assert (small["num_generators"], large["num_prms"]) == (1, 2)
    assert large["wall_seconds"]["estimate"] < small["wall_seconds"]["estimate"]
    assert small["tokens"]["generated"]["lower"] >= pilot.totals.generated_tokens
    assert small["usd"]["estimate"] > 0
    assert small["kwh"]["estimate"] > 0

    before = LocalStore(Path(one["run"])).list("problems/")
    again = json.loads(parsimony(*given, "--json"))  # nothing is left to run
    assert again["strategies"][0]["replicas"][0]["tokens"] == small["tokens"]
    assert LocalStore(Path(one["run"])).list("problems/") == before

    _, *command = shlex.split(one["goes_on"])
    summary = json.loads(parsimony(*command, "--json"))
    run = read_run(one["run"])
    assert summary["problems"]["succeeded"] == NUM_PROBLEMS == run.problems().num_rows
    first = run.problems().slice(0, NUM_PILOT)
    assert first.equals(pilot.problems())
    predicted = decode(Prediction, (Path(one["run"]) / ESTIMATE).read_bytes(), ESTIMATE)
    assert predicted.tokens["generated"].estimate == pytest.approx(run.totals.generated_tokens, rel=0.5)

    held_s: dict[str, float] = {}
    for epoch in {point.epoch for point in run.log.usages}:
        last = [point.usage for point in run.log.usages if point.epoch == epoch][-1]
        for replica in last.replicas:
            held_s[replica.role] = held_s.get(replica.role, 0.0) + replica.held_s
    for role in ("generator", "prm"):
        # Beside 1%: what passes on a busy machine between the last row and the last usage is nobody's.
        given = pytest.approx(held_s[role], rel=0.01, abs=STALL_S)
        assert pc.sum(run.problems()[f"{role}_seconds"]).as_py() == given
    share = 1 / 8  # of one thread of an m7i.2xlarge
    usd = sum(held_s.values()) / 3600 * 0.4032 * share
    stalled = 2 * STALL_S / 3600 * 0.4032 * share
    assert pc.sum(run.problems()["usd"]).as_py() == pytest.approx(usd, rel=0.01, abs=stalled)

    estimates.main([one["run"], "--pilot", "6", "--repeats", "3"])
    [found] = json.loads(capsys.readouterr().out)["runs"]
    assert found["generated_tokens"]["actual"] == run.totals.generated_tokens
    assert 0 <= found["generated_tokens"]["times_inside"] <= 3
