"""The metrics of calibration, each a function of rows and of one method's numbers for them.

A row is a prefix with Z successes of N trials; p = Z/N is its share, r a method's estimate, q its quantile at a level.
Unless said otherwise a metric is a mean over rows, so problems with many of them count more. "Ours" marks a definition
that is not taken from "Know what you don't know" (arXiv 2506.09338), whose formulas we could not read. Every function
returns a `Statistic`, which is not defined (NaN) without a row that counts.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from scaling.arrays import Bools, Floats, Ints
from scaling.calibration.observed import Observed
from scaling.statistics.bootstrap import Clusters, Statistic, divide, ratio_of_sums, ratio_of_totals

NUM_BINS = 10
"""Of both expected calibration errors and of the reliability diagram."""
_GRID_SLACK = 1e-9
"""What rounding may take from a quantile before it falls below the count that it stands for."""
_CHUNK = 1 << 21
"""Numbers that the AUC of all prefixes holds at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of a set and the problems that they belong to; arrays [N] as in `Observed`."""

    clusters: Clusters
    successes: Ints
    trials: Ints

    @classmethod
    def of(cls, observed: Observed) -> "Rows":
        """All rows of a set."""
        return cls(Clusters.of(observed.problem_ids), observed.successes, observed.trials)

    @property
    def share(self) -> Floats:
        """Share of right continuations, Z/N, of each row."""
        return self.successes / self.trials

    def where(self, mask: Bools) -> "Rows":
        """The rows where `mask` is true; the problems stay what they are."""
        return Rows(self.clusters.where(mask), self.successes[mask], self.trials[mask])

    def mean(self, values: Floats) -> Statistic:
        """Mean of `values` [N]."""
        return ratio_of_sums(self.clusters, values, np.ones(len(values)))


def success_rate(rows: Rows) -> Statistic:
    """Mean of the predicted probabilities p."""
    return rows.mean(rows.share)


def brier(rows: Rows, estimate: Floats) -> Statistic:
    """mean((r - p)^2), in [0, 1].

    Ours; consistent with the paper's numbers, which are against Monte Carlo shares. It holds the noise of p: see
    `noise_floor`.
    """
    return rows.mean((estimate - rows.share) ** 2)


def brier_by_problem(rows: Rows, estimate: Floats) -> Statistic:
    """The mean over problems of each problem's own `brier`: every problem counts once. Ours."""
    sums = rows.clusters.sums((estimate - rows.share) ** 2)[:, 0]
    counts = rows.clusters.sums(np.ones(len(estimate)))[:, 0]
    present = (counts > 0).astype(np.float64)
    return ratio_of_totals(np.where(counts > 0, sums / np.maximum(counts, 1), 0.0), present)


def noise_floor(rows: Rows) -> Statistic:
    """mean(p(1 - p)/(N - 1)) over rows with N > 1: the `brier` of one who knows every success probability.

    Unbiased: E[p(1 - p)] = (N - 1)/N x v for v the variance of one trial, and the variance of p is v/N. One trial says
    nothing of its own variance, so rows with N = 1 are left out.
    """
    several = rows.where(rows.trials > 1)
    return several.mean(_variance(several))


def brier_above_floor(rows: Rows, estimate: Floats) -> Statistic:
    """`brier` minus `noise_floor`, both over rows with N > 1: unbiased for mean((r - true probability)^2).

    It may come out below 0. Ours.
    """
    kept = rows.trials > 1
    several = rows.where(kept)
    return several.mean((estimate[kept] - several.share) ** 2 - _variance(several))


def brier_of_outcomes(rows: Rows, estimate: Floats) -> Statistic:
    """mean(p(1 - r)^2 + (1 - p)r^2), in [0, 1]: (r - y)^2 for a trial y of the row, expected over its N trials.

    The Brier score in its first sense, against binary outcomes; `brier` plus mean(p(1 - p)). Equal to it for N = 1.
    """
    share = rows.share
    return rows.mean(share * (1 - estimate) ** 2 + (1 - share) * estimate**2)


def brier_over(rows: Rows, estimate: Floats) -> Statistic:
    """mean(max(0, r - p)^2) over all rows: the part of `brier` from overestimates, "positive Brier". Ours."""
    return rows.mean(np.maximum(estimate - rows.share, 0.0) ** 2)


def signed_error(rows: Rows, estimate: Floats) -> Statistic:
    """mean(r - p), in [-1, 1]; above 0 is over-confident."""
    return rows.mean(estimate - rows.share)


def calibration_error(rows: Rows, estimate: Floats, bins: Ints) -> Statistic:
    """Sum over bins of |sum over the bin's rows of (r - p)| / N: expected calibration error, in [0, 1].

    M. P. Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015, with p for the
    label. Biased upwards: even a calibrated method's bins miss by chance; in a resample they miss by chance twice.

    Args:
        rows: the rows.
        estimate: [N].
        bins: [N], number of each row's bin (`equal_width_bins`, `equal_mass_bins`); resamples keep them.
    """
    errors = np.zeros((len(estimate), int(bins.max(initial=0)) + 1))
    errors[np.arange(len(estimate)), bins] = estimate - rows.share
    sums = rows.clusters.sums(errors)
    counts = rows.clusters.sums(np.ones(len(estimate)))[:, 0]

    def at(multiplicity: Floats) -> Floats:
        return divide(np.abs(multiplicity @ sums).sum(axis=1), multiplicity @ counts)

    return Statistic(at, int(np.count_nonzero(counts)))


def equal_width_bins(estimate: Floats, num_bins: int = NUM_BINS) -> Ints:
    """Bin k is [k/num_bins, (k + 1)/num_bins); 1 belongs to the last one."""
    return np.minimum((estimate * num_bins).astype(np.int64), num_bins - 1)


def equal_mass_bins(estimate: Floats, num_bins: int = NUM_BINS) -> Ints:
    """Bins of as many rows each as ties allow: equal estimates share a bin, so there may be fewer than `num_bins`."""
    if len(estimate) == 0:
        return np.zeros(0, dtype=np.int64)
    levels = np.arange(1, num_bins) / num_bins
    edges = np.unique(np.quantile(estimate, levels, method="inverted_cdf"))
    return np.searchsorted(edges, estimate, side="left")


def pinball(rows: Rows, quantile: Floats, level: float) -> Statistic:
    """mean(level max(0, p - q) + (1 - level) max(0, q - p)), the loss that a true quantile of p minimises.

    R. Koenker and G. Bassett, Regression quantiles, Econometrica 46 (1978); the loss of arXiv 2506.09338.
    """
    return rows.mean(pinball_losses(rows.share, quantile, level))


def pinball_losses(share: Floats, quantile: Floats, level: float) -> Floats:
    """Pinball loss of each row, [N]."""
    error = share - quantile
    return np.maximum(level * error, (level - 1) * error)


def share_below(rows: Rows, quantile: Floats) -> Statistic:
    """The part of rows with p < q. Ours, as are the next two."""
    return rows.mean((rows.successes < quantile * rows.trials - _GRID_SLACK).astype(np.float64))


def share_at_or_below(rows: Rows, quantile: Floats) -> Statistic:
    """The part of rows with p <= q.

    For the true quantile of p, `share_below` <= level <= this. They differ by the rows with p = q.
    """
    return rows.mean((rows.successes <= quantile * rows.trials + _GRID_SLACK).astype(np.float64))


def share_below_snapped(rows: Rows, quantile: Floats) -> Statistic:
    """The part of rows with p < q after q has been lowered to the row's grid, floor(qN)/N.

    p is a multiple of 1/N, and often 0. A sigmoid is never 0, so a q of .003 counts a row with p = 0 as below, and
    `share_below` equals `share_at_or_below` for every method with continuous quantiles: both look too high, by all rows
    at 0. Lowered to the grid that q is 0, where p < q is false. `share_at_or_below` is the same for the lowered q. So
    this and `share_at_or_below` are the two ends between which the level has to lie.
    """
    return rows.mean((rows.successes < np.floor(quantile * rows.trials + _GRID_SLACK)).astype(np.float64))


def auc_of_trials(rows: Rows, estimate: Floats) -> Statistic:
    """Chance that a random success has a higher estimate than a random failure, ties counting half.

    Every trial is an outcome: a row is Z successes and N - Z failures, which tie with each other. So even the true
    probabilities stay below 1. Over many problems it mostly measures whether hard problems are told from easy ones.
    """
    clusters = rows.clusters
    distinct, place = np.unique(estimate, return_inverse=True)
    shape = len(distinct), clusters.count
    right = csr_array((rows.successes.astype(np.float64), (place, clusters.index)), shape=shape)
    wrong = csr_array(((rows.trials - rows.successes).astype(np.float64), (place, clusters.index)), shape=shape)

    def at_chunk(multiplicity: Floats) -> Floats:
        won, lost = right @ multiplicity.T, wrong @ multiplicity.T
        below = np.cumsum(lost, axis=0) - lost / 2
        return divide((won * below).sum(axis=0), won.sum(axis=0) * lost.sum(axis=0))

    def at(multiplicity: Floats) -> Floats:
        step = max(1, _CHUNK // max(1, len(distinct)))
        chunks = [at_chunk(multiplicity[start : start + step]) for start in range(0, len(multiplicity), step)]
        return np.concatenate([np.zeros(0), *chunks])

    return Statistic(at, len(np.unique(clusters.index)))


def auc_within(rows: Rows, estimate: Floats) -> Statistic:
    """The mean of each problem's own `auc_of_trials`, over problems with both outcomes; each problem counts once.

    What choosing among one problem's prefixes depends on. Ours;
    `scaling.statistics.accuracy.within_problem_auc` pools pairs.
    """
    clusters = rows.clusters
    order = np.lexsort((estimate, clusters.index))
    starts = _run_starts(estimate[order], clusters.index[order])
    of_runs = Clusters(clusters.index[order][starts], clusters.count)
    won = _run_sums(rows.successes[order], starts)
    lost = _run_sums((rows.trials - rows.successes)[order], starts)
    num_won, num_lost = of_runs.sums(won)[:, 0], of_runs.sums(lost)[:, 0]
    lost_in_earlier_problems = (np.cumsum(num_lost) - num_lost)[of_runs.index]
    below = np.cumsum(lost) - lost / 2 - lost_in_earlier_problems
    ordered, pairs = of_runs.sums(won * below)[:, 0], num_won * num_lost
    return ratio_of_totals(np.nan_to_num(divide(ordered, pairs)), (pairs > 0).astype(np.float64))


def _variance(rows: Rows) -> Floats:
    """Unbiased estimate of the variance of p, N > 1."""
    return rows.share * (1 - rows.share) / (rows.trials - 1)


def _run_starts(*keys: Floats | Ints) -> Ints:
    """Where runs of rows with equal keys begin."""
    changed = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.flatnonzero(np.concatenate([[True] * min(1, len(keys[0])), changed]))


def _run_sums(counts: Ints, starts: Ints) -> Floats:
    """Sum of `counts` over each run."""
    before = np.concatenate([[0], np.cumsum(counts)])
    return np.diff(before[np.append(starts, len(counts))]).astype(np.float64)
