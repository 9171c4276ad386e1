"""How sure the generator was of a trace, from its own token confidences (DeepConf, Fu et al., arXiv 2508.15260).

    C_i                 = -(1/k) sum_j log P_i(j) over the k likeliest tokens: the more peaked, the higher
    group j             the mean of C over `window` tokens that follow each other; one group ends at each token from the
                        `window`-th on. A trace shorter than the window is one group, as in the paper's code
    lowest-group        the lowest group
    bottom-10           the mean of the lowest tenth of the groups, at least one
    tail                the mean of C over the last `window` tokens
    mean                the mean of C over all tokens

A confidence that is no finite number counts as 0, the least there is, and so does a trace without tokens.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from records.path import Path

_ROUNDING = 1e-9
"""Nats by which equal confidences may differ after averaging."""


class TraceConfidence(StrEnum):
    """Which number says how sure a whole trace was."""

    LOWEST_GROUP = "lowest-group"
    BOTTOM_10 = "bottom-10"
    TAIL = "tail"
    MEAN = "mean"

    def of(self, path: Path, window: int) -> float:
        """Of a path, in nats; `window` in tokens.

        Raises:
            ValueError: some step has no confidences: the strategy forgot to ask for them.
        """
        confidences = path_confidences(path)
        match self:
            case TraceConfidence.LOWEST_GROUP:
                return float(group_confidences(confidences, window).min()) if len(confidences) else 0.0
            case TraceConfidence.BOTTOM_10:
                return bottom_confidence(confidences, window)
            case TraceConfidence.TAIL:
                return mean_confidence(confidences[-window:])
            case TraceConfidence.MEAN:
                return mean_confidence(confidences)


def path_confidences(path: Path) -> NDArray[np.float64]:
    """Confidences of all tokens of a path: [num_tokens].

    Raises:
        ValueError: some step has none: the strategy forgot to ask for them.
    """
    return np.concatenate([np.zeros(0), *(_numbers(node) for node in path.lineage)])


def _numbers(node: Path) -> NDArray[np.float64]:
    """Confidences of the node's own tokens."""
    if node.token_confidences is None:
        raise ValueError(f"node {node.node_id} has no confidences: its request did not ask for top_logprobs")
    confidences = np.array(node.token_confidences, dtype=np.float64)
    return np.where(np.isfinite(confidences), confidences, 0.0).clip(min=0.0)


def group_confidences(confidences: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Means over all runs of `window` tokens: [num_tokens - window + 1]; over all, [1], where there are fewer."""
    num_tokens = len(confidences)
    if num_tokens == 0:
        return np.zeros(0)
    width = min(window, num_tokens)
    ends = np.concatenate([[0.0], np.cumsum(confidences)])
    groups: NDArray[np.float64] = (ends[width:] - ends[:-width]) / width
    return groups


def bottom_confidence(confidences: NDArray[np.float64], window: int) -> float:
    """Mean of the lowest tenth of the groups, at least one."""
    groups = np.sort(group_confidences(confidences, window))
    return mean_confidence(groups[: max(1, len(groups) // 10)])


def mean_confidence(confidences: NDArray[np.float64]) -> float:
    """Mean token confidence of a path; 0 where there is no token."""
    return float(confidences.mean()) if len(confidences) else 0.0


def latest_group(path: Path, window: int) -> float:
    """The lowest of the full groups that end within the last step; infinite where there is none.

    What a growing path is judged by at each step, so that no group is looked at twice.

    Raises:
        ValueError: as `path_confidences`.
    """
    newest = len(path.token_ids)
    pieces: list[NDArray[np.float64]] = []
    node: Path | None = path
    while node is not None and node.parent is not None and sum(map(len, pieces)) < newest + window - 1:
        pieces.append(_numbers(node))
        node = node.parent
    confidences = np.concatenate(pieces[::-1] or [np.zeros(0)])[-(newest + window - 1) :]
    if newest == 0 or len(confidences) < window:
        return math.inf
    return float(group_confidences(confidences, window).min())


def most_confident(confidences: Sequence[float], share: float) -> list[int]:
    """Indices, ascending, of the traces that are at least as sure as the percentile 100 (1 - share) of all.

    As in the paper's code, with NumPy's linear interpolation: of ten traces at .9 the nine surest, of sixteen fourteen.
    All that are as sure as the percentile stay, so of equals all or none.

    >>> most_confident([3.0, 1.0, 2.0, 4.0], 0.5), most_confident([1.0, 1.0, 1.0], 0.1)
    ([0, 3], [0, 1, 2])
    """
    if not confidences:
        return []
    least = lowest_allowed(confidences, share)
    return [index for index, confidence in enumerate(confidences) if confidence >= least]


def lowest_allowed(confidences: Sequence[float], share: float) -> float:
    """The percentile 100 (1 - share) of some confidences, in nats, less what rounding may take; 0 of none."""
    return float(np.percentile(confidences, 100 * (1 - share))) - _ROUNDING if confidences else 0.0
