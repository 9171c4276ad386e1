"""The parts of `parsimony estimate` that need no engine: plans, planned samples, advice, the table, what is refused."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from jobs.cli import parse
from jobs.command_line.estimate import EstimateOptions
from jobs.estimate import MIN_PILOT, estimate
from jobs.estimation.console import print_estimate
from jobs.estimation.measure import THINKING, TOKENS, Measured
from jobs.estimation.measure import prediction as prediction_of
from jobs.estimation.pilot import choose, plan_pilots, planned_samples, population
from jobs.estimation.result import RunEstimate, StrategyEstimate, advise
from jobs.recipes.load import load_recipe
from jobs.recipes.strategy_factory import strategy_factory
from records.failure import InvalidInput
from records.path import PrmScore
from records.problem import Problem
from records.run_folder.prediction import Prediction, Range
from records.usage import Role
from scaling.budget.metering import ReplicaRate
from scaling.estimation.cost_model import Power, Speed
from scaling.estimation.prediction import PredictedTotal
from scaling.uncertainty.samples_needed import samples_needed

EXAMPLE = Path(__file__).parents[3] / "examples/arithmetic"
RECIPE = EXAMPLE / "best-of-16.toml"
PROBLEM = Problem("p", "What is 2 + 3?", "5")


def options(tmp_path, **more) -> EstimateOptions:
    given: dict[str, Any] = {
        "problems": str(EXAMPLE / "test.jsonl"),
        "recipe": RECIPE,
        "output": str(tmp_path / "e"),
        "limit": 20,
    }
    return EstimateOptions(**(given | more))


def prediction(usd: float | None, flops: float, accuracy: float | None, tokens: float = 1000.0) -> Prediction:
    def span(value: float | None) -> Any:
        return None if value is None else Range(value, 0.9 * value, 1.1 * value)

    return Prediction(
        created_at="2026-01-01T00:00:00.000+00:00", confidence=0.9, pilot_problems=5, num_problems=100,
        num_generators=2, num_prms=1, tokens={"generated": span(tokens), "prm": Range(0.0, 0.0, 0.0)},
        flops=span(flops), wall_seconds=span(100.0), generator_seconds=span(200.0), prm_seconds=span(100.0),
        gpu_seconds=span(300.0), usd=span(usd), kwh=span(0.5), accuracy=span(accuracy),
    )  # fmt: skip


def test_the_arguments():
    words = [
        "estimate",
        "p.jsonl",
        "--recipe",
        "r.toml",
        "--output",
        "o",
        "--strategies",
        "best-of-n,majority:num_samples=4",
    ]
    name, found = parse([*words, "--replicas", "8+2", "--accuracy", ".8", "--max-usd", "12.5", "--pilot", "7"])
    assert name == "estimate"
    assert found.strategies == ("best-of-n", "majority:num_samples=4")
    assert (found.replicas, found.accuracy, found.max_usd, found.pilot) == (((8, 2),), 0.8, 12.5, 7)


@pytest.mark.parametrize(
    "wrong", [["--replicas", "0+1"], ["--replicas", "8"], ["--accuracy", "80"], ["--max-usd", "0"]]
)
def test_arguments_that_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as left:
        parse(["estimate", "p.jsonl", "--recipe", "r.toml", "--output", "o", *wrong])
    assert left.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_plans_are_those_of_the_real_runs(tmp_path):
    """But for caps: a resume may change them. Question scores need no generator and no answer keys."""
    questions, pilots = plan_pilots(
        options(tmp_path, strategies=("best-of-n", "majority"), overrides=("budget.total_tokens=9",))
    )
    assert questions is not None
    assert questions.manifest.models.keys() == {"prm"}
    assert questions.problems.num_references == 0
    for pilot, name in zip(pilots, ("best-of-n", "majority"), strict=True):
        assert pilot.plan.recipe.budget.total_tokens is None
        assert pilot.plan.recipe.strategy.name == name
        real = load_recipe(RECIPE, [f"strategy.name={name}"])
        assert pilot.plan.manifest.recipe["strategy"] == real.strategy.model_dump(mode="json")
        assert f"/runs/best-of-16-{name}-" in pilot.plan.store.uri


def test_a_recipe_without_a_prm_goes_by_length(tmp_path):
    questions, [pilot] = plan_pilots(options(tmp_path, recipe=EXAMPLE / "majority.toml", overrides=("prm=",)))
    assert questions is None
    problems = [Problem(str(number), "x" * number) for number in range(1, 21)]
    positions = choose(problems, [None] * 20, 5, 3)
    assert [position // 4 for position in positions] == [0, 1, 2, 3, 4]
    known = population(pilot.setting.recipe, problems, [None] * 20)
    assert known.features[:, 0].tolist() == list(range(1, 21))
    assert known.planned.tolist() == [16.0] * 20


@pytest.mark.parametrize("lower", [0.05, 0.3, 0.9])
def test_planned_samples_are_what_the_strategy_asks_for(lower):
    score = PrmScore(lower, lower, lower)
    own = {
        name: load_recipe(RECIPE, [f"strategy.name={name}", "strategy.num_samples=64"])
        for name in ("best-of-n", "adaptive-best-of-n", "beam-search")
    }
    planned = {name: planned_samples(strategy_factory(recipe), PROBLEM, score) for name, recipe in own.items()}
    assert planned == {"best-of-n": 64, "adaptive-best-of-n": min(64, samples_needed(lower, 0.99)), "beam-search": 64}
    assert planned_samples(strategy_factory(own["best-of-n"]), PROBLEM, None) == 1.0


def test_what_is_refused_before_anything_is_started(tmp_path):
    with pytest.raises(InvalidInput, match=f"{MIN_PILOT} at least"):
        estimate(options(tmp_path, pilot=2))
    with pytest.raises(InvalidInput, match="shares a cap out"):
        estimate(options(tmp_path, strategies=("marginal",)))
    with pytest.raises(InvalidInput, match="needs a PRM"):
        estimate(options(tmp_path, replicas=((2, 0),)))
    with pytest.raises(InvalidInput, match="no price is known"):
        estimate(options(tmp_path, max_usd=5.0))
    assert not (tmp_path / "e" / "runs").exists() or not list((tmp_path / "e" / "runs").rglob("*.parquet"))


def test_the_cheapest_that_is_good_enough():
    found = {"a": prediction(5.0, 1e12, 0.9), "b": prediction(3.0, 2e12, 0.8), "c": prediction(1.0, 3e12, 0.5)}
    startup, graded = dict.fromkeys(found, 0.0), dict.fromkeys(found, 1.0)
    assert advise(found, startup, graded, accuracy=0.75, max_usd=None).cheapest == "b"
    assert advise(found, startup, graded, accuracy=0.95, max_usd=None).cheapest is None
    unpriced = {name: prediction(None, one.flops.estimate, 0.8) for name, one in found.items()}
    by_flops = advise(unpriced, startup, graded, accuracy=0.75, max_usd=None)
    assert (by_flops.cheapest, by_flops.by) == ("a", "flops")
    assert advise(unpriced, startup, graded, accuracy=None, max_usd=1.0).affordable == ()


def test_what_can_be_had_for_the_money():
    found = {"dear": prediction(10.0, 1e12, 0.9), "cheap": prediction(1.0, 1e12, 0.5)}
    advice = advise(found, {"dear": 10.0, "cheap": 10.0}, {"dear": 1.0, "cheap": 0.8}, accuracy=None, max_usd=5.5)
    dear, cheap = advice.affordable
    assert (cheap.strategy, cheap.num_problems, cheap.share) == ("cheap", 100, 1.0)
    assert cheap.right == pytest.approx(40.0)  # of those that can be graded
    assert cheap.total_tokens == 1100
    # A tenth of 10 USD is start-up: 4.5 of the other 10 (up to 11) are left.
    assert dear.share == pytest.approx(0.45)
    assert (dear.num_problems, dear.total_tokens, dear.right) == (45, 495, pytest.approx(40.5))


def test_the_table_reads_well():
    several = (prediction(2.0, 1e12, 0.7), prediction(4.0, 1e12, 0.7))
    item = StrategyEstimate(
        strategy="best-of-n", run="runs/x", goes_on="parsimony score p.jsonl", pilot_graded=50, pilot_right=35,
        pilot_failed=2, first_error="too long", without=("budget.total_tokens = 500",),
        generators_per_prm=0.5, replicas=several,
    )  # fmt: skip
    advice = advise({"best-of-n": several[0]}, {"best-of-n": 1.0}, {"best-of-n": 1.0}, accuracy=0.6, max_usd=1.0)
    made = RunEstimate(problems="p.jsonl", num_problems=100, pilot_problems=50, strategies=(item,), advice=advice)
    stream = io.StringIO()
    print_estimate(made, Console(file=stream, width=80))
    text = stream.getvalue()
    for part in (
        "70.0% [63.0%, 77.0%]; 35 of 50",
        "1k [900, 1.1k]",
        "2 + 1",
        "1m40s",
        "2 [1.8, 2.2]",
        "2.0 PRMs for each",
        "2 problems of the pilot failed, the first because: too long",
        "a run without budget.total_tokens = 500",
        "best-of-n (in dollars)",
        "budget.total_usd=1",
    ):
        assert part in text
    assert "prm tokens" not in text  # nobody spent any


def test_money_that_does_not_pay_the_start_up():
    found = {"a": prediction(10.0, 1e12, 0.9)}
    [none] = advise(found, {"a": 50.0}, {"a": 1.0}, accuracy=None, max_usd=4.0).affordable
    assert (none.num_problems, none.total_tokens, none.startup_usd) == (0, None, pytest.approx(5.0))


def made(roles: tuple[Role, ...], busy: tuple[Role, ...]) -> Measured:
    """A strategy after its pilot, which took what 10 draws say; `busy` roles computed something."""
    totals = np.asarray([900.0, 100.0, 0.0, 0.0, 400.0, 0.0, 1e9])
    return Measured(
        predicted=PredictedTotal(totals, np.tile(totals, (10, 1))),
        right=None,
        num_graded=0,
        num_right=0,
        num_failed=0,
        error=None,
        speed=Speed(dict.fromkeys(busy, 10.0), startup_s=20.0, overlap=1.0),
        rates=dict.fromkeys(roles, ReplicaRate(1, 36.0)),
        power=dict.fromkeys(roles, Power(100.0, 10.0)),
    )


def test_thinking_tokens_are_predicted_where_the_pilot_tells_them():
    totals = np.asarray([900.0, 100.0, 0.0, 0.0, 400.0, 0.0, 1e9, 700.0])
    told = replace(
        made(("generator",), ("generator",)),
        predicted=PredictedTotal(totals, np.tile(totals, (10, 1))),
        kinds=(*TOKENS, THINKING),
    )
    counts: dict[Role, int] = {"generator": 1, "prm": 0}
    assert prediction_of(told, counts, 50, 100).tokens[THINKING].estimate == 700.0
    assert THINKING not in prediction_of(made(("generator",), ("generator",)), counts, 50, 100).tokens


def test_a_role_that_is_held_is_paid_for_whether_it_is_asked_or_not():
    """Two start-ups and 1000 tokens at 10 a second: 140 s."""
    counts: dict[Role, int] = {"generator": 1, "prm": 2}
    idle = prediction_of(made(("generator", "prm"), ("generator",)), counts, 50, 100)
    assert idle.wall_seconds.estimate == pytest.approx(140.0)
    assert (idle.generator_seconds.estimate, idle.prm_seconds.estimate) == pytest.approx((140.0, 280.0))
    assert idle.gpu_seconds is not None
    assert idle.usd is not None
    assert idle.kwh is not None
    assert idle.gpu_seconds.estimate == pytest.approx(420.0)
    assert idle.usd.estimate == pytest.approx(4.2)
    assert idle.kwh.estimate == pytest.approx((100 * 100 + 40 * 10 + 280 * 10) / 3.6e6)
    alone = prediction_of(made(("generator",), ("generator",)), counts, 100, 100)
    assert (alone.num_prms, alone.prm_seconds.estimate) == (0, 0.0)
    assert alone.wall_seconds.estimate == pytest.approx(120.0)  # the pilot was all of it


def test_two_caps_are_two_runs(tmp_path):
    entries = tuple(f"marginal:budget.total_tokens={cap}" for cap in (1000, 2000))
    _, pilots = plan_pilots(options(tmp_path, strategies=entries))
    assert len({pilot.plan.store.uri for pilot in pilots}) == 2
