"""Statistics of a finished run: how sure an accuracy is, and how well scores tell right answers from wrong ones."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


def accuracy_interval(num_correct: int, num_graded: int, level: float = 0.95) -> tuple[float, float] | None:
    """Wilson score interval of an accuracy, in [0, 1]; None when nothing was graded.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927), 209-212. Unlike
    the normal approximation it stays within [0, 1] and has a width where all or none are correct.

    >>> [(round(lower, 3), round(upper, 3)) for lower, upper in (accuracy_interval(8, 10), accuracy_interval(10, 10))]
    [(0.49, 0.943), (0.722, 1.0)]

    Args:
        num_correct: problems graded as correct.
        num_graded: problems with a verdict; those without one (null) belong in neither number.
        level: confidence, in (0, 1).

    Raises:
        ValueError: the counts or the level are out of range.
    """
    if not 0 <= num_correct <= num_graded:
        raise ValueError(f"num_correct must be within [0, num_graded], got {num_correct} of {num_graded}")
    if not 0 < level < 1:
        raise ValueError(f"level must be within (0, 1), got {level}")
    if num_graded == 0:
        return None
    # In closed form, because scipy.stats takes longer to load than all else that the status of a run needs.
    z, share = NormalDist().inv_cdf((1 + level) / 2), num_correct / num_graded
    middle = share + z**2 / (2 * num_graded)
    half = z * math.sqrt(share * (1 - share) / num_graded + z**2 / (4 * num_graded**2))
    lower, upper = ((middle + sign * half) / (1 + z**2 / num_graded) for sign in (-1, 1))
    return (0.0 if num_correct == 0 else lower), (1.0 if num_correct == num_graded else upper)


def auc_of_paths(scores: Sequence[float], correct: Sequence[bool]) -> float | None:
    """Chance that a random correct path scores above a random wrong one, ties counting half; None without such a pair.

    Over paths of many problems this mostly measures whether the score knows hard problems from easy ones; see
    `within_problem_auc`.
    """
    ordered, num_pairs = _ordered_pairs(np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=np.bool_))
    return ordered / num_pairs if num_pairs else None


def within_problem_auc(problem_ids: Sequence[str], scores: Sequence[float], correct: Sequence[bool]) -> float | None:
    """`auc_of_paths` over pairs of one problem only, pooled over problems: what choosing an answer depends on.

    >>> problem_ids = ["easy", "easy", "easy", "hard", "hard", "hard"]
    >>> scores = [0.8, 0.9, 0.85, 0.1, 0.2, 0.15]  # they know an easy problem, and not a right answer
    >>> correct = [True, True, False, False, False, True]
    >>> auc_of_paths(scores, correct), within_problem_auc(problem_ids, scores, correct)
    (0.6666666666666666, 0.5)
    """
    paths_of: dict[str, list[tuple[float, bool]]] = {}
    for problem_id, score, is_correct in zip(problem_ids, scores, correct, strict=True):
        paths_of.setdefault(problem_id, []).append((score, is_correct))
    total_ordered, total_pairs = 0.0, 0
    for paths in paths_of.values():
        ordered, num_pairs = _ordered_pairs(
            np.array([score for score, _ in paths], dtype=np.float64), np.array([right for _, right in paths])
        )
        total_ordered += ordered
        total_pairs += num_pairs
    return total_ordered / total_pairs if total_pairs else None


def _ordered_pairs(scores: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[float, int]:
    """How many (correct, wrong) pairs are ordered rightly, ties as half (Mann-Whitney U), and how many there are."""
    if scores.shape != correct.shape:
        raise ValueError(f"scores and correct must be as long as each other, got {len(scores)} and {len(correct)}")
    if np.isnan(scores).any():
        raise ValueError("scores must not be NaN: leave unscored paths out")
    num_correct = int(correct.sum())
    num_pairs = num_correct * (len(correct) - num_correct)
    if num_pairs == 0:
        return 0.0, 0
    from scipy.stats import rankdata  # noqa: PLC0415 (as above)

    rank_sum = float(rankdata(scores)[correct].sum())
    return rank_sum - num_correct * (num_correct + 1) / 2, num_pairs
