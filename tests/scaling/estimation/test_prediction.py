"""Predictions from a pilot: exact where they can be, honest intervals where they cannot; pilots of all difficulties."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from scaling.estimation.prediction import (
    CONFIDENCE,
    NUM_RESAMPLES,
    Population,
    predict_right,
    predict_total,
    ranged,
    stratified,
)
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow


def made(num_problems: int, seed: int, *, noise: float) -> tuple[Population, np.ndarray]:
    """Problems whose costs follow the model, with an own error each: [N, 2], the second cost half of the first."""
    rng = np.random.default_rng(seed)
    features = np.stack([rng.random(num_problems), rng.normal(50, 20, num_problems)], axis=1)
    planned = rng.integers(1, 65, num_problems).astype(float)
    rate = 80 + 30 * features[:, 0] + 0.5 * features[:, 1]
    first = planned * np.maximum(1.0, rate + noise * rng.standard_normal(num_problems) * rate)
    return Population(features, planned), np.stack([first, first / 2], axis=1)


def test_a_pilot_of_all_problems_is_certain():
    everything, costs = made(40, 0, noise=0.3)
    found = predict_total(everything, np.arange(40), costs, seed=1)
    assert found.totals == pytest.approx(costs.sum(axis=0))
    assert found.draws == pytest.approx(np.broadcast_to(costs.sum(axis=0), (NUM_RESAMPLES, 2)))


def test_costs_without_errors_are_predicted_almost_exactly():
    everything, costs = made(2000, 1, noise=0.0)
    index = np.arange(0, 2000, 40)
    found = predict_total(everything, index, costs[index], seed=1)
    assert found.totals == pytest.approx(costs.sum(axis=0), rel=2e-3)
    span = ranged(found.totals[0], found.draws[:, 0])
    assert (span.upper - span.lower) / found.totals[0] < 0.01


@pytest.mark.ci
def test_the_intervals_hold_as_often_as_they_say():
    """What would come by chance once in a thousand is too few or too many: of 200, fewer than 165 or more than 192.

    Of the fewer runs before a commit, fewer than 29 of 40; that intervals are too wide only the long run can show.
    """
    inside, errors = 0, []
    num_runs = some_of(200)
    for seed in range(num_runs):
        everything, costs = made(500, seed, noise=0.25)
        index = np.asarray(stratified(list(everything.features[:, 0]), 50, run_seed=seed))
        found = predict_total(everything, index, costs[index], seed=seed)
        span = ranged(found.totals[0], found.draws[:, 0])
        actual = costs[:, 0].sum()
        inside += span.lower <= actual <= span.upper
        errors.append(abs(span.estimate - actual) / actual)
        assert found.draws[:, 1] == pytest.approx(found.draws[:, 0] / 2)  # errors of one problem go together
    fewest, most = binom.ppf([0.0005, 0.9995], num_runs, 0.9)
    assert fewest <= inside <= most
    assert CONFIDENCE == 0.9
    assert np.median(errors) < 0.05


@pytest.mark.parametrize("chance", [0.02, 0.5, 0.9, 0.98, 1.0])
@pytest.mark.parametrize("num_pilot", [5, 50])
def test_a_share_of_few_is_not_taken_for_certain(chance, num_pilot):
    """Of 400 sets of 500 problems; 90% meant, Jeffreys' interval is a little off at the ends."""
    rng, inside, num_sets = np.random.default_rng(11), 0, some_of(400, part=0.5)
    for seed in range(num_sets):
        right = rng.random(500) < chance
        estimate, draws = predict_right(int(right[:num_pilot].sum()), num_pilot, 500, seed=seed)
        span = ranged(estimate, draws)
        assert 0 <= span.lower <= span.estimate <= span.upper <= 1
        inside += span.lower <= right.mean() <= span.upper
    assert inside >= 0.84 * num_sets


def test_what_the_strategy_plans_is_worth_more_than_any_feature():
    everything, costs = made(500, 7, noise=0.1)
    index = np.arange(0, 500, 10)
    blind = Population(everything.features, np.ones(500))

    def width(known: Population) -> float:
        found = predict_total(known, index, costs[index], seed=3)
        span = ranged(found.totals[0], found.draws[:, 0])
        return span.upper - span.lower

    assert width(everything) < width(blind) / 3


@settings(max_examples=some_of(60), deadline=None)
@given(
    st.integers(1, 30),
    st.integers(0, 40),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_no_pilot_is_too_odd(num_pilot, num_others, num_features, constant, seed):
    """Tiny, constant features, costs of nothing: numbers come out, never below what was seen."""
    rng = np.random.default_rng(seed)
    total = num_pilot + num_others
    features = np.zeros((total, num_features)) if constant else rng.random((total, num_features))
    everything = Population(features, rng.integers(1, 9, total).astype(float))
    costs = np.stack([rng.random(num_pilot) * 100, np.zeros(num_pilot)], axis=1)
    found = predict_total(everything, np.arange(num_pilot), costs, seed=seed)
    assert np.isfinite(found.draws).all()
    assert (found.draws >= costs.sum(axis=0) - 1e-9).all()
    assert not found.draws[:, 1].any()
    assert found.totals[1] == 0


def test_an_empty_pilot_says_nothing():
    with pytest.raises(ValueError, match="without problems"):
        predict_total(Population(np.zeros((3, 1)), np.ones(3)), np.asarray([], dtype=int), np.zeros((0, 1)), seed=0)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 9))
def test_a_pilot_takes_one_of_each_group(difficulty, num_wanted, seed):
    chosen = stratified(difficulty, num_wanted, run_seed=seed)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(num_wanted, len(difficulty))
    order = sorted(range(len(difficulty)), key=lambda position: difficulty[position])
    rank = {problem: place for place, problem in enumerate(order)}
    # Group g holds the places from g N / k on, rounded down.
    bounds = [len(order) * group // len(chosen) for group in range(len(chosen) + 1)]
    for group, (first, end) in enumerate(pairwise(bounds)):
        assert sum(first <= rank[problem] < end for problem in chosen) == 1, group


def test_every_problem_may_be_chosen():
    times = Counter(problem for seed in range(400) for problem in stratified([0.0] * 12, 4, run_seed=seed))
    assert len(times) == 12
    assert min(times.values()) > 90  # 133 expected; so few come by chance once in 10^4
