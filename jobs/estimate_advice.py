"""What follows from an estimate for who wants an accuracy, or has so much money."""

from collections.abc import Mapping
from dataclasses import dataclass

from records.failure import InvalidInput
from records.prediction import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """What a strategy gets for the money.

    Attributes:
        strategy: its name.
        num_problems: that it pays for, with 95% confidence: the upper end of the cost's interval counts.
        share: of all problems.
        total_tokens: the cap that keeps a run within the money, for `budget.total_tokens`.
        right: expected right answers among them; None where nothing could be graded.
    """

    strategy: str
    num_problems: int
    share: float
    total_tokens: int
    right: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to take.

    Attributes:
        accuracy: that is wanted; None if nobody said.
        cheapest: the strategy that gets it for least; None where none does, or nobody asked.
        by: what "least" means: "usd", or "flops" where some price is unknown.
        max_usd: what may be spent; None if nobody said.
        affordable: what each strategy gets for it, the one with most right answers first.
    """

    accuracy: float | None
    cheapest: str | None
    by: str
    max_usd: float | None
    affordable: tuple[Affordable, ...]


def advise(
    predictions: Mapping[str, Prediction],
    startup_s: Mapping[str, float],
    *,
    accuracy: float | None,
    max_usd: float | None,
) -> Advice:
    """Advise.

    Args:
        predictions: strategy -> what a run over all problems takes, on the replicas asked for first.
        startup_s: strategy -> seconds before the first problem; they are paid for whatever number of problems follows.
        accuracy: that is wanted.
        max_usd: what may be spent.

    Raises:
        InvalidInput: money is spoken of, and some strategy has no price.
    """
    priced = all(found.usd is not None for found in predictions.values())
    if max_usd is not None and not priced:
        raise InvalidInput("--max-usd: no price is known; name the instances in [cost] of the recipe (docs/cost.md)")
    enough = [
        name
        for name, found in predictions.items()
        if accuracy is not None and found.accuracy is not None and found.accuracy.estimate >= accuracy
    ]
    affordable = []
    for name, found in predictions.items() if max_usd is not None else ():
        affordable.append(_affordable(name, found, startup_s[name], max_usd or 0.0))
    return Advice(
        accuracy=accuracy,
        cheapest=min(enough, key=lambda name: _cost(predictions[name], priced), default=None),
        by="usd" if priced else "flops",
        max_usd=max_usd,
        affordable=tuple(sorted(affordable, key=lambda one: -(one.right if one.right is not None else one.share))),
    )


def _cost(found: Prediction, priced: bool) -> float:
    return found.usd.estimate if priced and found.usd is not None else found.flops.estimate


def _affordable(name: str, found: Prediction, startup_s: float, max_usd: float) -> Affordable:
    """Cost grows with the problems, from the start-up on."""
    assert found.usd is not None  # noqa: S101 (asked before)
    startup_usd = found.usd.estimate * min(1.0, startup_s / found.wall_seconds.estimate)
    share = min(1.0, max(0.0, (max_usd - startup_usd) / max(found.usd.upper - startup_usd, 1e-12)))
    return Affordable(
        strategy=name,
        num_problems=int(share * found.num_problems),
        share=share,
        total_tokens=int(share * found.tokens["generated"].upper),
        right=share * found.num_problems * found.accuracy.estimate if found.accuracy is not None else None,
    )
