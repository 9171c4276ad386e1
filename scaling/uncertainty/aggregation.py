"""From the PRM's quantiles to one number: what a path's chance of success is taken to be, and what ranks it.

Ranking reads the median, budgets read the lower quantile (arXiv 2506.09338); mixing them up is a known mistake. A
score that is not a number, which no PRM replica delivers, counts as 0: a search ends whatever it is told.
"""

import math
from enum import StrEnum

from records.path import Path, PrmScore
from records.request import Scoring


class ScoreEstimate(StrEnum):
    """Which number of the PRM's view of a path is read as its success probability. An uncalibrated PRM has one only."""

    LOWER = "lower"
    MEDIAN = "median"
    UPPER = "upper"
    MEAN = "mean"
    """.3 lower + .4 median + .3 upper: Swanson's rule, for quantiles at .1, .5 and .9 (Hurst, Brown and Swanson, AAPG
    Bulletin 84, 2000). Of a finished path, whose success is 0 or 1, the quantiles are near 0 or 1 too, and only
    together they say how likely it is."""

    def of(self, score: PrmScore) -> float:
        """This estimate of the success probability, in [0, 1]."""
        match self:
            case ScoreEstimate.LOWER:
                return _number(score.lower)
            case ScoreEstimate.MEDIAN:
                return _number(score.median)
            case ScoreEstimate.UPPER:
                return _number(score.upper)
            case ScoreEstimate.MEAN:
                return _number(0.3 * score.lower + 0.4 * score.median + 0.3 * score.upper)


class Aggregation(StrEnum):
    """How the scores of a path's steps become one (Snell et al., arXiv 2408.03314, compare them)."""

    LAST = "last"
    MIN = "min"
    PRODUCT = "product"

    @property
    def scoring(self) -> Scoring:
        """What has to be scored for it."""
        return Scoring.LEAF if self is Aggregation.LAST else Scoring.STEPS


def aggregate(path: Path, aggregation: Aggregation) -> float:
    """The ranking score of a path with at least one step, in [0, 1].

    Raises:
        ValueError: a step that the aggregation reads has no score: the strategy forgot to ask for it.
    """
    nodes = [path] if aggregation is Aggregation.LAST else path.lineage
    medians = [_number(node.score.median) for node in nodes if node.score is not None]
    if not nodes or len(medians) < len(nodes):
        raise ValueError(f"node {path.node_id} has unscored steps, which {aggregation.value!r} needs")
    if aggregation is Aggregation.PRODUCT:
        return math.prod(medians)
    return min(medians)


def success_probability(path: Path, estimate: ScoreEstimate) -> float:
    """The PRM's estimate that a path, or the bare question, comes to a right answer: of its last step, in [0, 1].

    Raises:
        ValueError: the path has no score: the strategy forgot to ask for it.
    """
    if path.score is None:
        raise ValueError(f"node {path.node_id} has no score")
    return estimate.of(path.score)


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value
