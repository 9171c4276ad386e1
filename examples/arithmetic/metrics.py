"""Numbers computed from scored samples: selection accuracy, ranking and calibration."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.metrics import roc_auc_score

BINS: Final = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled solution: its answer (None: none given), whether it is right, its step scores.

    ``scores`` [steps]: the probabilities after each step, without the one at the bare question.
    """

    answer: int | None
    right: bool
    scores: tuple[float, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Scored:
    """All samples of a problem, and the score at its bare question."""

    level: int
    root_score: float
    samples: tuple[Sample, ...]

    @property
    def success(self) -> float:
        """Share of right samples."""
        return sum(sample.right for sample in self.samples) / len(self.samples)


AGGREGATIONS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "product": math.prod,
}


def value_of(sample: Sample, aggregation: str) -> float:
    """Aggregated score of a sample; below every score where there is no answer."""
    return AGGREGATIONS[aggregation](sample.scores) if sample.answer is not None else -1.0


def best_is_right(samples: Sequence[Sample], aggregation: str) -> float:
    """Whether the best sample by the aggregated score is right (the first of equals)."""
    return float(max(samples, key=lambda sample: value_of(sample, aggregation)).right)


def vote_is_right(samples: Sequence[Sample], aggregation: str | None) -> float:
    """Whether the answer with most votes is right, each of weight 1 or of the aggregated score."""
    votes: Counter[int] = Counter()
    rights: dict[int, bool] = {}
    for sample in samples:
        if sample.answer is not None:
            weight = 1.0 if aggregation is None else value_of(sample, aggregation)
            votes[sample.answer] += weight  # type: ignore[assignment]
            rights[sample.answer] = sample.right
    return float(rights[votes.most_common(1)[0][0]]) if votes else 0.0


def mean_over_groups(samples: Sequence[Sample], size: int, rule: Callable[[Sequence[Sample]], float]) -> float:
    """Mean of a selection rule over the disjoint groups of ``size`` samples."""
    groups = [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]
    return float(np.mean([rule(group) for group in groups]))


def selection_accuracy(problems: Sequence[Scored], sizes: Sequence[int]) -> dict[str, float]:
    """Accuracy of one sample, and of majority, PRM-best, PRM-weighted vote and coverage by sample count."""
    rules: dict[str, Callable[[Sequence[Sample]], float]] = {
        "majority": lambda group: vote_is_right(group, None),
        "weighted_vote_last": lambda group: vote_is_right(group, "last"),
        "coverage": lambda group: float(any(sample.right for sample in group)),
    }
    for name in AGGREGATIONS:
        rules[f"prm_best_{name}"] = lambda group, name=name: best_is_right(group, name)  # type: ignore[misc]
    result = {"one_sample": float(np.mean([problem.success for problem in problems]))}
    for size in sizes:
        for name, rule in rules.items():
            values = [mean_over_groups(problem.samples, size, rule) for problem in problems]
            result[f"{name}@{size}"] = float(np.mean(values))
    return result


def terminal_auc(problems: Sequence[Scored], aggregation: str) -> dict[str, float]:
    """AUC of right against wrong among answers given: mean within problems with both, and over all."""
    within: list[float] = []
    labels: list[bool] = []
    values: list[float] = []
    for problem in problems:
        answered = [sample for sample in problem.samples if sample.answer is not None]
        right = [sample.right for sample in answered]
        value = [value_of(sample, aggregation) for sample in answered]
        if any(right) and not all(right):
            within.append(float(roc_auc_score(right, value)))
        labels += right
        values += value
    return {
        "within_problem": float(np.mean(within)),
        "problems_with_both": float(len(within)),
        "over_all": float(roc_auc_score(labels, values)),
    }


def calibration(scores: Sequence[float], successes: Sequence[float], rollouts: int) -> dict[str, Any]:
    """Scores against Monte Carlo success shares of ``rollouts`` samples each.

    ``brier``: mean squared error against single outcomes; ``squared_error``: against the true
    probability, the sampling variance of the shares taken off; ``signed_error``: mean score minus mean
    success, positive where the model is over-confident; ``ece``: mean absolute gap over the bins.
    """
    score, success = np.asarray(scores), np.asarray(successes)
    spread = success * (1 - success)
    brier = float(np.mean((score - success) ** 2 + spread))
    return {
        "prefixes": len(scores),
        "rollouts_each": rollouts,
        "mean_score": float(score.mean()),
        "mean_success": float(success.mean()),
        "signed_error": float((score - success).mean()),
        "absolute_error": float(np.abs(score - success).mean()),
        "brier": brier,
        "squared_error": float(np.mean((score - success) ** 2 - spread / max(1, rollouts - 1))),
        "ece": _expected_gap(score, success),
        "bins": _reliability(score, success),
    }


def _bin_numbers(score: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.clip(np.digitize(score, BINS) - 1, 0, len(BINS) - 2)


def _expected_gap(
    score: np.ndarray[Any, np.dtype[np.float64]], success: np.ndarray[Any, np.dtype[np.float64]]
) -> float:
    number = _bin_numbers(score)
    gaps = [abs(float((score - success)[number == at].sum())) for at in range(len(BINS) - 1)]
    return sum(gaps) / len(score)


def _reliability(
    score: np.ndarray[Any, np.dtype[np.float64]], success: np.ndarray[Any, np.dtype[np.float64]]
) -> list[dict[str, float]]:
    number = _bin_numbers(score)
    rows: list[dict[str, float]] = []
    for at in range(len(BINS) - 1):
        inside = number == at
        if inside.any():
            rows.append(
                {
                    "from": BINS[at],
                    "to": BINS[at + 1],
                    "count": int(inside.sum()),
                    "mean_score": float(score[inside].mean()),
                    "mean_success": float(success[inside].mean()),
                }
            )
    return rows


def by_level(problems: Sequence[Scored]) -> dict[str, dict[str, float]]:
    """Per level: problems, success, share of problems never and always right, mean root score."""
    groups: dict[int, list[Scored]] = defaultdict(list)
    for problem in problems:
        groups[problem.level].append(problem)
    return {
        str(level): {
            "problems": len(group),
            "success": float(np.mean([problem.success for problem in group])),
            "never_right": float(np.mean([problem.success == 0 for problem in group])),
            "always_right": float(np.mean([problem.success == 1 for problem in group])),
            "root_score": float(np.mean([problem.root_score for problem in group])),
            "tokens_per_sample": float(np.mean([s.tokens for problem in group for s in problem.samples])),
        }
        for level, group in sorted(groups.items())
    }


def rounded(value: Any, digits: int = 4) -> Any:
    """Round every float in nested dicts and lists."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item, digits) for item in value]
    return round(value, digits) if isinstance(value, float) else value
