"""Calibration without training a network: a function of the score alone, fitted on the counts of other problems.

Three maps of a score into [0, 1], which do not look at the prefix, and the best constant, which does not look at the
score either. Each is fitted on rows (score, Z, N) of problems that it is not measured on. A row weighs 1 whatever its
N, as in the metrics, unless `weights` says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from scaling.arrays import Floats
from scaling.calibration.observed import Observed, Predictions, probabilities

CLIP = 1e-6
"""Scores are clipped to [CLIP, 1 - CLIP] before their logit is taken: a score of exactly 0 or 1 has none."""
MAX_LOG_TEMPERATURE = 7.0
"""Temperatures are sought within exp(-7) and exp(7), 1/1097 and 1097."""


class Baseline(StrEnum):
    """Name of the map from scores to probabilities."""

    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Temperature:
    """score -> sigmoid(logit(score) / temperature): keeps the order of scores, moves them towards or away from 1/2."""

    temperature: float

    def __call__(self, scores: Floats) -> Floats:
        return np.asarray(expit(_logit(scores) / self.temperature), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """score -> a nondecreasing piecewise linear function through (score, value); flat outside of the fitted scores."""

    scores: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, scores: Floats) -> Floats:
        return np.interp(probabilities(scores, "scores"), self.scores, self.values)


@dataclass(frozen=True, slots=True)
class Histogram:
    """score -> the mean Z/N of the fitted rows in its bin.

    Bin k holds the scores above `upper_edges[k - 1]` and up to `upper_edges[k]`; scores above the last edge belong to
    the last bin.
    """

    upper_edges: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, scores: Floats) -> Floats:
        bins = np.searchsorted(self.upper_edges[:-1], probabilities(scores, "scores"), side="left")
        return np.asarray(self.values)[bins]


@dataclass(frozen=True, slots=True)
class Constant:
    """The same prediction for every row: what a method has to beat.

    Attributes:
        mean: of Z/N.
        levels: of the quantiles.
        quantiles: of Z/N, one for each level: no other constants have a smaller pinball loss on the fitted rows.
    """

    mean: float
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]

    def predict(self, num_rows: int) -> Predictions:
        """The prediction for each of `num_rows` rows."""
        return Predictions(
            mean=np.full(num_rows, self.mean),
            quantiles={
                level: np.full(num_rows, value) for level, value in zip(self.levels, self.quantiles, strict=True)
            },
        )


Recalibration = Temperature | Isotonic | Histogram
"""A fitted map: scores [N] in [0, 1] to probabilities [N]."""


def fit(name: str, scores: Floats, observed: Observed, *, weights: Floats | None = None) -> Recalibration:
    """The `Baseline` of that name, fitted on rows.

    Args:
        name: a `Baseline`.
        scores: [N], in [0, 1].
        observed: the rows, N >= 1. To compare on open prefixes, fit on open prefixes.
        weights: [N], nonnegative, not all zero; None: 1 each.

    Raises:
        ValueError: no such baseline, or there is nothing to fit on.
    """
    checked = probabilities(scores, "scores")
    row_weights = _weights(weights, observed)
    if checked.shape != row_weights.shape:
        raise ValueError(f"scores must have one entry for each of {len(observed)} rows, got {len(checked)}")
    kept = row_weights > 0
    arguments = checked[kept], observed.share[kept], row_weights[kept]
    match Baseline(name):
        case Baseline.TEMPERATURE:
            return _fit_temperature(*arguments)
        case Baseline.ISOTONIC:
            return _fit_isotonic(*arguments)
        case Baseline.HISTOGRAM:
            return _fit_histogram(*arguments)


def fit_constant(observed: Observed, levels: Sequence[float], *, weights: Floats | None = None) -> Constant:
    """The constants with the smallest squared error (mean) and pinball losses (empirical quantiles of Z/N).

    Of several quantiles that are equally good, the smallest.

    Raises:
        ValueError: there is nothing to fit on, or a level is not within (0, 1).
    """
    if any(not 0 < level < 1 for level in levels):
        raise ValueError(f"levels must be within (0, 1), got {list(levels)}")
    row_weights = _weights(weights, observed)
    quantiles = np.quantile(observed.share, levels, weights=row_weights, method="inverted_cdf")
    return Constant(
        mean=float(np.average(observed.share, weights=row_weights)),
        levels=tuple(levels),
        quantiles=tuple(quantiles.tolist()),
    )


def _fit_temperature(scores: Floats, share: Floats, weights: Floats) -> Temperature:
    """The T with the smallest weighted mean of -(Z/N) log r - (1 - Z/N) log(1 - r), r = sigmoid(logit(score)/T).

    C. Guo et al., On calibration of modern neural networks (arXiv 1706.04599), with Z/N for the label: the binomial
    likelihood of the counts where all rows have the same N. It is convex in 1/T. Where no T is better than none (all
    scores 1/2), T = 1.
    """
    logits = _logit(scores)

    def loss(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        return float(np.average(np.logaddexp(0.0, scaled) - share * scaled, weights=weights))

    bounds = (-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return Temperature(float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0)


def _fit_isotonic(scores: Floats, share: Floats, weights: Floats) -> Isotonic:
    """Nondecreasing least squares (pool adjacent violators); rows with equal scores are one.

    B. Zadrozny and C. Elkan, Transforming classifier scores into accurate multiclass probability estimates, KDD 2002.
    """
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, share, sample_weight=weights)
    return Isotonic(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))


def _fit_histogram(scores: Floats, share: Floats, weights: Floats, num_bins: int = 10) -> Histogram:
    """Bins of equal weight, as near as ties allow: equal scores share a bin, so there may be fewer than `num_bins`.

    B. Zadrozny and C. Elkan, Obtaining calibrated probability estimates from decision trees and naive Bayesian
    classifiers, ICML 2001.
    """
    levels = np.arange(1, num_bins + 1) / num_bins
    edges = np.unique(np.quantile(scores, levels, weights=weights, method="inverted_cdf"))
    bins = np.searchsorted(edges[:-1], scores, side="left")
    values = np.bincount(bins, weights=weights * share) / np.bincount(bins, weights=weights)
    return Histogram(tuple(edges.tolist()), tuple(np.clip(values, 0.0, 1.0).tolist()))


def _logit(scores: Floats) -> Floats:
    return np.asarray(logit(np.clip(probabilities(scores, "scores"), CLIP, 1 - CLIP)), dtype=np.float64)


def _weights(weights: Floats | None, observed: Observed) -> Floats:
    if weights is None:
        weights = np.ones(len(observed))
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (len(observed),):
        raise ValueError(f"weights must have one entry for each of {len(observed)} rows, got shape {array.shape}")
    if not (np.isfinite(array) & (array >= 0)).all() or not array.any():
        raise ValueError("weights must be finite, not negative, and not all zero")
    return array
