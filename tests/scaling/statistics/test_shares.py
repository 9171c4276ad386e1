"""Intervals of shares and of their differences, and the bootstrap's: how often they hold what is true."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.statistics.accuracy import accuracy_interval
from scaling.statistics.bootstrap import draw_resamples, estimate, ratio_of_totals
from scaling.statistics.shares import difference_bounds, mean_difference, mean_share, share_bounds

NUM_DRAWS = 400


@pytest.mark.parametrize("num_problems", [10, 20, 60])
@pytest.mark.parametrize(("lost", "gained"), [(0.02, 0.05), (0.1, 0.1), (0.05, 0.3)])
def test_paired_differences_are_held_as_often_as_said(num_problems, lost, gained):
    """Of 95% intervals about 95% hold the true difference, also where hardly a problem differs: 93% are asked for."""
    draws = np.random.default_rng(7).choice(
        [-1.0, 0.0, 1.0], p=[lost, 1 - lost - gained, gained], size=(2000, num_problems)
    )
    bounds = [difference_bounds(own) for own in draws]
    held = np.mean([found is not None and found[0] <= gained - lost <= found[1] for found in bounds])
    assert held >= 0.93


def test_a_bootstrap_of_few_changes_holds_far_less():
    """Why differences of shares are not resampled: 20 problems of which one in twenty changes."""
    draws = np.random.default_rng(3).choice([0.0, 1.0], p=[0.95, 0.05], size=(NUM_DRAWS, 20))
    multiplicity = draw_resamples(20, 500, 1)
    found = [estimate(ratio_of_totals(own, np.ones(20)), multiplicity) for own in draws]
    resampled = np.mean([each.lower is not None and each.lower <= 0.05 <= each.upper for each in found])
    closed = np.mean([low <= 0.05 <= high for low, high in map(difference_bounds, draws)])
    assert resampled < 0.8
    assert closed >= 0.93


@pytest.mark.parametrize(("num_problems", "at_least"), [(10, 0.85), (20, 0.88), (60, 0.91)])
def test_skewed_costs_are_held_nearly_as_often_as_said(num_problems, at_least):
    """The mean of lognormal lengths, from BCa with Student's levels; plain percentiles hold fewer on few problems."""
    draws = np.random.default_rng(11).lognormal(0.0, 0.8, size=(NUM_DRAWS, num_problems))
    multiplicity = draw_resamples(num_problems, 1000, 5)
    truth = np.exp(0.32)
    found = [estimate(ratio_of_totals(own, np.ones(num_problems)), multiplicity) for own in draws]
    held = np.mean([each.lower is not None and each.lower <= truth <= each.upper for each in found])
    plain = [np.quantile(multiplicity @ own / num_problems, [0.025, 0.975]) for own in draws]
    held_by_percentiles = np.mean([low <= truth <= high for low, high in plain])
    assert held >= at_least
    assert held >= held_by_percentiles + (0.02 if num_problems <= 20 else -0.01)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=300))
def test_a_share_of_verdicts_has_nearly_the_score_interval(verdicts):
    found, wilson = share_bounds(np.array(verdicts, dtype=np.float64)), accuracy_interval(sum(verdicts), len(verdicts))
    assert found == pytest.approx(wilson, abs=0.06 if len(verdicts) >= 20 else 0.25)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50), st.randoms(use_true_random=False))
def test_order_decides_nothing_and_the_interval_stays_within_what_is_possible(differences, rng):
    found = difference_bounds(np.array(differences))
    assert found is not None
    assert -1 <= found[0] < found[1] <= 1
    rng.shuffle(differences)
    assert difference_bounds(np.array(differences)) == pytest.approx(found)


def test_one_problem_says_nothing_about_others():
    assert share_bounds(np.ones(1)) is None
    assert difference_bounds(np.zeros(0)) is None
    multiplicity = draw_resamples(3, 10, 0)
    assert estimate(mean_share(np.array([1.0, np.nan, np.nan])), multiplicity).lower is None
    assert estimate(mean_share(np.full(3, np.nan)), multiplicity).value is None
    assert estimate(mean_difference(np.zeros(3)), draw_resamples(3, 0, 0)).lower is None, "no intervals were asked for"
