"""What `parsimony estimate` found, and what follows from it for who wants an accuracy, or has so much money.

These are the keys of `estimate.json` and of `--json`. What is unknown is null, never zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from records.run_folder.prediction import Prediction, Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """What a strategy gets for the money.

    Attributes:
        strategy: its name.
        num_problems: that it pays for, with 95% confidence: the upper end of the cost's interval counts.
        share: of all problems.
        startup_usd: what starting the replicas costs, whatever follows.
        total_tokens: the cap that keeps a run within the money, for `budget.total_tokens`; None: it pays for none.
        right: expected right answers among them; None where nothing could be graded.
    """

    strategy: str
    num_problems: int
    share: float
    startup_usd: float
    total_tokens: int | None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyEstimate:
    """One strategy.

    Attributes:
        strategy: as it was written.
        run: the run that its pilot began.
        goes_on: the command that goes on with it.
        pilot_graded: problems of the pilot with a verdict; `pilot_right` of them are right.
        pilot_failed: problems of the pilot that failed, the first one with `first_error`.
        without: caps of the real run that the prediction leaves out.
        generators_per_prm: replicas of the one that keep one of the other as busy as themselves; None without a PRM.
        replicas: what the run takes, for each number of replicas asked for, or the recipe's.
    """

    strategy: str
    run: str
    goes_on: str
    pilot_graded: int
    pilot_right: int
    pilot_failed: int
    first_error: str | None
    without: tuple[str, ...]
    generators_per_prm: float | None
    replicas: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """All that an estimate found: each strategy, and what follows for who wants an accuracy or has a budget."""

    problems: str
    num_problems: int
    pilot_problems: int
    strategies: tuple[StrategyEstimate, ...]
    advice: Advice


def advise(
    predictions: Mapping[str, Prediction],
    startup_s: Mapping[str, float],
    graded: Mapping[str, float],
    *,
    accuracy: float | None,
    max_usd: float | None,
) -> Advice:
    """Advise.

    Args:
        predictions: strategy -> what a run over all problems takes, on the replicas asked for first.
        startup_s: strategy -> seconds before the first problem; they are paid for whatever number of problems follows.
        graded: strategy -> share of problems whose answer can be graded; no right answer is expected of others.
        accuracy: that is wanted.
        max_usd: what may be spent. A strategy without a price is not spoken of.
    """
    priced = all(found.usd is not None for found in predictions.values())
    enough = [
        name
        for name, found in predictions.items()
        if accuracy is not None and found.accuracy is not None and found.accuracy.estimate >= accuracy
    ]
    affordable = [
        _affordable(name, found, found.usd, startup_s=startup_s[name], graded=graded[name], max_usd=max_usd)
        for name, found in predictions.items()
        if max_usd is not None and found.usd is not None
    ]
    return Advice(
        accuracy=accuracy,
        cheapest=min(enough, key=lambda name: _cost(predictions[name], priced), default=None),
        by="usd" if priced else "flops",
        max_usd=max_usd,
        affordable=tuple(sorted(affordable, key=lambda one: -(one.right if one.right is not None else one.share))),
    )


def _cost(found: Prediction, priced: bool) -> float:
    return found.usd.estimate if priced and found.usd is not None else found.flops.estimate


def _affordable(
    name: str, found: Prediction, usd: Range, *, startup_s: float, graded: float, max_usd: float
) -> Affordable:
    """Cost grows with the problems, from the start-up on."""
    startup_usd = usd.estimate * min(1.0, startup_s / found.wall_seconds.estimate)
    share = min(1.0, max(0.0, (max_usd - startup_usd) / max(usd.upper - startup_usd, 1e-12)))
    return Affordable(
        strategy=name,
        num_problems=int(share * found.num_problems),
        share=share,
        startup_usd=startup_usd,
        total_tokens=int(share * found.tokens["generated"].upper) or None,
        right=share * found.num_problems * graded * found.accuracy.estimate if found.accuracy is not None else None,
    )
