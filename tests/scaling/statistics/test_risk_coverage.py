"""The area under risk against coverage, where answers are equally sure: the mean over all orders of the equals."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.statistics.risk_coverage import mean_risk, risk_coverage

ANSWERS = st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6)


def slow_area(answers: list[tuple[float, bool]]) -> float:
    """Over every order of the answers in which none comes before a surer one."""
    areas = []
    for order in itertools.permutations(answers):
        if any(first[0] < second[0] for first, second in itertools.pairwise(order)):
            continue
        wrong = np.cumsum([not right for _, right in order])
        areas.append(float((wrong / np.arange(1, len(order) + 1)).mean()))
    return sum(areas) / len(areas)


@given(ANSWERS)
def test_the_area_is_the_mean_over_all_orders_of_equals(answers):
    p, right = zip(*answers, strict=True)
    assert risk_coverage(p, right).mean_risk == pytest.approx(slow_area(answers), abs=1e-12)


@given(ANSWERS.filter(lambda answers: len(answers) <= 4), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_a_problem_drawn_twice_is_two_problems(answers, multiplicity):
    multiplicity = multiplicity[: len(answers)]
    p, right = (np.array(column, dtype=np.float64)[np.newaxis] for column in zip(*answers, strict=True))
    repeated = [answer for answer, count in zip(answers, multiplicity, strict=True) for _ in range(count)]
    [area] = mean_risk(p, right).at(np.array([multiplicity], dtype=np.float64))
    assert np.isnan(area) if not repeated else area == pytest.approx(slow_area(repeated), abs=1e-12)


def test_a_coarse_probability_costs_no_more_than_chance():
    """Four levels of a probability that says nothing: the area is that of one level, the share of wrong answers."""
    right = [at % 3 > 0 for at in range(120)]
    levels = [0.2, 0.4, 0.6, 0.8]
    coarse = risk_coverage([levels[at // 3 % 4] for at in range(120)], right)
    assert risk_coverage([0.5] * 120, right).mean_risk == pytest.approx(1 / 3)
    assert coarse.mean_risk == pytest.approx(1 / 3)
