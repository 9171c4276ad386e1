"""From the scores of a path's steps to one number that ranks it.

Ranking reads the median, budgets read the lower quantile (arXiv 2506.09338); mixing them up is a known mistake.
"""

import math
from enum import StrEnum

from records.path import Path
from records.request import Scoring


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
    medians = [node.score.median for node in nodes if node.score is not None]
    if not nodes or len(medians) < len(nodes):
        raise ValueError(f"node {path.node_id} has unscored steps, which {aggregation.value!r} needs")
    if aggregation is Aggregation.PRODUCT:
        return math.prod(medians)
    return min(medians)
