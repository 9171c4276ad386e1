"""Allocation: the closed form against integration, the greedy rule against every other allocation."""

import heapq
import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta

from records.path import Path, PrmScore
from scaling.uncertainty.allocation import POINT_STRENGTH, Belief, belief_of
from tests.support.tiers import some_of


def allocate(
    beliefs: Sequence[Belief],
    total_cost: float,
    *,
    max_samples: int,
    costs: Sequence[float] | None = None,
) -> list[int]:
    """How many samples each problem gets, without looking at any: greedily where the next one adds most per cost.

    With equal costs no other allocation of that total has a higher expected coverage. With unequal ones none is better
    by the gain of one sample.

    Args:
        beliefs: of each problem.
        total_cost: what all samples together may cost; never exceeded.
        max_samples: of one problem.
        costs: of one sample of each problem, above 0; None: 1 each.

    Returns:
        For each problem the number of its samples. Of equal gains the earlier problem's goes first.
    """
    prices = [1.0] * len(beliefs) if costs is None else costs
    counts, left = [0] * len(beliefs), total_cost
    heap = [(-belief.gain(0) / price, index) for index, (belief, price) in enumerate(zip(beliefs, prices, strict=True))]
    heapq.heapify(heap)
    while heap:
        _, index = heapq.heappop(heap)
        if prices[index] > left or counts[index] == max_samples:
            continue  # what is left buys it no sample, now or later
        left -= prices[index]
        counts[index] += 1
        heapq.heappush(heap, (-beliefs[index].gain(counts[index]) / prices[index], index))
    return counts


BELIEFS = st.builds(Belief, a=st.floats(0.01, 20), b=st.floats(0.01, 20))


def coverage(beliefs: Sequence[Belief], counts: Sequence[int]) -> float:
    return sum(belief.coverage(count) for belief, count in zip(beliefs, counts, strict=True))


def best_coverage(beliefs: Sequence[Belief], costs: Sequence[float], total: float, max_samples: int) -> float:
    """Of all allocations that the total pays for."""
    every = itertools.product(range(max_samples + 1), repeat=len(beliefs))
    affordable = (counts for counts in every if sum(map(float.__mul__, costs, map(float, counts))) <= total)
    return max(coverage(beliefs, counts) for counts in affordable)


@given(a=st.floats(0.5, 20), b=st.floats(0.5, 20), num_samples=st.integers(0, 40), num_more=st.integers(1, 5))
@settings(max_examples=some_of(50), deadline=None)
def test_a_gain_is_the_expected_chance_that_none_was_right_and_one_will_be(a, b, num_samples, num_more):
    expected, error = quad(
        lambda p: beta(a, b).pdf(p) * (1 - p) ** num_samples * (1 - (1 - p) ** num_more), 0, 1, limit=200
    )
    assert Belief(a, b).gain(num_samples, num_more) == pytest.approx(expected, abs=1e-6 + 10 * error)


@given(belief=BELIEFS)
def test_gains_fall_and_add_up(belief):
    gains = [belief.gain(n) for n in range(50)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == pytest.approx(belief.mean)
    assert sum(gains) == pytest.approx(belief.coverage(50))
    assert belief.gain(3, 7) == pytest.approx(sum(gains[3:10]))
    # B(a + 1, b + n) / B(a, b), the form in which the rule is usually written
    a, b = belief.a, belief.b
    log = math.lgamma(a + 1) + math.lgamma(b + 9) - math.lgamma(a + b + 10) - (
        math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    )  # fmt: skip
    assert gains[9] == pytest.approx(math.exp(log), rel=1e-6, abs=1e-12)


@given(beliefs=st.lists(BELIEFS, min_size=1, max_size=4), total=st.integers(0, 12), max_samples=st.integers(1, 5))
@settings(deadline=None)
def test_with_equal_costs_no_allocation_is_better(beliefs, total, max_samples):
    counts = allocate(beliefs, total, max_samples=max_samples)
    assert sum(counts) == min(total, len(beliefs) * max_samples)
    best = best_coverage(beliefs, [1.0] * len(beliefs), total, max_samples)
    assert coverage(beliefs, counts) == pytest.approx(best, abs=1e-12)


@given(
    priced=st.lists(st.tuples(BELIEFS, st.floats(0.2, 5)), min_size=1, max_size=4),
    total=st.floats(0, 15),
    max_samples=st.integers(1, 5),
)
@settings(deadline=None)
def test_with_unequal_costs_none_is_better_by_the_gain_of_one_sample(priced, total, max_samples):
    beliefs, costs = [belief for belief, _ in priced], [cost for _, cost in priced]
    counts = allocate(beliefs, total, max_samples=max_samples, costs=costs)
    best = best_coverage(beliefs, costs, total, max_samples)
    one_sample = max(belief.gain(0) for belief in beliefs)
    assert coverage(beliefs, counts) >= best - one_sample - 1e-12


def test_unequal_costs_can_lose_nearly_one_sample_against_the_optimum():
    """A cheap sample with a fair chance leaves too little for a dear one that is nearly sure."""
    beliefs, costs = [Belief(0.2, 0.8), Belief(900, 100)], [1.0, 5.0]
    counts = allocate(beliefs, 5.0, max_samples=1, costs=costs)
    assert counts == [1, 0]
    assert best_coverage(beliefs, costs, 5.0, 1) - coverage(beliefs, counts) == pytest.approx(0.7)


@given(
    priced=st.lists(st.tuples(BELIEFS, st.floats(0.2, 5)), max_size=12),
    total=st.floats(0, 200),
    max_samples=st.integers(1, 10),
)
def test_no_cap_is_passed_and_nothing_affordable_is_left(priced, total, max_samples):
    beliefs, costs = [belief for belief, _ in priced], [cost for _, cost in priced]
    counts = allocate(beliefs, total, max_samples=max_samples, costs=costs)
    spent = sum(count * cost for count, cost in zip(counts, costs, strict=True))
    assert all(0 <= count <= max_samples for count in counts)
    assert spent <= total + 1e-9
    hungry = [cost for count, cost in zip(counts, costs, strict=True) if count < max_samples]
    assert all(cost > total - spent - 1e-9 for cost in hungry)


def test_what_easy_problems_save_goes_to_hard_ones_and_hopeless_ones_starve():
    easy, hard, hopeless = Belief(90, 10), Belief(2, 8), Belief(0.01, 99.99)
    counts = allocate([easy, hard, hopeless], 20, max_samples=64)
    assert counts[2] == 0
    assert 0 < counts[0] < 6 < counts[1]


@pytest.mark.parametrize("mean", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("strength", [1.0, 2.0, 5.0, 20.0])
def test_a_belief_is_read_off_the_quantiles_of_a_beta_distribution(mean, strength):
    lower, median, upper = beta(mean * strength, (1 - mean) * strength).ppf([0.1, 0.5, 0.9])
    found = belief_of(question(lower, median, upper))
    assert found.mean == pytest.approx(mean, abs=0.035)
    assert strength / 2 < found.strength < strength * 2.5


def test_a_belief_of_one_number_or_of_a_given_strength():
    assert belief_of(question(0.3, 0.3, 0.3)) == Belief(0.3 * POINT_STRENGTH, 0.7 * POINT_STRENGTH)
    given_one = belief_of(question(0.1, 0.5, 0.9), 10.0)
    assert (given_one.mean, given_one.strength) == (pytest.approx(0.5), pytest.approx(10))
    with pytest.raises(ValueError, match="the question has no score"):
        belief_of(Path(0, None, "q"))


@given(
    quantiles=st.tuples(*[st.sampled_from([0.0, 1.0, 0.5, 1e-300, math.nan])] * 3),
    strength=st.none() | st.sampled_from([1e-9, 10_000.0]),
)
def test_extreme_scores_give_a_belief(quantiles, strength):
    found = belief_of(question(*quantiles), strength)
    assert 0 < found.mean < 1
    assert math.isfinite(found.strength)
    assert 0 <= found.gain(64) <= found.gain(0) <= 1


def question(lower: float, median: float, upper: float) -> Path:
    return Path(0, None, "q", score=PrmScore(lower, median, upper))
