"""Which answers to stand by, so that at most a given share of them is wrong: with a promise, not an estimate.

    R(t)        the share of wrong answers among those whose confidence is at least t; unknown
    n, k        of the calibration problems, those answered at t, and of these the wrong ones
    p-value     P(Bin(n, target) <= k) of "R(t) is above the target", exact for any n
    rejected    by Holm's rule over a fixed number of thresholds, at 1 - level
    chosen      of the rejected ones, the threshold that answers most

Then P(R(chosen) is above the target) is at most 1 - level over the drawing of the calibration problems: learn then test
(Angelopoulos et al., arXiv 2110.01052) with an exact binomial test. It rests on one assumption: problems to come are
drawn as those of the calibration were. `drift` tests that, and can only ever find it wrong.

A threshold that is the confidence of a calibration problem (`ranked`) stands for "surer than that one": given it, those
above are drawn independently of each other, so the test holds for each rank, and Holm's rule needs no more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, kolmogorov

from scaling.arrays import Floats

NUM_RANKS = 32
"""Thresholds that are tried: more are finer, and each is paid for in certainty."""
DRIFTED_BELOW = 0.01
"""A p-value of `drift` below which the problems count as others than those of the calibration."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a threshold came to on the calibration problems.

    Attributes:
        threshold: answers with at least this confidence are stood by.
        num_answered: problems whose answers are.
        num_wrong: of those.
    """

    threshold: float
    num_answered: int
    num_wrong: int

    def p_value(self, target_error: float) -> float:
        """That so few are wrong, or fewer, if the share of wrong answers were the target.

        >>> round(Answered(0.9, 45, 0).p_value(0.05), 6)
        0.09944
        """
        return float(bdtr(self.num_wrong, self.num_answered, target_error)) if self.num_answered else 1.0


def ranked(confidences: Floats, is_wrong: Floats, num_ranks: int = NUM_RANKS) -> list[Answered]:
    """What thresholds at fixed ranks of the calibration's own confidences come to; the last answers everything.

    Args:
        confidences: [P], 0 where nothing is answered.
        is_wrong: [P], 1 or 0.
        num_ranks: how many.
    """
    surest = np.sort(confidences)[::-1]
    count = len(surest)
    found = []
    for number in range(1, num_ranks):
        above = surest[min(count - 1, math.ceil(count * number / num_ranks))]
        found.append(_answered(float(np.nextafter(above, np.inf)), confidences, is_wrong))
    return [*found, _answered(float(np.nextafter(0.0, 1.0)), confidences, is_wrong)]


def _answered(threshold: float, confidences: Floats, is_wrong: Floats) -> Answered:
    kept = confidences >= threshold
    return Answered(threshold, int(kept.sum()), int(is_wrong[kept].sum()))


def controlled(candidates: Sequence[Answered], *, target_error: float, level: float) -> Answered | None:
    """Of the thresholds that keep to the target, the one that answers most; None where none is known to.

    Args:
        candidates: chosen without a look at what is right.
        target_error: most wrong answers, as a share of the answers that are stood by.
        level: how certain that has to be.
    """
    ordered = sorted(candidates, key=lambda one: one.p_value(target_error))
    kept: list[Answered] = []
    for number, one in enumerate(ordered):
        if one.p_value(target_error) > (1 - level) / (len(ordered) - number):
            break
        kept.append(one)
    return max(kept, key=lambda one: (one.num_answered, -one.threshold), default=None)


def fewest_answered(num_candidates: int, *, target_error: float, level: float) -> int:
    """Answers without a single wrong one that it takes before any threshold is known to keep to the target.

    >>> fewest_answered(32, target_error=0.05, level=0.9)
    113
    """
    return math.ceil(math.log((1 - level) / num_candidates) / math.log(1 - target_error))


def drift(before: Sequence[float], now: Sequence[float], num_before: int) -> float | None:
    """The p-value of two samples being drawn alike (Kolmogorov and Smirnov, asymptotic); None where one is empty.

    Args:
        before: what the calibration saw, sorted; or so many of its quantiles.
        now: what is there now.
        num_before: how many there were before.
    """
    if not before or not now:
        return None
    places = np.concatenate([before, now])
    one, other = (np.searchsorted(np.sort(part), places, side="right") / len(part) for part in (before, now))
    effective = num_before * len(now) / (num_before + len(now))
    return float(kolmogorov(math.sqrt(effective) * float(np.abs(one - other).max())))
