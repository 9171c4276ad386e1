"""Adaptive-Consistency: self-consistency that stops once its majority is sure (Aggarwal et al., arXiv 2305.11860).

    draw samples; v1 >= v2 the votes of the two most frequent answers
    stop when P(share of the first > 1/2 | Beta(v1 + 1, v2 + 1)) >= confidence, or at `num_samples`

The paper draws one sample after the other, its confidence is 0.95, its cap 40. Ours: `wave_size` of them at a time,
which are looked at when all are there, or one by one (`scaling.strategies.as_they_finish`); sampling also ends when the
samples that are left cannot overtake the majority, which changes no answer. Samples without an answer do not vote.
"""

from collections import Counter

from scipy.special import betainc

from records.path import Path
from records.request import Expand, ReplyKind, Until
from scaling.answers.stated import answer_of, form_of
from scaling.strategies.as_they_finish import Look, as_they_finish
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.selection import choose_by_vote, two_most


def adaptive_consistency(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    wave_size: int = 1,
    confidence: float = 0.95,
    look: Look = Look.WAVES,
) -> Strategy:
    """Sample `wave_size` at a time, at most `num_samples` in all, and vote."""
    votes: Counter[str] = Counter()

    def vote(path: Path) -> None:
        answer = answer_of(path)
        if answer is not None:
            votes[form_of(root, answer)] += 1

    def sure(num_left: int) -> bool:
        first, second = two_most(votes.values())
        return first - second > num_left or majority_probability(first, second) >= confidence

    def enough(path: Path, num_left: int) -> bool:
        vote(path)
        return sure(num_left)

    if look is not Look.WAVES:
        one = Expand(((root, 1),), Until.END, limits.max_tokens)
        came = yield from as_they_finish(one, num_samples=num_samples, at_once=wave_size, look=look, enough=enough)
        return choose_by_vote(came, None)
    samples: list[Path] = []
    while len(samples) < num_samples:
        wave = min(wave_size, num_samples - len(samples))
        reply = yield Expand(((root, wave),), Until.END, limits.max_tokens)
        samples += reply.paths
        if reply.kind is not ReplyKind.FULL:
            break
        for path in reply.paths:
            vote(path)
        if sure(num_samples - len(samples)):
            break
    return choose_by_vote(samples, None)


def majority_probability(first: float, second: float) -> float:
    """P(share > 1/2) under Beta(first + 1, second + 1), the posterior of the first answer's share of two; 0.5 for 0, 0.

    Args:
        first: votes of the most frequent answer.
        second: votes of the next.
    """
    return float(betainc(second + 1, first + 1, 0.5))  # the upper tail, without the loss of 1 - the lower
