"""Accuracy against tokens from a run's own samples: what fewer of them would have come to, without sampling again.

Only where requests are whole samples of the bare question. Where every problem has the same number, several orders of
them are averaged; where a strategy stopped by what it saw, only the order in which they were drawn is fair, and only up
to the number that every problem has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.recipes.sections import Recipe
from jobs.recipes.strategy_factory import strategy_factory
from jobs.reporting.graded_samples import Witness
from scaling.arrays import Floats
from scaling.statistics.bootstrap import IntervalEstimate, draw_resamples, estimate
from scaling.statistics.shares import mean_share
from scaling.stored.problem import NotStored, StoredProblem
from scaling.stored.sample_player import Outcome, play
from scaling.strategy import StrategyFactory

NUM_ORDERS = 5
NUM_RESAMPLES = 1000
COVERAGE = "a right answer among the samples"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One number of samples.

    Attributes:
        num_samples: per problem.
        tokens: generated per problem, mean.
        accuracy: with its interval over problems.
    """

    num_samples: int
    tokens: float
    accuracy: IntervalEstimate


@dataclass(frozen=True, slots=True)
class CurveLine:
    """One way to choose an answer, with more and more samples."""

    label: str
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy against tokens.

    Attributes:
        lines: empty where there is none.
        num_problems: that they are over.
        num_orders: of the samples, averaged over.
        why_not: a sentence, where there is no line.
    """

    lines: tuple[CurveLine, ...]
    num_problems: int
    num_orders: int
    why_not: str | None


def curve(witnesses: Sequence[Witness], recipe: Recipe | None, *, why_ungraded: str | None) -> Curve:
    """Play fewer samples of a run.

    Args:
        witnesses: with verdicts.
        recipe: of the run; None where nobody can read it.
        why_ungraded: why there are no verdicts; None where there are.
    """
    if recipe is None or why_ungraded is not None:
        return _none(f"there are no verdicts of single samples: {why_ungraded}")
    name = recipe.strategy.name
    if recipe.strategy.most_samples is None or not recipe.strategy.answers:
        return _none(
            f"{name} does not draw whole samples of the bare question: what it sampled hangs on what it had sampled "
            "before, so no smaller budget can be played on it. parsimony compare runs several budgets side by side"
        )
    problems = [item.stored for item in witnesses if item.stored is not None and item.stored.samples]
    if not problems:
        return _none("no problem has samples yet")
    fewest = min(len(problem.samples) for problem in problems)
    fixed = fewest == max(len(problem.samples) for problem in problems)
    num_orders = NUM_ORDERS if fixed and fewest > 1 else 1
    orders = [[problem.order(recipe.seed, number) for number in range(num_orders)] for problem in problems]
    counts = sorted({2**k for k in range(fewest.bit_length())} | {fewest})
    lines = _lines(recipe, problems, orders, counts)
    if not lines:
        return _none("no problem has a verdict")
    return Curve(tuple(lines), len(problems), num_orders, None)


def _none(why: str) -> Curve:
    return Curve((), 0, 0, why)


def _lines(
    recipe: Recipe, problems: Sequence[StoredProblem], orders: Sequence[Sequence[Sequence[int]]], counts: Sequence[int]
) -> list[CurveLine]:
    played: dict[str, list[CurvePoint | None]] = {}
    for count in counts:
        for label, strategy in _strategies(recipe, count).items():
            try:
                outcomes = [
                    [play(strategy, problem, order) for order in own]
                    for problem, own in zip(problems, orders, strict=True)
                ]
            except NotStored:  # it wants scores, and the run asked for none
                continue
            right = [[outcome.right for outcome in own] for own in outcomes]
            played.setdefault(label, []).append(_point(count, outcomes, right, recipe.seed))
            if label == "majority":
                covered = [[outcome.covered for outcome in own] for own in outcomes]
                played.setdefault(COVERAGE, []).append(_point(count, outcomes, covered, recipe.seed))
    lines = [CurveLine(label, tuple(point for point in points if point)) for label, points in played.items()]
    return [line for line in lines if line.points]


def _strategies(recipe: Recipe, num_samples: int) -> dict[str, StrategyFactory]:
    """The run's own where it takes a fixed number, and the two plain ones."""
    sections: dict[str, dict[str, object]] = {
        "best-of-n": {"name": "best-of-n", "num_samples": num_samples},
        "majority": {"name": "majority", "num_samples": num_samples},
    }
    own = recipe.strategy.model_dump()
    if own["name"] in sections:
        sections[own["name"]] = own | {"num_samples": num_samples}
    tables = recipe.model_dump()
    # It changes no answer, and not every strategy can.
    tables["answer"] |= dict.fromkeys(("abstain_below", "target_error", "risk"))
    return {
        label: strategy_factory(Recipe.model_validate(tables | {"strategy": section}))
        for label, section in sections.items()
        if label == "majority" or recipe.prm is not None
    }


def _point(
    count: int, outcomes: Sequence[Sequence[Outcome]], verdicts: Sequence[Sequence[bool | None]], seed: int
) -> CurvePoint | None:
    """Over the problems with a verdict in every order; None without any."""
    right = np.array([_mean(own) for own in verdicts])
    tokens = np.array([np.mean([outcome.cost.generated_tokens for outcome in own]) for own in outcomes])
    known = ~np.isnan(right)
    if not known.any():
        return None
    return CurvePoint(count, float(tokens[known].mean()), _accuracy(right[known], seed))


def _mean(verdicts: Sequence[bool | None]) -> float:
    return float("nan") if None in verdicts else float(np.mean([bool(verdict) for verdict in verdicts]))


def _accuracy(right: Floats, seed: int) -> IntervalEstimate:
    multiplicity = draw_resamples(len(right), NUM_RESAMPLES, seed)
    return estimate(mean_share(right), multiplicity)
