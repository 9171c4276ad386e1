import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from records.failure import StoreFailed
from records.jsonio import decode, encode
from records.rows import RolloutRow
from scaling.calibration.evaluation import EvaluationTable, evaluate
from scaling.calibration.metric_groups import Groups
from scaling.calibration.observed import Observed, Predictions
from scaling.calibration.reliability import reliability
from scaling.statistics.bootstrap import IntervalEstimate, interval
from tests.support.tiers import some_of

LEVELS = (0.1, 0.5, 0.9)


def simulated(num_problems=40, rows_each=12, seed=1):
    """A set of open and finished prefixes, an over-confident point estimate of it and a good one with quantiles."""
    rng = np.random.default_rng(seed)
    number = np.arange(num_problems * rows_each)
    place = number % rows_each
    terminal = place >= rows_each - 3
    truth = expit(rng.normal(-0.3, 1.5, num_problems).repeat(rows_each) + rng.normal(0, 1, len(number)))
    trials = np.where(terminal, 1, 8)
    observed = Observed(
        problem_ids=[f"p{index}" for index in number // rows_each],
        successes=rng.binomial(trials, truth),
        trials=trials,
        terminal=terminal,
        depth=np.minimum(place, 5),
    )
    noisy = logit(truth) + rng.normal(0, 0.5, len(truth))
    quantiles = {level: expit(noisy + shift) for level, shift in zip(LEVELS, (-1.2, 0.0, 1.2), strict=True)}
    return observed, {
        "uncalibrated": Predictions(mean=expit(1.8 * noisy + 1.2)),
        "calibrated": Predictions(mean=expit(noisy), quantiles=quantiles),
    }


# ---------------------------------------------------------------------------------------------------- the table


def test_a_set_of_three_rows_by_hand():
    observed = Observed(
        problem_ids=["a", "a", "b"],
        successes=np.array([2, 1, 4]),
        trials=np.array([4, 1, 4]),
        terminal=np.array([False, True, False]),
        depth=np.array([0, 3, 0]),
    )
    table = evaluate(observed, {"one": Predictions(mean=np.array([0.75, 0.5, 1.0]))}, num_resamples=200, seed=1)
    assert (table.num_problems, table.num_rows, table.num_terminal_rows, table.num_trials) == (2, 2, 1, 8)
    found = table.methods["one"]
    assert found["brier"].value == found["root_brier"].value == 1 / 32
    assert (found["brier"].lower, found["brier"].upper) == (0, 1 / 16)
    assert found["terminal_brier"] == IntervalEstimate(0.25, None, None)  # of one problem: no interval
    assert found["terminal_auc_within"] == IntervalEstimate(None, None, None)  # no failure among finished ones
    assert found["signed_error"].value == 1 / 8
    assert table.reference["success_rate"].value == 0.75
    assert table.reference["noise_floor"].value == pytest.approx(0.25 / 3 / 2)
    assert table.levels == LEVELS
    assert found["brier_median"].value == found["brier"].value  # a point stands for its median


def test_a_point_estimate_stands_for_every_quantile():
    observed, methods = simulated()
    table = evaluate(observed, methods, num_resamples=10, seed=1)
    assert table.methods["uncalibrated"]["below@0.1"] == table.methods["uncalibrated"]["below@0.9"]
    assert table.methods["calibrated"]["below@0.1"] != table.methods["calibrated"]["below@0.9"]


def test_terminal_rows_move_terminal_metrics_only():
    observed, methods = simulated()
    changed = {
        name: Predictions(mean=np.where(observed.terminal, 0.5, said.mean), quantiles=said.quantiles)
        for name, said in methods.items()
    }
    before = evaluate(observed, methods, num_resamples=50, seed=1)
    after = evaluate(observed, changed, num_resamples=50, seed=1)
    differing = {
        key
        for name, estimates in before.methods.items()
        for key, estimate in estimates.items()
        if estimate != after.methods[name][key]
    }
    assert {"terminal_brier", "terminal_auc_within"} <= differing
    assert all(key.startswith("terminal_") for key in differing)
    assert before.reference == after.reference


def test_differences_are_paired():
    observed, methods = simulated()
    table = evaluate(observed, methods, num_resamples=400, seed=1)
    found = table.comparison("calibrated", "uncalibrated", "brier")
    one, other = (table.methods[name]["brier"] for name in ("calibrated", "uncalibrated"))
    assert found.difference.value == pytest.approx(one.value - other.value)
    assert found.ratio.value == pytest.approx(one.value / other.value)
    assert found.difference.upper < 0
    assert found.ratio.upper < 1
    # Both depend on which problems were drawn, so their difference varies less than if they were independent.
    independent = np.hypot(one.upper - one.lower, other.upper - other.lower)
    assert found.difference.upper - found.difference.lower < independent
    with pytest.raises(KeyError):
        table.comparison("uncalibrated", "calibrated", "brier")
    assert table.comparison("calibrated", "uncalibrated", "auc").ratio is None
    assert not [item for item in table.comparisons if item.metric.startswith(("below", "at_or_below"))]


def test_a_method_does_not_differ_from_itself():
    observed, methods = simulated()
    same = {"one": methods["calibrated"], "other": methods["calibrated"]}
    for item in evaluate(observed, same, num_resamples=50, seed=1).comparisons:
        assert item.difference == IntervalEstimate(0.0, 0.0, 0.0)
        assert item.ratio in (None, IntervalEstimate(1.0, 1.0, 1.0))


def test_intervals_are_those_of_rows_drawn_by_problem():
    """The slow way: draw problems, copy their rows, measure the copies."""
    observed, methods = simulated(num_problems=12)
    table = evaluate(observed, methods, num_resamples=300, seed=4)
    drawn = np.random.default_rng(4).multinomial(12, np.full(12, 1 / 12), size=300)
    problems = sorted(set(observed.problem_ids))
    of_problem = [[row for row, owner in enumerate(observed.problem_ids) if owner == problem] for problem in problems]

    def brier(chosen):
        kept = np.array([row for row in chosen if not observed.terminal[row]])
        return np.mean((methods["calibrated"].mean[kept] - observed.share[kept]) ** 2)

    def of(multiplicity):
        pairs = zip(multiplicity, of_problem, strict=True)
        return brier([row for count, rows in pairs for _ in range(count) for row in rows])

    values = [of(multiplicity) for multiplicity in drawn]
    left_out = np.array([of([int(other != problem) for other in range(12)]) for problem in range(12)])
    lower, upper = interval(np.array(values), 12, value=brier(np.arange(len(observed.share))), left_out=left_out)
    assert table.methods["calibrated"]["brier"].lower == pytest.approx(lower)
    assert table.methods["calibrated"]["brier"].upper == pytest.approx(upper)


@given(st.randoms())
@settings(max_examples=some_of(10))
def test_the_order_of_rows_decides_nothing(random):
    observed, methods = simulated(num_problems=6)
    order = np.array(random.sample(range(len(observed)), len(observed)))
    shuffled = Observed(
        problem_ids=[observed.problem_ids[row] for row in order],
        successes=observed.successes[order],
        trials=observed.trials[order],
        terminal=observed.terminal[order],
        depth=observed.depth[order],
    )
    moved = {
        name: Predictions(
            mean=said.mean[order],
            quantiles=None if said.quantiles is None else {key: item[order] for key, item in said.quantiles.items()},
        )
        for name, said in methods.items()
    }
    one, other = (evaluate(*pair, num_resamples=20, seed=1) for pair in ((observed, methods), (shuffled, moved)))
    for name, estimates in one.methods.items():
        for key, estimate in estimates.items():
            assert_close(estimate, other.methods[name][key])


def assert_close(one, other):
    for name in ("value", "lower", "upper"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)


def test_the_truth_is_best_by_every_loss():
    observed, methods = simulated(num_problems=200)
    table = evaluate(observed, methods, num_resamples=10, seed=1)
    for key in ("brier", "brier_above_floor", "brier_of_outcomes", "brier_over", "ece_equal_width", "ece_equal_mass"):
        assert table.methods["calibrated"][key].value < table.methods["uncalibrated"][key].value
    assert table.methods["calibrated"]["pinball_mean"].value < table.reference["constant_pinball_mean"].value


# ---------------------------------------------------------------------------------------------------- degenerate


def constant_set(successes, trials, terminal=False, problems=("a", "b", "c")):
    size = len(problems)
    return Observed(
        problem_ids=list(problems),
        successes=np.full(size, successes),
        trials=np.full(size, trials),
        terminal=np.full(size, terminal),
        depth=np.zeros(size, dtype=np.int64),
    )


def test_a_set_without_any_success():
    table = evaluate(constant_set(0, 8), {"one": Predictions(mean=np.full(3, 0.25))}, num_resamples=20, seed=1)
    found = table.methods["one"]
    assert found["brier"] == IntervalEstimate(1 / 16, 1 / 16, 1 / 16)
    assert table.reference["noise_floor"] == IntervalEstimate(0.0, 0.0, 0.0)
    assert found["auc"] == found["auc_within"] == IntervalEstimate(None, None, None)
    assert found["terminal_brier"] == IntervalEstimate(None, None, None)
    assert found["at_or_below@0.1"].value == 1.0


def test_one_problem_has_no_intervals():
    one = constant_set(2, 8, problems=("a", "a"))
    table = evaluate(one, {"one": Predictions(mean=np.array([0.1, 0.4]))}, num_resamples=20, seed=1)
    assert all(item.lower is None and item.upper is None for item in table.methods["one"].values())
    assert table.methods["one"]["brier"].value is not None


def test_no_resamples_no_intervals():
    observed, methods = simulated()
    table = evaluate(observed, methods, num_resamples=0, seed=1)
    assert table.methods["calibrated"]["brier"].lower is None
    assert table.comparison("calibrated", "uncalibrated", "brier").ratio.value < 1


def test_single_trials_and_finished_solutions_only():
    single = evaluate(constant_set(1, 1), {"one": Predictions(mean=np.ones(3))}, num_resamples=9, seed=1)
    assert single.methods["one"]["brier"].value == single.methods["one"]["brier_of_outcomes"].value == 0
    assert single.reference["noise_floor"].value is None
    assert single.methods["one"]["brier_above_floor"].value is None
    finished = evaluate(
        constant_set(1, 1, terminal=True), {"one": Predictions(mean=np.ones(3))}, num_resamples=9, seed=1
    )
    assert finished.num_rows == 0
    assert finished.methods["one"]["brier"].value is None
    assert finished.methods["one"]["root_brier"].value is None
    assert finished.methods["one"]["terminal_brier"].value == 0


def test_a_loss_that_may_be_zero_has_no_ratio():
    methods = {"right": Predictions(mean=np.full(3, 0.25)), "wrong": Predictions(mean=np.full(3, 0.5))}
    table = evaluate(constant_set(2, 8), methods, num_resamples=9, seed=1)
    assert table.comparison("wrong", "right", "brier").ratio is None
    assert table.comparison("wrong", "right", "brier").difference.value == 1 / 16


def test_what_does_not_fit_is_refused():
    observed, methods = simulated()
    with pytest.raises(ValueError, match="must have rows"):
        evaluate(constant_set(0, 1, problems=()), {}, num_resamples=9, seed=1)
    with pytest.raises(ValueError, match="predicts 1 rows"):
        evaluate(observed, {"one": Predictions(mean=np.zeros(1))}, num_resamples=9, seed=1)
    other = {0.25: methods["calibrated"].mean}
    with pytest.raises(ValueError, match="same levels"):
        evaluate(
            observed,
            {**methods, "other": Predictions(mean=methods["calibrated"].mean, quantiles=other)},
            num_resamples=9,
            seed=1,
        )
    with pytest.raises(ValueError, match=r"no quantile at 0\.3"):
        methods["calibrated"].quantile(0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"successes": np.array([9, 0])}, "within"),
        ({"successes": np.array([-1, 0])}, "within"),
        ({"trials": np.array([0, 8])}, "at least 1"),
        ({"trials": np.array([8, 8, 8])}, "one entry for each of 2"),
        ({"successes": np.array([0.5, 1])}, "whole numbers"),
    ],
)
def test_impossible_counts_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(constant_set(1, 8, problems=("a", "b")), **changes)


@pytest.mark.parametrize("mean", [[0.5, 1.1], [0.5, -0.1], [0.5, float("nan")], [[0.5]]])
def test_what_is_no_probability_is_refused(mean):
    with pytest.raises(ValueError, match=r"within \[0, 1\]|one number"):
        Predictions(mean=np.array(mean))
    with pytest.raises(ValueError, match=r"within \[0, 1\]|one number"):
        Predictions(mean=np.array([0.5, 0.5]), quantiles={0.1: np.array(mean)})


# ---------------------------------------------------------------------------------------------------- elsewhere


def test_a_table_survives_json():
    observed, methods = simulated()
    table = evaluate(observed, methods, num_resamples=9, seed=1)
    assert decode(EvaluationTable, encode(table), "evaluation.json") == table
    with pytest.raises(StoreFailed, match=r"evaluation.json .* num_rows is missing"):
        decode(EvaluationTable, encode(table).replace(b'"num_rows"', b'"rows"'), "evaluation.json")


def test_rows_of_a_run():
    row = RolloutRow(
        problem_id="a",
        node_id=3,
        question="1+1",
        steps=("2",),
        token_ids=(1,),
        depth=1,
        terminal=False,
        num_trajectories=2,
        successes=3,
        trials=8,
        cut_trials=0,
        generator=None,
        temperature=0.7,
        generated_tokens=9,
        prompt_tokens=9,
        cached_tokens=0,
    )
    observed = Observed.of([row, replace(row, terminal=True, trials=1, successes=1, depth=2)])
    assert observed.share.tolist() == [0.375, 1.0]
    assert observed.where(observed.terminal).depth.tolist() == [2]
    assert Groups.of(observed).open.trials.tolist() == [8]


def test_five_hundred_problems_take_seconds():
    observed, methods = simulated(num_problems=500, rows_each=24)
    began = time.perf_counter()
    evaluate(observed, methods, num_resamples=1000, seed=1)
    assert time.perf_counter() - began < 10  # 0.3 s on a free machine


# ---------------------------------------------------------------------------------------------------- reliability


def test_bins_of_a_reliability_curve():
    observed = Observed(
        problem_ids=["a", "b", "b", "c"],
        successes=np.array([0, 8, 4, 0]),
        trials=np.array([8, 8, 8, 1]),
        terminal=np.array([False, False, False, True]),
        depth=np.array([0, 0, 1, 1]),
    )
    low, high = reliability(observed, np.array([0.4, 0.2, 1.0, 0.9]), num_bins=2, num_resamples=500, seed=1)
    assert (low.lower, low.upper, low.num_rows, low.num_problems) == (0.0, 0.5, 2, 2)
    assert (low.mean_predicted, low.mean_observed) == (pytest.approx(0.3), 0.5)
    assert (low.observed_lower, low.observed_upper) == (0.0, 1.0)
    assert (high.num_rows, high.mean_predicted, high.mean_observed, high.observed_lower) == (1, 1.0, 0.5, None)
    empty = reliability(observed, np.zeros(4), num_bins=2)[1]
    assert (empty.num_rows, empty.mean_predicted, empty.mean_observed, empty.observed_upper) == (0, None, None, None)


@given(st.integers(1, 12))
@settings(max_examples=some_of(10))
def test_a_reliability_curve_holds_every_open_prefix_once(num_bins):
    observed, methods = simulated(num_problems=8)
    bins = reliability(observed, methods["calibrated"].mean, num_bins=num_bins, num_resamples=10)
    assert sum(item.num_rows for item in bins) == int((~observed.terminal).sum())
    total = sum(item.num_rows * item.mean_observed for item in bins if item.num_rows)
    assert total == pytest.approx(observed.share[~observed.terminal].sum())
    for item in bins:
        assert item.mean_predicted is None or item.lower <= item.mean_predicted <= item.upper
