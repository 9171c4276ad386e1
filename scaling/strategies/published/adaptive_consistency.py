"""Adaptive-Consistency: self-consistency that stops once its majority is sure (Aggarwal et al., arXiv 2305.11860).

    draw a wave of samples; v1 >= v2 the votes of the two most frequent answers
    stop when P(share of the first > 1/2 | Beta(v1 + 1, v2 + 1)) >= confidence, or at `num_samples`

The paper's wave is one sample, its confidence 0.95, its cap 40. Ours: sampling also ends when the samples that are left
cannot overtake the majority, which changes no answer. Samples without an answer do not vote.
"""

from collections import Counter

from scipy.special import betainc

from records.path import Path
from records.request import Expand, ReplyKind, Until
from scaling.answers.stated import answer_of, form_of
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.selection import choose_by_vote


def adaptive_consistency(
    root: Path, *, limits: SearchLimits, num_samples: int, wave_size: int = 1, confidence: float = 0.95
) -> Strategy:
    """Sample in waves of `wave_size`, at most `num_samples` in all, and vote."""
    samples: list[Path] = []
    votes: Counter[str] = Counter()
    while len(samples) < num_samples:
        wave = min(wave_size, num_samples - len(samples))
        reply = yield Expand(((root, wave),), Until.END, limits.max_tokens)
        samples += reply.paths
        if reply.kind is not ReplyKind.FULL:
            break
        answers = (answer_of(path) for path in reply.paths)
        votes.update(form_of(root, answer) for answer in answers if answer is not None)
        first, second = [*(count for _, count in votes.most_common(2)), 0, 0][:2]
        if first - second > num_samples - len(samples) or majority_probability(first, second) >= confidence:
            break
    return choose_by_vote(samples, None)


def majority_probability(first: int, second: int) -> float:
    """P(share > 1/2) under Beta(first + 1, second + 1), the posterior of the first answer's share of two; 0.5 for 0, 0.

    Args:
        first: votes of the most frequent answer.
        second: votes of the next.
    """
    return float(betainc(second + 1, first + 1, 0.5))  # the upper tail, without the loss of 1 - the lower
