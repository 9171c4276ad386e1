"""Answering only when sure.

A run keeps every answer; `Abstention` marks those that it does not stand by, by a threshold on the answer's own
probability. So one run serves every threshold, and `scaling.statistics.risk_coverage` shows what each buys.
"""

from dataclasses import dataclass

from records.path import PrmScore
from scaling.uncertainty.aggregation import ScoreEstimate


@dataclass(frozen=True, slots=True)
class Abstention:
    """When a run does not stand by its answer.

    Attributes:
        below: abstain where the answer's probability is less than this, in (0, 1].
        estimate: what of the answer's probability is compared.
    """

    below: float
    estimate: ScoreEstimate

    def abstains(self, answer: str | None, answer_p: PrmScore | None) -> bool:
        """Whether it abstains; without an answer, or without its probability, it does."""
        return probability_of(answer, answer_p, self.estimate) < self.below


def probability_of(answer: str | None, answer_p: PrmScore | None, estimate: ScoreEstimate) -> float:
    """That an answer is right, in [0, 1]; 0 where there is no answer, or nobody knows."""
    return 0.0 if answer is None or answer_p is None else estimate.of(answer_p)
