"""REBASE, reward balanced search (Wu et al., arXiv 2408.00724; thu-wyz/inference_scaling).

    depth 0       W first steps
    depth d >= 1  W' = W less the paths that have ended so far
                  the W' next steps are shared among the unfinished paths in proportion to exp(score / T_b);
                  a path whose share is 0 is dropped
    end           when W paths have ended, or at `max_steps`; they vote, weighted by their scores

So W is the number of whole solutions, as in best-of-N, while good prefixes share their past.

The paper rounds each share; we follow its code: from the best path on, each gets the ceiling of its part of what is
left, so that the shares sum to W'. T_b = 0.2 and the weighted vote are the paper's. What has not ended at `max_steps`
votes if it states an answer.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from records.path import Path
from records.request import ReplyKind
from scaling.strategies.stepwise import best_of, closed, one_step, value
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose


def rebase(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    max_steps: int,
    balance_temperature: float = 0.2,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.WEIGHTED_VOTE,
) -> Strategy:
    """Search for `num_samples` (W) solutions, shared out at `balance_temperature` (T_b)."""
    ended: list[Path] = []
    growing = [(root, num_samples)]
    frontier: list[Path] = []
    for _ in range(max_steps):
        reply = yield one_step(growing, limits)
        ended += [path for path in reply.paths if closed(path, limits)]
        grown = [path for path in reply.paths if not closed(path, limits)]
        if reply.kind is not ReplyKind.FULL:  # steps that were not extended may be all there is
            return choose([*ended, *(grown or frontier)], selection, aggregation)
        frontier = grown
        scores = [value(path, aggregation) for path in frontier]
        shares = balanced_shares(scores, num_samples - len(ended), balance_temperature)
        growing = [(path, share) for path, share in zip(frontier, shares, strict=True) if share]
        if not growing:
            break
    return choose([*ended, *frontier], selection, aggregation)


def balanced_shares(scores: Sequence[float], width: int, temperature: float) -> list[int]:
    """How many of `width` children each path gets, in the order of `scores`; they sum to `width` (0 for no paths).

    In exact arithmetic on the weights, so that equal scores never get more than their due by a rounding error.
    """
    shares = [0] * len(scores)
    if not scores:
        return shares
    top = max(scores)
    weights = [Fraction(math.exp((score - top) / temperature)) for score in scores]
    left_weight = sum(weights)
    for index in best_of(scores, len(scores)):
        if width == 0:
            break
        shares[index] = math.ceil(width * weights[index] / left_weight)
        width -= shares[index]
        left_weight -= weights[index]
    return shares
