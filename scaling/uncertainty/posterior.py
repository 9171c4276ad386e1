r"""How sure is an answer, after some samples? The posterior that sequential stopping decides by (ours).

The model. One sample of the problem is right with probability p ~ Beta(alpha, beta). All right samples give one answer.
Wrong samples share answers as guests share tables in a Chinese restaurant process with concentration theta: the more
have given a wrong answer, the likelier the next one does too. Given whether a sample is right, its PRM score tells
nothing else; a calibrated chance s of a finished sample says by Bayes' rule

    L = P(score | right) / P(score | wrong) = [s / (1 - s)] / [base / (1 - base)]

where base is the chance before it is read: the mean of the chances of this problem's samples so far, with the bare
question's as one more. (The bare question's alone is wrong wherever the PRM judges questions unlike solutions.)

A right sample states its answer. A wrong one states none (it was cut off, it refused) with probability e ~ Beta(u, v):
samples without an answer are wrong, and say that those with one are likelier right than their number alone says.

Let n samples have been drawn, m of them with an answer, n_a with the answer a (in canonical form). The hypotheses are
"a is right", for each a seen, and "none of them is". Integrating p and e out and leaving out what all have in common,

    a is right:   B(alpha + n_a, beta + n - n_a) / [(n_a - 1)! theta theta^(m - n_a)]  *  B(u + n - m, v + m - n_a)
                  *  product of L^weight over a's
    none is:      B(alpha, beta + n) / theta^(m)  *  B(u + n - m, v + m)     where x^(k) = x (x + 1) ... (x + k - 1)

(the wrong ones by Ewens' sampling formula, Theoretical Population Biology 3, 1972). Scores of samples with the same
answer err together, which is discounted by a weight below 1, or by a correlation r: n_a scores are then worth
n_a / (1 + (n_a - 1) r) of them (Kish's design effect), with r = 1 their mean is worth one score. Without scores this is
self-consistency with a prior.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma

from scaling.uncertainty.samples_needed import MIN_P


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerModel:
    """What is believed before the first sample.

    Attributes:
        mean: alpha / (alpha + beta), the chance that one sample is right; clipped to [MIN_P, 1 - MIN_P].
        strength: alpha + beta, how many samples that belief is worth; above 0.
        spread: theta; small: wrong samples agree with each other, large: they do not. Above 0.
        weight: of the scores, in [0, 1].
        correlation: of the errors of scores of samples with the same answer, in [0, 1].
        unanswered: u / (u + v), the share of wrong samples that state no answer; within (0, 1).
        unanswered_strength: u + v, how many wrong samples that is worth; above 0. The default lets a problem's own
            samples speak: in simulations with shares from 0 to .8, sixteen samples each, the leading answer's mean
            probability is then within .03 of how often it is right, where leaving the factor out is .42 off.
    """

    mean: float
    strength: float
    spread: float
    weight: float
    correlation: float = 0.0
    unanswered: float = 0.2
    unanswered_strength: float = 1.0


@dataclass(frozen=True, slots=True)
class AnswerPosterior:
    """How likely each answer is.

    Attributes:
        probabilities: of each answer seen, in the order of their first samples; with `unseen` they add up to 1.
        unseen: that none of them is right.
        chances_of_success: parameters (a, b) of p's Beta distribution if that answer is right.
        if_unseen: the same if none is.
    """

    probabilities: dict[str, float]
    unseen: float
    chances_of_success: dict[str, tuple[float, float]]
    if_unseen: tuple[float, float]

    @property
    def leading(self) -> str | None:
        """The likeliest answer, the earlier of equal ones; None if no sample has one."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default=None)

    def gain(self, chosen: str | None, num_samples: int) -> float:
        """Chance that the chosen answer is wrong and `num_samples` more hold a right one: what they can win at best."""
        rivals = [
            (probability, self.chances_of_success[answer])
            for answer, probability in self.probabilities.items()
            if answer != chosen
        ]
        held = sum(probability * _some_right(shape, num_samples) for probability, shape in rivals)
        return held + self.coverage_gain(num_samples)

    def coverage_gain(self, num_samples: int) -> float:
        """Chance that no sample so far is right and one of `num_samples` more is: E[(1 - p)^n - (1 - p)^(n + more)]."""
        return self.unseen * _some_right(self.if_unseen, num_samples)


def answer_posterior(answers: Sequence[str | None], chances: Sequence[float], model: AnswerModel) -> AnswerPosterior:
    """The posterior after some samples.

    >>> model = AnswerModel(mean=0.5, strength=2.0, spread=10.0, weight=1.0)
    >>> votes = answer_posterior(["7", "7", "3", None], [0.5, 0.5, 0.5, 0.5], model)  # the scores say nothing
    >>> {answer: round(probability, 3) for answer, probability in votes.probabilities.items()}, round(votes.unseen, 3)
    ({'7': 0.786, '3': 0.064}, 0.15)
    >>> votes.leading, round(votes.gain("7", num_samples=4), 3)  # what four samples more can win at best
    ('7', 0.113)
    >>> scored = answer_posterior(["7", "3"], [0.9, 0.2], model)  # one vote each: the scores decide
    >>> {answer: round(probability, 3) for answer, probability in scored.probabilities.items()}
    {'7': 0.809, '3': 0.022}

    Args:
        answers: of each sample, in canonical form; None: it has none, so is wrong.
        chances: that each sample is right, by the PRM, in [0, 1].
        model: what was believed before.
    """
    mean = _clipped(model.mean)
    alpha, beta = model.strength * mean, model.strength * (1 - mean)
    base = _logit((mean + sum(chances)) / (1 + len(chances)))
    counts: dict[str, int] = {}
    evidence: dict[str, float] = {}
    for answer, chance in zip(answers, chances, strict=True):
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
            evidence[answer] = evidence.get(answer, 0.0) + model.weight * (_logit(chance) - base)
    num_samples, num_answered, spread = len(answers), sum(counts.values()), model.spread
    num_unanswered = num_samples - num_answered
    if_right = {answer: (alpha + count, beta + num_samples - count) for answer, count in counts.items()}
    if_unseen = (alpha, beta + num_samples)
    logs = {
        answer: _log_beta(*if_right[answer])
        - lgamma(count)
        - math.log(spread)
        - _log_rising(spread, num_answered - count)
        + _log_wrong_stated(model, num_unanswered, num_answered - count)
        + evidence[answer] / (1 + (count - 1) * model.correlation)
        for answer, count in counts.items()
    }
    log_unseen = _log_beta(*if_unseen) - _log_rising(spread, num_answered)
    log_unseen += _log_wrong_stated(model, num_unanswered, num_answered)
    most = max([log_unseen, *logs.values()])
    total = sum(math.exp(log - most) for log in [log_unseen, *logs.values()])
    probabilities = {answer: math.exp(log - most) / total for answer, log in logs.items()}
    return AnswerPosterior(probabilities, math.exp(log_unseen - most) / total, if_right, if_unseen)


def _some_right(shape: tuple[float, float], num_samples: int) -> float:
    """Chance that one of `num_samples` is right, each with p ~ Beta(a, b)."""
    a, b = shape
    return -math.expm1(_log_beta(a, b + num_samples) - _log_beta(a, b))


def _log_wrong_stated(model: AnswerModel, num_unanswered: int, num_answered: int) -> float:
    """Of so many wrong samples, that the last ones state an answer and the others none; but for a constant."""
    u = model.unanswered_strength * model.unanswered
    return _log_beta(u + num_unanswered, model.unanswered_strength - u + num_answered)


def _clipped(p: float) -> float:
    return min(max(p, MIN_P), 1 - MIN_P)


def _logit(p: float) -> float:
    return math.log(_clipped(p) / (1 - _clipped(p)))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_rising(x: float, count: int) -> float:
    return lgamma(x + count) - lgamma(x)
