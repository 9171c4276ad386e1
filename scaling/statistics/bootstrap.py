"""Bootstrap over problems: rows of one problem are drawn together, because they depend on each other.

A resample draws as many problems as there are, with replacement. What it comes to depends on how often each problem was
drawn (its multiplicity) and nothing else. So a statistic is a function of multiplicities, [R, P] to [R], and a ratio of
sums over rows is one product of the multiplicities with sums per problem: no row is copied.

Intervals are BCa (bias-corrected and accelerated: B. Efron, Better bootstrap confidence intervals, JASA 82 (1987),
171-185), with the levels of P problems widened as Student's t asks for (the expanded percentile interval: T.
Hesterberg, What teachers should know about the bootstrap, The American Statistician 69 (2015), 371-386). The
acceleration comes from leaving each problem out once; above `MOST_LEFT_OUT` problems it is taken as 0.
Shares and differences of shares have intervals of their own (`scaling.statistics.shares`): a bootstrap of few problems
of which hardly any differ knows nothing of those that might.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scaling.arrays import Bools, Floats, Ints

_CONFIDENCE = 0.95
"""Of every interval."""
_ROUNDING = 1e-12
"""Numbers that differ by less, in parts of the larger, are equal: the order of summation decides nothing."""
PART_SIZE = 2**22
"""Multiplicities that are drawn at a time."""
MOST_LEFT_OUT = 500
"""Of so many problems each is left out once, for the acceleration."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Which problem each of some rows belongs to.

    Attributes:
        index: [N], number of the row's problem.
        count: how many problems there are, P; some may have no row here.
    """

    index: Ints
    count: int

    @classmethod
    def of(cls, problem_ids: Sequence[str]) -> "Clusters":
        """Problems are numbered in the order of their ids, so that the order of rows decides nothing."""
        unique, index = np.unique(np.asarray(problem_ids, dtype=np.str_), return_inverse=True)
        return cls(index.astype(np.int64), len(unique))

    def where(self, mask: Bools) -> "Clusters":
        """The rows where `mask` is true; the problems keep their numbers."""
        return Clusters(self.index[mask], self.count)

    def sums(self, values: Floats) -> Floats:
        """Sums of `values` [N, D] (or [N]) over each problem's rows, [P, D]."""
        columns = values.T if values.ndim == 2 else values[np.newaxis]
        return np.stack([np.bincount(self.index, weights=column, minlength=self.count) for column in columns], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """A number that depends on which problems there are, and how often.

    Attributes:
        at: multiplicities [R, P] -> values [R]; NaN where the number is not defined.
        num_problems: problems that can change it.
        bounds: its 95% interval in closed form, where there is one; None: the bootstrap's.
    """

    at: Callable[[Floats], Floats]
    num_problems: int
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A number with a 95% interval.

    Attributes:
        value: null where it is not defined (no row, no pair).
        lower: ends of the interval (`upper` alike); null where fewer than two problems say something.
    """

    value: float | None
    lower: float | None
    upper: float | None


def ratio_of_sums(clusters: Clusters, numerator: Floats, denominator: Floats) -> Statistic:
    """sum(numerator) / sum(denominator) over rows, [N] each: a mean where the denominator is 1, or weights."""
    sums = np.concatenate([clusters.sums(numerator), clusters.sums(denominator)], axis=1)
    return ratio_of_totals(sums[:, 0], sums[:, 1])


def ratio_of_totals(numerator: Floats, denominator: Floats) -> Statistic:
    """The same from what each problem contributes, [P] each."""
    sums = np.stack([numerator, denominator], axis=1)

    def at(multiplicity: Floats) -> Floats:
        totals = multiplicity @ sums
        return divide(totals[:, 0], totals[:, 1])

    return Statistic(at, int(np.count_nonzero(denominator)))


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Element by element; NaN where the denominator is 0."""
    undefined = np.full(numerator.shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator != 0), dtype=np.float64)


def draw_resamples(num_problems: int, num_resamples: int, seed: int) -> Floats:
    """Multiplicities [R, P] of the problems in each resample; every row sums to P."""
    return np.concatenate([np.empty((0, num_problems)), *_parts(num_problems, num_resamples, seed)])


def resampled_sums(sums: Floats, num_resamples: int, seed: int) -> Floats:
    """What D sums over problems, contributed by each in [P, D], come to in each resample of `draw_resamples`: [R, D].

    The multiplicities are never all in memory, so there may be millions of problems.
    """
    empty = np.empty((0, sums.shape[1]))
    return np.concatenate([empty, *(part @ sums for part in _parts(len(sums), num_resamples, seed))])


def _parts(num_problems: int, num_resamples: int, seed: int) -> Iterator[Floats]:
    """The rows of `draw_resamples`, about `PART_SIZE` numbers at a time."""
    if num_problems == 0:  # every resample is empty
        yield np.empty((num_resamples, 0))
        return
    generator = np.random.default_rng(seed)
    chances = np.full(num_problems, 1.0 / num_problems)
    step = max(1, PART_SIZE // num_problems)
    for begin in range(0, num_resamples, step):
        size = min(step, num_resamples - begin)
        yield generator.multinomial(num_problems, chances, size=size).astype(np.float64)


def interval(
    values: Floats, num_problems: int, *, value: float = math.nan, left_out: Floats | None = None
) -> tuple[float, float] | None:
    """95% interval from resampled values; those that are not defined (NaN) do not count. None if none is.

    Args:
        values: of each resample, [R].
        num_problems: that have a say; more than one.
        value: on all problems, for the correction of bias; NaN: none.
        left_out: the statistic without each problem, [P], for the acceleration; None: none.
    """
    defined = values[~np.isnan(values)]
    if defined.size == 0:
        return None
    lower, upper = np.quantile(defined, _levels(defined, num_problems, value, left_out))
    return float(lower), float(upper)


def _levels(values: Floats, num_problems: int, value: float, left_out: Floats | None) -> list[float]:
    """The two quantiles of the resampled values that are the ends of the interval."""
    from scipy.special import ndtr, ndtri, stdtrit  # noqa: PLC0415 - takes a quarter of a second, and not all ask for it

    expanded = math.sqrt(num_problems / (num_problems - 1)) * stdtrit(num_problems - 1, (1 + _CONFIDENCE) / 2)
    is_equal = np.abs(values - value) <= _ROUNDING * max(1.0, abs(value))
    below = float(np.where(is_equal, 0.5, values < value).mean())
    bias = float(ndtri(below)) if 0 < below < 1 else 0.0
    acceleration = 0.0 if left_out is None else _acceleration(left_out)
    shifted = [bias + z for z in (-expanded, expanded)]
    return [float(ndtr(bias + z / max(1 - acceleration * z, 0.05))) for z in shifted]


def _acceleration(left_out: Floats) -> float:
    defined = left_out[~np.isnan(left_out)]
    excess = defined.mean() - defined if defined.size else np.zeros(1)
    spread = float((excess**2).sum())
    return float((excess**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0


def estimated(value: float, values: Floats, num_problems: int, left_out: Floats | None = None) -> IntervalEstimate:
    """A number and its resampled values [R], with an interval where several problems have a say; see `interval`.

    One problem says nothing about others, so it gives no interval.
    """
    if math.isnan(value):
        return IntervalEstimate(None, None, None)
    bounds = interval(values, num_problems, value=value, left_out=left_out) if num_problems > 1 else None
    return IntervalEstimate(value, *(bounds or (None, None)))


def estimate(statistic: Statistic, multiplicity: Floats) -> IntervalEstimate:
    """A statistic on all problems, with its own interval or the one that resamples [R, P] give it.

    Without resamples there are no intervals.
    """
    num_resamples, count = multiplicity.shape
    value = float(statistic.at(np.ones((1, count)))[0])
    if statistic.bounds is not None and num_resamples and not math.isnan(value):
        return IntervalEstimate(value, *statistic.bounds)
    left_out = statistic.at(1.0 - np.eye(count)) if 0 < count <= MOST_LEFT_OUT and num_resamples else None
    return estimated(value, statistic.at(multiplicity), statistic.num_problems, left_out)
