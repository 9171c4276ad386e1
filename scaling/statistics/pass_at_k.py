"""pass@k: the chance that k samples of a problem hold a right one, from n samples of which c are right.

    pass@k = 1 - C(n - c, k) / C(n, k)        M. Chen et al., Evaluating Large Language Models Trained on Code
                                              (arXiv 2107.03374), equation 1: unbiased, the mean over all subsets of k

Coverage at n samples (is one of them right?) is pass@n of the same problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.statistics.bootstrap import IntervalEstimate, draw_resamples, estimate
from scaling.statistics.shares import mean_share

NUM_PASS_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class PassAtK:
    """pass@k over problems, with its interval over them."""

    k: int
    num_problems: int
    share: IntervalEstimate


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """The estimate for one problem, in [0, 1].

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2), pass_at_k(4, 4, 3)
    (0.25, 0.5, 1.0)

    Args:
        num_samples: n, that were drawn.
        num_right: c, of these.
        k: at least 1 and at most n.

    Raises:
        ValueError: the counts are out of range.
    """
    if not (0 <= num_right <= num_samples and 1 <= k <= num_samples):
        raise ValueError(f"0 <= c <= n and 1 <= k <= n must hold: n={num_samples}, c={num_right}, k={k}")
    all_wrong = 1.0
    for at in range(k):
        all_wrong *= max(0, num_samples - num_right - at) / (num_samples - at)
    return 1.0 - all_wrong


def pass_rates(outcomes: Sequence[Sequence[bool]], seed: int) -> list[PassAtK]:
    """pass@k at 1, 2, 4, ... and the fewest samples that any problem has.

    Args:
        outcomes: of each problem, whether each sample is right; none for one without samples, which is left out.
        seed: of the bootstrap.
    """
    known = [own for own in outcomes if own]
    fewest = min((len(own) for own in known), default=0)
    rates, multiplicity = [], draw_resamples(max(1, len(known)), NUM_PASS_RESAMPLES, seed)
    for k in sorted({2**at for at in range(fewest.bit_length())} | {fewest} - {0}):
        shares = np.array([pass_at_k(len(own), sum(own), k) for own in known])
        rates.append(PassAtK(k, len(known), estimate(mean_share(shares), multiplicity)))
    return rates
