"""Intervals of shares and of their differences that hold on few problems too: closed forms, no resampling.

A problem's share is 1 or 0 (right or wrong), or a mean of such over orders of its samples, within [0, 1]. Problems are
independent of each other. Both intervals add a few problems that were never seen, and are normal around what results;
so they have a width where all problems agree, which a bootstrap has not: of 20 problems of which each differs with a
chance of one in twenty, a third of all draws shows no difference at all.

    shares        two problems right and two wrong (A. Agresti and B. Coull, Approximate is better than "exact" for
                  interval estimation of binomial proportions, The American Statistician 52 (1998), 119-126)
    differences   one problem gained and one lost (D. Bonett and R. Price, Adjusted Wald confidence interval for a
                  difference of binomial proportions based on paired data, J. of Educational and Behavioral Statistics
                  37 (2012), 479-488)

For shares between 0 and 1 the variance is that of the problems themselves (ours).
"""

import math

import numpy as np

from scaling.arrays import Floats
from scaling.statistics.bootstrap import Statistic, ratio_of_totals

_Z = 1.959963984540054
"""Of the normal distribution, for 95%."""


def share_bounds(shares: Floats) -> tuple[float, float] | None:
    """95% interval of the mean of shares [P], within [0, 1]; None for fewer than two.

    >>> [round(bound, 3) for bound in share_bounds(np.array([1.0] * 8 + [0.0] * 2))]
    [0.478, 0.951]
    """
    return _bounds(shares, np.array([1.0, 1.0, 0.0, 0.0]), 0.0)


def difference_bounds(differences: Floats) -> tuple[float, float] | None:
    """95% interval of the mean of paired differences of shares [P], within [-1, 1]; None for fewer than two.

    >>> [round(bound, 3) for bound in difference_bounds(np.zeros(20))]
    [-0.126, 0.126]
    """
    return _bounds(differences, np.array([1.0, -1.0]), -1.0)


def mean_share(shares: Floats) -> Statistic:
    """The mean of shares [P], NaN where not known, with the interval of `share_bounds`."""
    known = ~np.isnan(shares)
    statistic = ratio_of_totals(np.nan_to_num(shares), known.astype(np.float64))
    return Statistic(statistic.at, statistic.num_problems, share_bounds(shares[known]))


def mean_difference(differences: Floats) -> Statistic:
    """The mean of paired differences of shares [P], with the interval of `difference_bounds`."""
    statistic = ratio_of_totals(differences, np.ones_like(differences))
    return Statistic(statistic.at, statistic.num_problems, difference_bounds(differences))


def _bounds(values: Floats, unseen: Floats, least: float) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    all_values = np.concatenate([values, unseen])
    middle = float(all_values.mean())
    reach = _Z * math.sqrt(float(all_values.var()) / len(all_values))
    return max(middle - reach, least), min(middle + reach, 1.0)
