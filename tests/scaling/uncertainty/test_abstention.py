"""The risk-coverage curve against counting, threshold by threshold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.statistics.bootstrap import draw_resamples
from scaling.statistics.risk_coverage import mean_risk, risk_coverage

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.5000001, 1.0]) | st.floats(0, 1), st.booleans()),
    min_size=1,
    max_size=30,
)


@given(ROWS, st.floats(0, 1.1))
def test_every_threshold_is_what_counting_gives(rows, threshold):
    curve = risk_coverage([p for p, _ in rows], [right for _, right in rows])
    for below in (threshold, rows[0][0]):
        answered = [right for p, right in rows if p >= below]
        coverage, risk = curve.at(below)
        assert coverage == pytest.approx(len(answered) / len(rows))
        assert risk == (pytest.approx(answered.count(False) / len(answered)) if answered else None)
    assert list(curve.thresholds) == sorted({p for p, _ in rows}, reverse=True)
    assert curve.coverage[-1] == 1.0


@given(ROWS)
def test_order_of_problems_changes_nothing(rows):
    curve = risk_coverage([p for p, _ in rows], [right for _, right in rows])
    turned = risk_coverage([p for p, _ in rows[::-1]], [right for _, right in rows[::-1]])
    assert list(curve.risk) == list(turned.risk)
    assert 0 <= curve.mean_risk <= 1


def test_known_curve():
    curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [True, True, False, False])
    assert list(curve.thresholds) == [0.9, 0.8, 0.1]
    assert list(curve.coverage) == [0.25, 0.75, 1.0]
    assert list(curve.risk) == pytest.approx([0.0, 1 / 3, 0.5])
    assert curve.mean_risk == pytest.approx(((0 + 0 + 1 / 3 + 1 / 2) / 4 + (0 + 1 / 2 + 1 / 3 + 1 / 2) / 4) / 2)
    assert risk_coverage([0.5] * 4, [True, True, False, False]).mean_risk == 0.5


def test_nonsense_is_refused():
    for probabilities, correct in (([], []), ([0.5], [])):
        with pytest.raises(ValueError, match="verdicts"):
            risk_coverage(probabilities, correct)
    with pytest.raises(ValueError, match="NaN"):
        risk_coverage([math.nan], [True])


RUNS = st.integers(1, 6).flatmap(
    lambda count: st.lists(
        st.lists(
            st.tuples(st.sampled_from([0.0, 0.3, 0.3, 0.9, math.nan]), st.sampled_from([0.0, 1.0, math.nan])),
            min_size=count,
            max_size=count,
        ),
        min_size=1,
        max_size=3,
    )
)
"""[O, P] pairs of probability and verdict."""


@given(RUNS, st.integers(0, 5))
def test_mean_risk_of_resampled_problems_is_that_of_their_copies(runs, seed):
    p, right = np.moveaxis(np.array(runs), 2, 0)
    statistic = mean_risk(p, right)
    multiplicity = draw_resamples(p.shape[1], 5, seed)
    for times, area in zip(multiplicity.astype(int), statistic.at(multiplicity), strict=True):
        copies = [
            [
                (0.0 if math.isnan(a) else a, b == 1)
                for a, b, n in zip(*run, times, strict=True)
                if not math.isnan(b)
                for _ in range(n)
            ]
            for run in zip(p, right, strict=True)
        ]
        areas = [risk_coverage(*zip(*copy, strict=True)).mean_risk for copy in copies if copy]
        assert area == (pytest.approx(np.mean(areas)) if areas else pytest.approx(math.nan, nan_ok=True))
    assert statistic.num_problems == (~np.isnan(right)).any(axis=0).sum()
