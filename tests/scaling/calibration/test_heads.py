"""What a head's outputs mean: held against scipy's distributions and against slow twins."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import betaln, gammaln
from scipy.stats import beta, betabinom

from records.failure import InvalidInput
from scaling.arrays import Floats
from scaling.calibration.heads import POINT, HeadSpec, beta_shapes, predict_success, score


def beta_binomial_nll(a: Floats, b: Floats, successes: NDArray[Any], trials: NDArray[Any]) -> Floats:
    """-log P(Z = successes) in nats, Z ~ Beta-Binomial(trials, a, b); all arrays [N].

    -log C(n, Z) - log B(Z + a, n - Z + b) + log B(a, b).
    """
    z, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    choose = gammaln(n + 1) - gammaln(z + 1) - gammaln(n - z + 1)
    return np.asarray(betaln(a, b) - betaln(z + a, n - z + b) - choose)


LOGITS = st.floats(-60, 60)
LEVELS = st.sets(st.floats(0.01, 0.99), max_size=6).map(lambda found: tuple(sorted(found | {0.5})))
SHIFTS = st.floats(-0.9, 0.9)


def sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


@st.composite
def specs(draw):
    kind = draw(st.sampled_from(["probability", "quantile", "beta-binomial"]))
    if kind == "probability":
        return POINT
    return HeadSpec(kind=kind, levels=draw(LEVELS), lower_shift=draw(SHIFTS), concentration=draw(st.floats(0.01, 1e4)))


@given(spec=specs())
def test_a_description_survives_json(spec):
    again = HeadSpec.from_json(spec.to_json())
    assert again.to_json() == spec.to_json()
    assert (again.kind, again.levels, again.lower_shift) == (spec.kind, spec.levels, spec.lower_shift)


@given(spec=specs(), data=st.data())
def test_whatever_the_outputs_are_quantiles_are_ordered_probabilities(spec, data):
    outputs = data.draw(arrays(np.float64, (3, spec.num_outputs), elements=LOGITS))
    levels = spec.levels if spec.kind == "quantile" else tuple(sorted({0.02, *spec.levels, 0.98}))
    found = predict_success(spec, outputs, levels)
    assert found.mean.shape == (3,)
    assert found.quantiles.shape == (3, len(levels))
    everything = np.concatenate([found.mean[:, None], found.quantiles], axis=1)
    assert np.isfinite(everything).all()
    assert everything.min() >= 0
    assert everything.max() <= 1
    assert (np.diff(found.quantiles, axis=1) >= 0).all()
    served = score(spec, outputs[0])
    own = predict_success(spec, outputs, spec.levels).quantiles[0]
    assert (served.lower, served.median, served.upper) == (own[0], own[spec.levels.index(0.5)], own[-1])


def test_a_probability_stands_for_every_quantile():
    found = predict_success(POINT, np.array([[0.3], [-2.0]]), [0.1, 0.9])
    wanted = [sigmoid(0.3), sigmoid(-2.0)]
    assert list(found.mean) == pytest.approx(wanted)
    assert found.quantiles.tolist() == [[pytest.approx(each)] * 2 for each in wanted]


@given(z=st.lists(LOGITS, min_size=4, max_size=4))
def test_the_mean_of_a_quantile_head_is_the_integral_of_its_quantile_function(z):
    levels = (0.1, 0.3, 0.5, 0.9)
    found = predict_success(HeadSpec(kind="quantile", levels=levels), np.array([z]), levels)
    own = sorted(map(sigmoid, z))
    assert list(found.quantiles[0]) == pytest.approx(own)
    area, _ = quad(lambda level: np.interp(level, levels, own), 0, 1, points=levels)
    assert found.mean[0] == pytest.approx(area, abs=1e-6)


@given(z=st.floats(-15, 15), log_concentration=st.floats(-4, 9))
def test_a_beta_binomial_head_gives_the_quantiles_of_its_beta_distribution(z, log_concentration):
    spec, levels = HeadSpec(kind="beta-binomial"), (0.1, 0.25, 0.5, 0.9)
    found = predict_success(spec, np.array([[z, log_concentration]]), levels)
    mean, c = sigmoid(z), np.exp(log_concentration)
    assert found.mean[0] == pytest.approx(mean, abs=1e-9)
    distribution = beta(mean * c, (1 - mean) * c)
    for level, quantile in zip(levels, found.quantiles[0], strict=True):
        # The distribution may jump past the level at 0 and at 1, or within the last digits of the quantile.
        below, above = max(0.0, quantile * (1 - 1e-9) - 1e-300), min(1.0, quantile * (1 + 1e-9) + 1e-300)
        assert distribution.cdf(below) - 1e-6 <= level
        assert distribution.cdf(above) + 1e-6 >= level or quantile > 1 - 1e-12


def test_a_concentration_is_kept_within_bounds():
    a, b = beta_shapes(np.array([[0.0, 100.0], [0.0, -100.0], [800.0, 1.0], [-800.0, 1.0]]))
    assert a[0] == pytest.approx(5e3)
    assert a[1] == pytest.approx(5e-3)
    assert b[2] > 0
    assert a[3] > 0
    extreme = predict_success(HeadSpec(kind="beta-binomial"), np.array([[800.0, 1.0], [-800.0, 1.0]]), [0.1, 0.5, 0.9])
    assert extreme.mean.tolist() == pytest.approx([1.0, 0.0])
    assert extreme.quantiles == pytest.approx(np.array([[1.0] * 3, [0.0] * 3]))


@given(trials=st.integers(1, 200), share=st.floats(0, 1), a=st.floats(0.01, 1e3), b=st.floats(0.01, 1e3))
def test_the_likelihood_is_that_of_scipy(trials, share, a, b):
    successes = round(share * trials)
    nll = beta_binomial_nll(np.array([a]), np.array([b]), np.array([successes]), np.array([trials]))
    assert nll[0] == pytest.approx(-betabinom(trials, a, b).logpmf(successes), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("kind", ["quantile", "beta-binomial"])
def test_the_shift_moves_the_lower_quantile_only(kind):
    outputs = np.array([[0.0, 0.5, 1.0]] if kind == "quantile" else [[0.5, 1.0]])
    plain = predict_success(HeadSpec(kind=kind), outputs, [0.1, 0.5, 0.9])
    for shift, wanted in (
        (0.05, plain.quantiles[0, 0] - 0.05),
        (0.9, 0.0),
        (-0.001, plain.quantiles[0, 0] + 0.001),
        (-0.9, plain.quantiles[0, 1]),
    ):
        shifted = predict_success(HeadSpec(kind=kind, lower_shift=shift), outputs, [0.1, 0.5, 0.9])
        assert shifted.quantiles[0].tolist() == pytest.approx([wanted, *plain.quantiles[0, 1:]])
        assert shifted.mean == plain.mean


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "mean"}, "head.kind"),
        ({"levels": (0.1, 0.9)}, "contain 0.5"),
        ({"levels": (0.5, 0.1)}, "increase"),
        ({"levels": ()}, "head.levels"),
        ({"levels": (0.5, 1.0)}, "head.levels"),
        ({"lower_shift": 1.5}, "lower_shift"),
        ({"lower_shift": float("nan")}, "lower_shift"),
        ({"concentration": 0.0}, "concentration"),
        ({"kind": "probability"}, "no levels"),
    ],
)
def test_what_is_no_head_is_refused(fields, words):
    with pytest.raises(InvalidInput, match=words):
        HeadSpec(**{"kind": "quantile"} | fields)


def test_levels_and_outputs_that_a_head_does_not_have_are_refused():
    spec = HeadSpec(kind="quantile")
    with pytest.raises(ValueError, match="no quantiles at"):
        predict_success(spec, np.zeros((1, 3)), [0.2])
    with pytest.raises(ValueError, match=r"\[N, 3\]"):
        predict_success(spec, np.zeros((1, 2)), [0.5])
    with pytest.raises(ValueError, match="increase"):
        predict_success(HeadSpec(kind="beta-binomial"), np.zeros((1, 2)), [0.5, 0.1])
