"""How many samples a problem needs, from how likely one of them is to be right.

If samples succeed independently with probability p, at least one of n is right with probability 1 - (1 - p)^n. The
smallest n that makes this at least C is what everything here rests on; p is the PRM's estimate, a low quantile to be on
the safe side. It promises that a right answer is among the samples (coverage), not that the PRM picks it.

Sources: "Know What You Don't Know" (arXiv 2506.09338) and its official code, for N_IAS, the rule for K (beams kept) and
the rule for M (children of each). Ours: the M rule divided by the number of beams kept.
"""

import math
from collections.abc import Sequence

MIN_P = 1e-4
"""Estimates are clipped to [MIN_P, 1 - MIN_P], as in the official code: no estimate asks for endless samples."""


def samples_needed(p: float, confidence: float, *, shared_by: int = 1) -> int:
    """N_IAS(p, C) = ceil(log(1 - C) / log(1 - p)), the fewest samples of which one is right with probability C.

    >>> [samples_needed(p, 0.99) for p in (0.5, 0.1, 0.01)]
    [7, 44, 459]
    >>> samples_needed(0.1, 0.99, shared_by=4)  # each of four prefixes
    11

    Args:
        p: chance that one sample is right, in [0, 1]; clipped to [MIN_P, 1 - MIN_P].
        confidence: C, in (0, 1).
        shared_by: among so many prefixes; divided inside the ceiling, as in the official code.

    Raises:
        ValueError: the confidence is out of range, or p is NaN.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be within (0, 1), got {confidence}")
    _refuse_nan([p])
    failure = 1 - min(max(p, MIN_P), 1 - MIN_P)
    return math.ceil(math.log(1 - confidence) / math.log(failure) / shared_by)


def beams_needed(estimates: Sequence[float], confidence: float, *, num_children: int, max_beams: int) -> int:
    """The rule for K: the smallest k such that k beams, with `num_children` (M) children each, are enough samples.

    Enough for the k-th best candidate: k M >= N_IAS(p_(k), C), p_(1) >= p_(2) >= ... With C = .99 and M = 8: one beam
    if p_(1) >= .438, two if p_(2) >= .250.

    >>> beams_needed([0.1, 0.5, 0.2], 0.99, num_children=8, max_beams=8)  # N_IAS(.5) = 7: one beam's 8 are enough
    1
    >>> beams_needed([0.1, 0.3, 0.2], 0.99, num_children=8, max_beams=8)  # 13 > 8, 21 > 16; no more candidates than 3
    3

    Args:
        estimates: p of every candidate, finished ones too.
        confidence: C, in (0, 1).
        num_children: M.
        max_beams: the answer where no k is enough; never more than there are candidates.

    Raises:
        ValueError: as `samples_needed`, whichever candidate is at fault.
    """
    _refuse_nan(estimates)
    limit = min(max_beams, len(estimates))
    for num_beams, p in enumerate(sorted(estimates, reverse=True)[:limit], 1):
        if num_beams * num_children >= samples_needed(p, confidence):
            return num_beams
    return limit


def children_needed(estimates: Sequence[float], confidence: float, *, max_children: int, shared_by: int) -> int:
    """The rule for M: children of each kept beam, the same number for all, enough for the worst of them.

        m = min(ceil(log(1 - C) / log(1 - p_min) / shared_by), max_children)

    The paper's code divides by K_max, however many beams are kept. With the rule for K on top, that leaves as few as
    one path; dividing by the number of beams kept does not (ours).

    >>> children_needed([0.6, 0.3], 0.99, max_children=8, shared_by=2)  # half of N_IAS(.3) = 13, for each of two beams
    7
    >>> children_needed([0.6, 0.1], 0.99, max_children=8, shared_by=2)
    8

    Args:
        estimates: p of the kept beams, finished ones too; at least one.
        confidence: C, in (0, 1).
        max_children: M.
        shared_by: the divisor.

    Raises:
        ValueError: as `samples_needed`, whichever beam is at fault; or there is none.
    """
    _refuse_nan(estimates)
    return min(samples_needed(min(estimates), confidence, shared_by=shared_by), max_children)


def _refuse_nan(estimates: Sequence[float]) -> None:
    """Where NaN would be sorted to, or whether a minimum sees it, is chance."""
    if any(map(math.isnan, estimates)):
        raise ValueError("p is NaN: an unscored path has no budget")
