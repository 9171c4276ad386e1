"""Risk against coverage: what is left to be wrong when only the surest answers are given.

Selective classification: Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, arXiv 1705.08500.
The area under the curve (AURC) is the mean, over n = 1, 2, ..., of the share of wrong answers among the n surest. Where
answers are equally sure, which of them come first is chance: the area is the mean over their orders, so a coarse
probability is neither favoured nor punished. In a block of k equals, w of them wrong, after N others with W wrong, the
j-th has the expected risk (W + j w / k) / (N + j), and all k together, with the harmonic numbers H,

    w + (W - N w / k) (H(N + k) - H(N))

Who abstains from what is `scaling.uncertainty.abstention`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scaling.statistics.bootstrap import Statistic, divide


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """One point per distinct probability, from the surest answers only to all of them.

    Attributes:
        thresholds: answer where the probability is at least this: [K], falling.
        coverage: share of problems that are then answered: [K], rising to 1.
        risk: share of wrong answers among those: [K].
        num_problems: of all.
    """

    thresholds: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    num_problems: int

    @property
    def mean_risk(self) -> float:
        """Area under risk against coverage (AURC): the smaller, the better it knows when it is wrong."""
        answered = np.rint(self.coverage * self.num_problems)
        return float(_areas(answered[np.newaxis], (answered * self.risk)[np.newaxis])[0])

    def at(self, threshold: float) -> tuple[float, float | None]:
        """Coverage and risk when abstaining below a threshold; risk is None where nothing is answered."""
        answered = int((self.thresholds >= threshold).sum())
        if answered == 0:
            return 0.0, None
        return float(self.coverage[answered - 1]), float(self.risk[answered - 1])


def risk_coverage(probabilities: Sequence[float], correct: Sequence[bool]) -> RiskCoverage:
    """The curve of some answered problems.

    Args:
        probabilities: that each answer is right, by the system itself; for a problem without an answer 0.
        correct: whether it is; leave out what nobody could grade.

    Raises:
        ValueError: there is nothing, the lengths differ, or a probability is NaN.
    """
    p, right = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if p.shape != right.shape or len(p) == 0:
        raise ValueError(f"needs as many probabilities as verdicts, and some: got {len(p)} and {len(right)}")
    if np.isnan(p).any():
        raise ValueError("probabilities must not be NaN: an answer without one counts as 0")
    order = np.argsort(-p, kind="stable")
    last_of_equals = np.flatnonzero(np.diff(p[order], append=-np.inf))
    num_answered = last_of_equals + 1
    num_wrong = np.cumsum(~right[order])[last_of_equals]
    return RiskCoverage(p[order][last_of_equals], num_answered / len(p), num_wrong / num_answered, len(p))


def mean_risk(probabilities: NDArray[np.float64], correct: NDArray[np.float64]) -> Statistic:
    """`RiskCoverage.mean_risk` of each of O runs on the same P problems, averaged over runs; for resampled problems.

    Args:
        probabilities: [O, P], of each answer; NaN where it has none, which counts as 0.
        correct: [O, P], 1 right, 0 wrong, NaN not graded: left out of that run.
    """
    runs = [_run(p, right) for p, right in zip(probabilities, correct, strict=True)]

    def at(multiplicity: NDArray[np.float64]) -> NDArray[np.float64]:
        areas = np.stack([run(multiplicity) for run in runs])
        is_defined = ~np.isnan(areas)
        return divide(np.where(is_defined, areas, 0.0).sum(axis=0), is_defined.sum(axis=0).astype(np.float64))

    return Statistic(at, int((~np.isnan(correct)).any(axis=0).sum()))


Areas: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _run(probabilities: NDArray[np.float64], correct: NDArray[np.float64]) -> Areas:
    """Multiplicities [R, P] -> area [R] of one run; NaN where no graded problem was drawn."""
    graded = np.flatnonzero(~np.isnan(correct))
    p = np.nan_to_num(probabilities[graded], nan=0.0)
    surest_first = np.argsort(-p, kind="stable")
    ends = np.flatnonzero(np.diff(p[surest_first], append=-np.inf))
    problems = graded[surest_first]
    is_wrong = 1.0 - correct[problems]

    def area(multiplicity: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(problems) == 0:
            return np.full(len(multiplicity), np.nan)
        weights = multiplicity[:, problems]
        return _areas(np.cumsum(weights, axis=1)[:, ends], np.cumsum(weights * is_wrong, axis=1)[:, ends])

    return area


def _areas(answered: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers of answers and of wrong ones down to each block's end, [R, K] -> mean over tie orders, [R]."""
    most = int(answered[:, -1].max(initial=0))
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, most + 1))])
    before, wrong_before = (np.concatenate([np.zeros((len(x), 1)), x[:, :-1]], axis=1) for x in (answered, wrong))
    num_equal, num_wrong = answered - before, wrong - wrong_before
    share = np.divide(num_wrong, num_equal, out=np.zeros_like(num_wrong), where=num_equal > 0)
    reach = harmonic[answered.astype(np.int64)] - harmonic[before.astype(np.int64)]
    return divide((num_wrong + (wrong_before - before * share) * reach).sum(axis=1), answered[:, -1])
