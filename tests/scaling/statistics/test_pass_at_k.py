"""pass@k against its definition: the share of all subsets of k samples that hold a right one."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.statistics.pass_at_k import pass_at_k, pass_rates


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_it_is_the_mean_over_all_subsets(outcomes, data):
    k = data.draw(st.integers(1, len(outcomes)))
    subsets = list(combinations(outcomes, k))
    assert pass_at_k(len(outcomes), sum(outcomes), k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_many_samples_lose_no_precision():
    assert pass_at_k(10_000, 1, 1) == pytest.approx(1e-4)
    assert pass_at_k(10_000, 5_000, 100) == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4), (0, 0, 1)])
def test_impossible_counts_are_refused(wrong):
    with pytest.raises(ValueError, match="must hold"):
        pass_at_k(*wrong)


def test_rates_go_to_the_fewest_samples_that_a_problem_has():
    rates = pass_rates([[True, False, False], [], [False, False, False, True], [True] * 9], seed=1)
    assert [(rate.k, rate.num_problems) for rate in rates] == [(1, 3), (2, 3), (3, 3)]
    assert rates[0].share.value == pytest.approx((1 / 3 + 1 / 4 + 1) / 3)
    assert rates[2].share.value == pytest.approx((1 + 3 / 4 + 1) / 3)
    assert pass_rates([], seed=1) == pass_rates([[], []], seed=1) == []
