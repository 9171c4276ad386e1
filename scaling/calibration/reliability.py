"""Reliability curves: in each bin of predictions, what was predicted and what was observed."""

from dataclasses import dataclass

import numpy as np

from scaling.arrays import Floats
from scaling.calibration.metrics import NUM_BINS, Rows, equal_width_bins, success_rate
from scaling.calibration.observed import Observed, probabilities
from scaling.statistics.bootstrap import draw_resamples, interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Open prefixes whose prediction is within [lower, upper); 1 belongs to the last bin.

    Attributes:
        num_rows: how many.
        num_problems: of how many problems.
        mean_predicted: null in an empty bin.
        mean_observed: mean of Z/N; null likewise.
        observed_lower: ends of its 95% interval, by bootstrap over problems (`observed_upper` alike); null where the
            bin's rows are of fewer than two problems.
    """

    lower: float
    upper: float
    num_rows: int
    num_problems: int
    mean_predicted: float | None
    mean_observed: float | None
    observed_lower: float | None
    observed_upper: float | None


def reliability(
    observed: Observed, predicted: Floats, *, num_bins: int = NUM_BINS, num_resamples: int = 2000, seed: int = 0
) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width over the open prefixes; terminal rows are left out, as in the metrics.

    Args:
        observed: the set.
        predicted: [N], means.
        num_bins: how many.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: predictions are not within [0, 1], or not one for each row.
    """
    checked = probabilities(predicted, "predicted")
    if len(checked) != len(observed):
        raise ValueError(f"predicted must have one entry for each of {len(observed)} rows, got {len(checked)}")
    rows, means = Rows.of(observed).where(~observed.terminal), checked[~observed.terminal]
    if rows.clusters.count == 0:
        raise ValueError("an evaluation set must have rows")
    multiplicity = draw_resamples(rows.clusters.count, num_resamples, seed)
    bins = equal_width_bins(means, num_bins)
    return tuple(
        _bin(
            rows.where(bins == number),
            means[bins == number],
            (number / num_bins, (number + 1) / num_bins),
            multiplicity,
        )
        for number in range(num_bins)
    )


def _bin(rows: Rows, means: Floats, edges: tuple[float, float], multiplicity: Floats) -> ReliabilityBin:
    lower, upper = edges
    num_problems = len(np.unique(rows.clusters.index))
    bounds = interval(success_rate(rows).at(multiplicity), num_problems) if num_problems > 1 else None
    observed_lower, observed_upper = bounds or (None, None)
    return ReliabilityBin(
        lower=lower,
        upper=upper,
        num_rows=len(means),
        num_problems=num_problems,
        mean_predicted=float(means.mean()) if len(means) else None,
        mean_observed=float(rows.share.mean()) if len(means) else None,
        observed_lower=observed_lower,
        observed_upper=observed_upper,
    )
