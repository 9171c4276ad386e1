import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from scaling.calibration.baselines import CLIP, Baseline, Histogram, Temperature, fit, fit_constant
from scaling.calibration.observed import Observed

SCORES = st.floats(0, 1).map(lambda score: round(score, 12)) | st.sampled_from([0.0, 0.5, 1.0])
"""Of those closer than 1e-15, scikit-learn's isotonic regression makes one."""
LINES = st.lists(
    st.tuples(SCORES, st.integers(1, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))),
    min_size=1,
    max_size=30,
)


def observed(counts):
    return Observed(
        problem_ids=[str(number) for number in range(len(counts))],
        successes=np.array([z for z, _ in counts]),
        trials=np.array([n for _, n in counts]),
        terminal=np.zeros(len(counts), dtype=np.bool_),
        depth=np.zeros(len(counts), dtype=np.int64),
    )


def unpacked(lines):
    return np.array([score for score, _ in lines]), observed([counts for _, counts in lines])


def simulated(num_rows=4000, temperature=2.5, seed=1):
    """An over-confident score of rows whose success probability is sigmoid(logit(score) / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.5, 3, num_rows)
    successes = rng.binomial(8, expit(logits / temperature))
    return expit(logits), observed([(int(z), 8) for z in successes])


# ---------------------------------------------------------------------------------------------------- known values


def test_temperature_finds_the_temperature():
    scores, rows = simulated()
    found = fit("temperature", scores, rows)
    assert isinstance(found, Temperature)
    assert found.temperature == pytest.approx(2.5, rel=0.05)
    assert found(np.array([0.5, expit(2.5)])) == pytest.approx([0.5, expit(1)], rel=0.02)


def test_temperature_has_the_smallest_cross_entropy():
    scores, rows = simulated(300)

    def cross_entropy(temperature):
        said = expit(logit(scores) / temperature)
        return -np.mean(rows.share * np.log(said) + (1 - rows.share) * np.log(1 - said))

    found = fit("temperature", scores, rows).temperature
    assert all(cross_entropy(found) <= cross_entropy(other) for other in np.geomspace(1, 100, 400))


def test_isotonic_pools_violators():
    rows = observed([(0, 4), (3, 4), (1, 4), (4, 4)])
    found = fit("isotonic", np.array([0.1, 0.2, 0.3, 0.4]), rows)
    assert found(np.array([0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 1.0])) == pytest.approx(
        [0, 0, 0.25, 0.5, 0.5, 0.5, 0.75, 1, 1]
    )


def test_histogram_of_two_bins_per_score():
    scores = np.array([0.1] * 10 + [0.9] * 10)
    rows = observed([(1, 8)] * 10 + [(8, 8)] * 5 + [(4, 8)] * 5)
    found = fit("histogram", scores, rows)
    assert found == Histogram((0.1, 0.9), (0.125, 0.75))
    assert found(np.array([0.0, 0.1, 0.11, 0.9, 1.0])).tolist() == [0.125, 0.125, 0.75, 0.75, 0.75]


def test_histogram_has_ten_bins_of_equal_mass():
    found = fit("histogram", np.arange(100) / 100, observed([(number // 10, 10) for number in range(100)]))
    assert found.upper_edges == pytest.approx(np.arange(9, 100, 10) / 100)
    assert found.values == pytest.approx(np.arange(10) / 10)


def test_the_best_constants():
    rows = observed([(0, 4), (0, 2), (1, 2), (2, 2)])
    found = fit_constant(rows, (0.1, 0.5, 0.9))
    assert (found.mean, found.quantiles) == (0.375, (0.0, 0.0, 1.0))
    said = found.predict(3)
    assert said.mean.tolist() == [0.375] * 3
    assert said.quantile(0.9).tolist() == [1.0] * 3


# ---------------------------------------------------------------------------------------------------- degenerate


@pytest.mark.parametrize("name", Baseline)
@pytest.mark.parametrize("score", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("counts", [[(0, 8)], [(8, 8)] * 3, [(0, 1), (3, 8), (1, 1)]])
def test_one_score_only(name, score, counts):
    found = fit(name, np.full(len(counts), score), observed(counts))
    said = found(np.array([0.0, 0.2, score, 0.8, 1.0]))
    assert ((said >= 0) & (said <= 1)).all()
    if name != Baseline.TEMPERATURE:
        assert said == pytest.approx(np.full(5, np.mean([z / n for z, n in counts])))


def test_temperature_of_a_score_that_says_nothing_is_one():
    assert fit("temperature", np.full(4, 0.5), observed([(1, 8)] * 4)).temperature == 1.0


def test_a_score_of_exactly_one_that_is_wrong_does_not_break_temperature():
    found = fit("temperature", np.array([1.0, 1.0, 0.0, 0.0]), observed([(4, 8), (4, 8), (1, 8), (7, 8)]))
    said = found(np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(found.temperature)
    assert said == pytest.approx([0.5, 0.5, 0.5], abs=0.01)


def test_what_cannot_be_fitted_is_refused():
    rows = observed([(1, 2), (2, 2)])
    with pytest.raises(ValueError, match="not a valid Baseline"):
        fit("platt", np.array([0.1, 0.2]), rows)
    with pytest.raises(ValueError, match="within"):
        fit("isotonic", np.array([0.1, float("nan")]), rows)
    with pytest.raises(ValueError, match="one entry for each of 2 rows"):
        fit("isotonic", np.array([0.1]), rows)
    with pytest.raises(ValueError, match="not all zero"):
        fit("isotonic", np.array([0.1, 0.2]), rows, weights=np.zeros(2))
    with pytest.raises(ValueError, match="not all zero"):
        fit("isotonic", np.zeros(0), observed([]))
    with pytest.raises(ValueError, match="levels"):
        fit_constant(rows, (0.0,))


# ---------------------------------------------------------------------------------------------------- always


@pytest.mark.parametrize("name", [Baseline.TEMPERATURE, Baseline.ISOTONIC])
@given(LINES, st.lists(SCORES, min_size=2))
def test_order_is_kept(name, lines, scores):
    said = fit(name, *unpacked(lines))(np.sort(scores))
    assert (np.diff(said) >= -1e-12).all()
    assert ((said >= 0) & (said <= 1)).all()


@given(LINES)
def test_temperature_keeps_apart_what_it_can(lines):
    found = fit("temperature", *unpacked(lines))
    said = found(np.array([CLIP, 0.2, 0.5, 0.8, 1 - CLIP]))
    assert said[2] == 0.5
    assert said[0] <= said[1] < said[2] < said[3] <= said[4]


@given(LINES, st.lists(SCORES, min_size=1))
def test_histogram_and_isotonic_stay_within_what_was_observed(lines, scores):
    shares = [z / n for _, (z, n) in lines]
    for name in (Baseline.HISTOGRAM, Baseline.ISOTONIC):
        said = fit(name, *unpacked(lines))(np.array(scores))
        assert min(shares) - 1e-9 <= said.min() <= said.max() <= max(shares) + 1e-9


@given(LINES)
def test_isotonic_is_the_max_min_of_means(lines):
    """The other form of isotonic regression: max over starts, min over ends, of the mean in between."""
    by_score = sorted(lines)
    distinct = sorted({score for score, _ in lines})

    def mean_between(first, last):
        return np.mean([z / n for score, (z, n) in by_score if first <= score <= last])

    expected = [
        max(
            min(mean_between(first, last) for last in distinct if last >= score) for first in distinct if first <= score
        )
        for score in distinct
    ]
    assert fit("isotonic", *unpacked(lines))(np.array(distinct)) == pytest.approx(expected, abs=1e-6)


@given(LINES)
def test_histogram_values_are_the_means_of_their_bins(lines):
    scores, rows = unpacked(lines)
    found = fit("histogram", scores, rows)
    lower = -math.inf
    for upper, value in zip(found.upper_edges, found.values, strict=True):
        assert value == pytest.approx(np.mean([z / n for score, (z, n) in lines if lower < score <= upper]))
        lower = upper
    assert lower == scores.max()
    assert len(found.values) <= 10


@given(LINES, st.data())
def test_a_weight_of_two_is_the_row_twice(lines, data):
    weights = np.array(
        data.draw(st.lists(st.integers(0, 2), min_size=len(lines), max_size=len(lines))), dtype=np.float64
    )
    repeated = [line for line, weight in zip(lines, weights, strict=True) for _ in range(int(weight))]
    if not repeated:
        return
    at = np.array([0.0, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0])
    for name, slack in ((Baseline.HISTOGRAM, 1e-9), (Baseline.ISOTONIC, 1e-9), (Baseline.TEMPERATURE, 1e-3)):
        weighted = fit(name, *unpacked(lines), weights=weights)(at)
        assert weighted == pytest.approx(fit(name, *unpacked(repeated))(at), abs=slack)
    assert fit_constant(unpacked(lines)[1], (0.1, 0.5), weights=weights).quantiles == (
        fit_constant(unpacked(repeated)[1], (0.1, 0.5)).quantiles
    )


@given(LINES, st.floats(0.01, 0.99), st.floats(0, 1))
def test_no_constant_beats_the_best(lines, level, other):
    share = unpacked(lines)[1].share

    def loss(constant):
        return np.maximum(level * (share - constant), (level - 1) * (share - constant)).mean()

    found = fit_constant(unpacked(lines)[1], (level,))
    assert loss(found.quantiles[0]) <= loss(other) + 1e-12
    assert ((share - found.mean) ** 2).mean() <= ((share - other) ** 2).mean() + 1e-12
