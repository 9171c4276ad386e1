"""A threshold for a target of risk: the exact test by hand, and the promise over many calibrations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from scaling.uncertainty.risk_control import NUM_RANKS, Answered, controlled, drift, fewest_answered, ranked
from tests.support.tiers import some_of


@given(n=st.integers(1, 200), k=st.integers(0, 200), target=st.sampled_from([0.01, 0.05, 0.3]))
def test_the_p_value_is_the_binomial_tail(n, k, target):
    wrong = min(n, k)
    by_hand = sum(math.comb(n, each) * target**each * (1 - target) ** (n - each) for each in range(wrong + 1))
    assert Answered(0.5, n, wrong).p_value(target) == pytest.approx(by_hand, rel=1e-9)
    assert Answered(0.5, n, wrong).p_value(target) == pytest.approx(binom.cdf(wrong, n, target), rel=1e-9)


def test_of_nothing_nothing_is_known():
    assert Answered(0.9, 0, 0).p_value(0.5) == 1.0
    assert controlled([Answered(0.9, 0, 0)], target_error=0.99, level=0.5) is None


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60))
def test_ranks_count_what_a_loop_counts_and_the_last_answers_everything(rows):
    confidences, wrong = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    found = ranked(confidences, wrong)
    assert len(found) == NUM_RANKS
    for one in found:
        kept = [is_wrong for confidence, is_wrong in rows if confidence >= one.threshold]
        assert (one.num_answered, one.num_wrong) == (len(kept), sum(kept))
    assert found[-1].num_answered == sum(confidence > 0 for confidence, _ in rows), "what is no answer is never one"
    assert [one.num_answered for one in found[:-1]] == sorted(one.num_answered for one in found[:-1])


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 60)), min_size=1, max_size=12),
    st.sampled_from([0.05, 0.1, 0.3]),
)
def test_holms_rule_by_the_obvious_loop(counts, target):
    candidates = [Answered(0.5 + at / 100, n, min(n, k)) for at, (n, k) in enumerate(counts)]
    left, kept = sorted(candidates, key=lambda one: one.p_value(target)), []
    while left and left[0].p_value(target) <= 0.1 / len(left):
        kept.append(left.pop(0))
    found = controlled(candidates, target_error=target, level=0.9)
    assert (found is None) == (not kept)
    if found is not None:
        assert found in kept
        assert found.num_answered == max(one.num_answered for one in kept)


@pytest.mark.parametrize("target", [0.05, 0.1])
def test_over_many_calibrations_the_target_is_missed_no_oftener_than_is_said(target):
    """Confidences that say less than they claim, with ties: R(t) is known, because the world is."""
    rng = np.random.default_rng(7)
    places = np.round(np.linspace(0.0, 1.0, 201), 2)
    is_wrong_at = 0.6 * (1 - places) ** 2.5 + 0.002
    missed = supported = 0
    rounds = some_of(600, part=0.5)
    for _ in range(rounds):
        drawn = rng.integers(0, len(places), 600)
        wrong = (rng.random(600) < is_wrong_at[drawn]).astype(np.float64)
        found = controlled(ranked(places[drawn], wrong), target_error=target, level=0.9)
        if found is not None:
            supported += 1
            missed += is_wrong_at[places >= found.threshold].mean() > target
    assert supported > 0.3 * rounds
    assert missed <= 0.1 * rounds + 3 * math.sqrt(0.09 * rounds)


def test_what_it_takes_is_what_is_asked_for():
    for target in (0.02, 0.05, 0.1):
        needed = fewest_answered(NUM_RANKS, target_error=target, level=0.9)
        for count, is_enough in ((needed, True), (needed - 1, False)):
            candidates = [Answered(0.9, count, 0), *[Answered(0.5, 10, 10)] * (NUM_RANKS - 1)]
            assert (controlled(candidates, target_error=target, level=0.9) is not None) == is_enough


@given(st.lists(st.floats(0, 1), min_size=5, max_size=60), st.lists(st.floats(0, 1), min_size=5, max_size=60))
def test_drift_is_the_asymptotic_kolmogorov_smirnov_test(before, now):
    places = [*before, *now]
    apart = max(abs(sum(x <= at for x in before) / len(before) - sum(x <= at for x in now) / len(now)) for at in places)
    assert drift(sorted(before), now, len(before)) == pytest.approx(_tail(apart, len(before), len(now)), abs=1e-9)
    assert drift([], now, 0) is None


def _tail(statistic: float, n: int, m: int) -> float:
    x = math.sqrt(n * m / (n + m)) * statistic
    return 1.0 if x < 0.2 else min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101)))
