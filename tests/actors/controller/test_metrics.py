"""What a controller tells of itself: true at the end, plausible on the way, complete."""

import asyncio
from functools import partial
from itertools import pairwise

import pytest

from actors.controller.metrics import METRICS_INTERVAL_S
from records.metrics import CAP_GPU_SECONDS, METRICS, TOKENS, Kind
from records.run_folder.reader import read_run
from scaling.budget.metering import ReplicaRate
from scaling.strategies.beam_search import beam_search
from tests.support.fakes import Faults, fake_generator
from tests.support.local import LIMITS, LocalRun, problems

COUNTERS = {metric.name for metric in METRICS if metric.kind is Kind.COUNTER}

REPLICAS = (("generator", "generator-0"), ("generator", "generator-1"), ("prm", "prm-0"))


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot with every turn of the loop, instead of every second."""
    assert METRICS_INTERVAL_S == 1.0
    monkeypatch.setattr("actors.controller.metrics.METRICS_INTERVAL_S", 0.0)


async def test_the_last_readings_are_the_runs_rows(tmp_path, often):
    strategy = partial(beam_search, limits=LIMITS, num_samples=4, beam_width=2, max_steps=10)
    rates = {"generator": ReplicaRate(1, 3.6), "prm": ReplicaRate(2, 7.2)}
    run = LocalRun(
        tmp_path / "run",
        problems(30),
        strategy,
        total_tokens=100_000,
        total_usd=1e6,
        num_generators=2,
        rates=rates,
        flush_s=0.01,
    )
    await run.run()
    last = run.metrics.exports[-1]
    rows = read_run(tmp_path / "run").problems().to_pylist()
    name = TOKENS.name
    for kind in ("generated", "prompt", "cached", "pruned", "prm", "prm_cached"):
        assert last[name, kind] == sum(row[f"{kind}_tokens"] for row in rows), kind
        assert last[name, kind] > 0
    assert last["parsimony_samples_total",] == sum(row["num_samples"] for row in rows)
    assert last["parsimony_done_problems", "succeeded"] == last["parsimony_input_problems",] == 30
    assert last["parsimony_open_problems",] == last["parsimony_reserved_tokens",] == 0
    assert last["parsimony_spent_tokens",] == last[name, "generated"]
    assert last["parsimony_cap_tokens",] == 100_000
    assert last["parsimony_graded_problems",] == 30
    assert last["parsimony_correct_problems",] == sum(row["correct"] for row in rows)
    held_s = {replica: last["parsimony_replica_held_seconds_total", role, replica] for role, replica in REPLICAS}
    assert len(set(held_s.values())) == 1
    for role, replica in REPLICAS:
        busy_s = last["parsimony_replica_busy_seconds_total", role, replica]
        assert 0 < busy_s <= held_s[replica]
        assert last["parsimony_replica_call_seconds_total", role, replica] >= busy_s
    for column, rate in (("gpu_seconds", (1, 2)), ("usd", (0.001, 0.002))):
        spent = [last[f"parsimony_{column}_total", role] for role in ("generator", "prm")]
        assert spent == pytest.approx([2 * rate[0] * held_s["generator-0"], rate[1] * held_s["prm-0"]])
        # Rows end with the last flush, readings with the run.
        assert 0.1 * sum(spent) < sum(row[column] for row in rows) <= sum(spent)
        assert last[f"parsimony_spent_{column}",] == pytest.approx(sum(spent))
    assert last["parsimony_cap_usd",] == 1e6
    assert {labels[0] for labels in last} == {metric.name for metric in METRICS} - {CAP_GPU_SECONDS.name}


async def test_readings_are_true_on_the_way_and_counters_only_grow(tmp_path, often):
    run = LocalRun(tmp_path / "run", problems(30))
    await run.run()
    exports = run.metrics.exports
    assert len(exports) > 10
    assert all(("parsimony_cap_tokens",) not in export for export in exports)  # no cap is not a cap of 0
    for before, after in pairwise(exports):
        assert all(after[key] >= value for key, value in before.items() if key[0] in COUNTERS)
    assert max(export["parsimony_open_problems",] for export in exports) > 0
    assert max(export.get(("parsimony_calls_in_flight", "generator", "generator-0"), 0) for export in exports) > 0
    assert all(export["parsimony_done_problems", "succeeded"] <= 30 for export in exports)


async def test_a_death_is_counted_and_the_replica_comes_back(tmp_path, often):
    made = iter([fake_generator(faults=Faults(die_at=20))])
    run = LocalRun(tmp_path / "run", problems(20), make_generator=lambda: next(made, None) or fake_generator())
    await run.run()
    deaths = [export["parsimony_replica_deaths_total", "generator", "generator-0"] for export in run.metrics.exports]
    up = [export["parsimony_replica_up", "generator", "generator-0"] for export in run.metrics.exports]
    assert sorted(set(deaths)) == [0, 1]
    assert up[deaths.index(1)] == 0
    assert up[-1] == 1
    assert run.metrics.exports[-1]["parsimony_replica_deaths_total", "prm", "prm-0"] == 0


async def test_the_commit_lag_grows_while_nothing_becomes_visible(tmp_path, monkeypatch):
    monkeypatch.setattr("actors.controller.metrics.METRICS_INTERVAL_S", 0.01)
    run = LocalRun(tmp_path / "run", problems(20), flush_s=0.5)
    async with asyncio.timeout(60):
        await run.run()
    lags = [export["parsimony_commit_lag_seconds",] for export in run.metrics.exports]
    assert max(lags) > 0.4
    assert min(lags) < 0.2
    assert lags[-1] < 1.5


async def test_a_failed_run_has_its_last_readings_too(tmp_path, monkeypatch):
    run = LocalRun(tmp_path / "run", problems(3))

    async def fail(*_args: object, **_more: object) -> None:
        raise RuntimeError("a bug, as told")

    monkeypatch.setattr("actors.controller.controller.heartbeats", fail)
    with pytest.raises(ExceptionGroup):
        await run.run()
    assert run.metrics.exports
