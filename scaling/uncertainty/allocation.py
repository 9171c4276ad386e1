r"""Where the next sample of a run goes: what it adds to the chance that some sample of its problem is right.

A problem's samples are right with an unknown probability p ~ Beta(a, b), independently. The sample after n others adds

    E[p (1 - p)^n] = B(a + 1, b + n) / B(a, b)

to the chance that its problem has a right one (coverage). That falls with n, so where all samples cost the same,
giving each one to the problem where it adds most is optimal; where costs differ, giving it where it adds most per unit
of cost is worse than the optimum by no more than what one sample adds (the greedy rule for a fractional knapsack:
Dantzig, Operations Research 5, 1957). That is before anything is sampled. Once answers and scores are there, the same
expectation is taken under their posterior (`AnswerPosterior.coverage_gain`).
"""

import math
from dataclasses import dataclass

from records.path import Path, PrmScore
from scaling.uncertainty.aggregation import ScoreEstimate
from scaling.uncertainty.samples_needed import MIN_P

MIN_STRENGTH, MAX_STRENGTH = 0.5, 50.0
"""A belief read off a PRM's quantiles is worth at least and at most so many samples."""
POINT_STRENGTH = 2.0
"""What a belief is worth of which the PRM gives one number only."""


@dataclass(frozen=True, slots=True)
class Belief:
    """Beta(a, b), of the chance p that one sample is right; both above 0."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Mean of p."""
        return self.a / (self.a + self.b)

    @property
    def strength(self) -> float:
        """How many samples it is worth."""
        return self.a + self.b

    def gain(self, num_samples: int, num_more: int = 1) -> float:
        """What `num_more` samples after `num_samples` others add to the chance that one is right.

        >>> [round(Belief(1, 1).gain(num_samples), 3) for num_samples in range(4)]
        [0.5, 0.167, 0.083, 0.05]
        >>> round(Belief(1, 1).gain(0, num_more=3), 3)  # the first three of these
        0.75
        >>> [round(Belief(0.1, 0.9).gain(num_samples), 3) for num_samples in range(4)]  # it may be hopeless
        [0.1, 0.045, 0.029, 0.021]
        """
        return -math.exp(self._log_none_right(0, num_samples)) * math.expm1(self._log_none_right(num_samples, num_more))

    def coverage(self, num_samples: int) -> float:
        """Chance that one of so many samples is right."""
        return -math.expm1(self._log_none_right(0, num_samples))

    def _log_none_right(self, after: int, num_samples: int) -> float:
        """Logarithm of the chance that none of `num_samples` is right, `after` others that were not."""
        wrong, all_ = self.b + after, self.a + self.b + after
        return sum(math.log(wrong + i) - math.log(all_ + i) for i in range(num_samples))


def belief_of(question: Path, strength: float | None = None) -> Belief:
    """The Beta distribution that a PRM's view of a question amounts to.

    Mean and variance by Swanson's rule from the quantiles at .1, .5 and .9: the weights .3, .4 and .3.

    >>> unsure = belief_of(Path(0, None, "How many?", score=PrmScore(lower=0.1, median=0.4, upper=0.8)))
    >>> round(unsure.mean, 2), round(unsure.strength, 1)
    (0.43, 2.3)
    >>> sure = belief_of(Path(0, None, "How many?", score=PrmScore(lower=0.4, median=0.43, upper=0.46)))
    >>> round(sure.mean, 2), round(sure.strength, 1)
    (0.43, 50.0)

    Args:
        question: scored; a quantile that is not a number counts as 0.
        strength: a + b; None: what the variance says, within `MIN_STRENGTH` and `MAX_STRENGTH`, or `POINT_STRENGTH`
            where all quantiles are the same number.

    Raises:
        ValueError: the question has no score: the strategy forgot to ask for it.
    """
    if question.score is None:
        raise ValueError("the question has no score")
    score = question.score
    lower, median, upper = (each.of(score) for each in (ScoreEstimate.LOWER, ScoreEstimate.MEDIAN, ScoreEstimate.UPPER))
    mean = min(max(ScoreEstimate.MEAN.of(PrmScore(lower, median, upper)), MIN_P), 1 - MIN_P)
    if strength is None:
        variance = 0.3 * (lower - mean) ** 2 + 0.4 * (median - mean) ** 2 + 0.3 * (upper - mean) ** 2
        fitted = mean * (1 - mean) / variance - 1 if variance > 0 else math.inf
        strength = POINT_STRENGTH if lower == upper else min(max(fitted, MIN_STRENGTH), MAX_STRENGTH)
    return Belief(mean * strength, (1 - mean) * strength)
