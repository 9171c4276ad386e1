"""The conformal shift, against an obvious twin and against what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.calibration.conformal import least_problems, lower_shift
from scaling.calibration.observed import Observed


def observed(problem_ids, successes, trials):
    count = len(problem_ids)
    return Observed(
        problem_ids=problem_ids,
        successes=np.array(successes),
        trials=np.array(trials),
        terminal=np.zeros(count, dtype=bool),
        depth=np.zeros(count, dtype=int),
    )


def slow_shift(lower, rows, coverage):
    """The smallest score up to which the masses add up to the coverage."""
    ids = rows.problem_ids
    scores = [
        (q - z / n, 1 / ids.count(name)) for q, z, n, name in zip(lower, rows.successes, rows.trials, ids, strict=True)
    ]
    total = len(set(ids)) + 1
    for candidate in sorted(score for score, _ in scores):
        if sum(mass for score, mass in scores if score <= candidate) / total >= coverage - 1e-9:
            return candidate
    return max(score for score, _ in scores)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.floats(0, 1)), min_size=60, max_size=80),
    st.sampled_from([0.5, 0.8]),
)
def test_it_is_the_quantile_of_problems_that_weigh_alike(rows, coverage):
    ids = [f"p{name}" for name, _, _ in rows]
    if len(set(ids)) < least_problems(coverage):
        return
    table = observed(ids, [z for _, z, _ in rows], [4] * len(rows))
    lower = [q for _, _, q in rows]
    assert lower_shift(np.array(lower), table, coverage=coverage) == pytest.approx(slow_shift(lower, table, coverage))


def test_a_random_prefix_of_a_new_problem_is_covered_as_promised():
    chance = np.random.default_rng(3)

    def draw(num_problems):
        sizes = chance.integers(1, 40, num_problems)
        bias = np.repeat(chance.normal(0, 0.2, num_problems), sizes)  # prefixes of one problem err together
        ids = [f"p{name}" for name, size in enumerate(sizes) for _ in range(size)]
        p = chance.uniform(0, 1, len(ids))
        return ids, chance.binomial(8, p), np.clip(p + bias - 0.1, 0, 1), sizes

    covered = []
    for _ in range(300):
        ids, successes, lower, _ = draw(40)
        shift = lower_shift(lower, observed(ids, successes, np.full(len(ids), 8)), coverage=0.9)
        _, new, bound, sizes = draw(30)
        held = new / 8 >= np.maximum(0, bound - shift)
        covered.append(np.average(held, weights=np.repeat(1 / sizes, sizes)))
    assert 0.89 < np.mean(covered) < 0.94


@pytest.mark.parametrize(("coverage", "least"), [(0.9, 9), (0.5, 1), (0.95, 19), (0.8, 4)])
def test_too_few_problems_promise_nothing(coverage, least):
    assert least_problems(coverage) == least
    ids = [f"p{name}" for name in range(least)]
    lower_shift(np.full(least, 0.5), observed(ids, [1] * least, [2] * least), coverage=coverage)
    if least > 1:
        with pytest.raises(ValueError, match=f"takes {least}"):
            lower_shift(
                np.full(least - 1, 0.5), observed(ids[1:], [1] * (least - 1), [2] * (least - 1)), coverage=coverage
            )
