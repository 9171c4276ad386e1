"""Split conformal prediction for the lower quantile, by problem.

For prefixes of held-out problems let s = q - Z/N be how far the lower quantile q lies above the observed share. The
shift is a high quantile of s, so that q - shift lies below the share of a new prefix with the probability asked for.

Prefixes of one problem are not exchangeable with those of another; problems are. So each of the K problems has the mass
1/(K+1), spread evenly over its prefixes, and the last 1/(K+1) lies at infinity (hierarchical conformal prediction,
Y. Lee, R. F. Barber and R. Willett, arXiv 2306.06342). The promise is about a random prefix of a random new problem of
the same kind, on average over held-out sets; it is about the share of N trials, not about the chance behind it.
"""

import math

import numpy as np

from scaling.arrays import Floats
from scaling.calibration.observed import Observed


def least_problems(coverage: float) -> int:
    """The fewest held-out problems that allow a finite shift: K with K / (K + 1) >= coverage."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def lower_shift(lower: Floats, observed: Observed, *, coverage: float) -> float:
    """What to subtract from the lower quantile.

    Args:
        lower: the quantile of each row [N], in [0, 1].
        observed: the rows; N >= 1.
        coverage: probability that a share is not below the shifted quantile, within (0, 1).

    Returns:
        A number in [-1, 1]; below 0 where the quantile is lower than it needs to be.

    Raises:
        ValueError: there are fewer than `least_problems`.
    """
    problems, of_row, sizes = np.unique(
        np.asarray(observed.problem_ids, dtype=object).astype(str), return_inverse=True, return_counts=True
    )
    if len(problems) < least_problems(coverage):
        raise ValueError(f"{len(problems)} problems, and a coverage of {coverage:g} takes {least_problems(coverage)}")
    scores = np.asarray(lower, dtype=np.float64) - observed.share
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(1.0 / sizes[of_row][order]) / (len(problems) + 1)
    at = int(np.searchsorted(mass, coverage - 1e-9))
    return float(scores[order][min(at, len(order) - 1)])
