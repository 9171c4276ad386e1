"""Settings beside each other on the same problems: what each gets right, what it costs, and which is the cheapest.

    comparison = compare([fixed, adaptive, other], baseline="best-of-64", margin=0.015, seed=0)
    comparison.row("adaptive").flops_ratio          value and 95% interval
    comparison.cheapest_by_flops                    label of the cheapest that is not worse by more than the margin

All settings are resampled together (`bootstrap`), or differences are taken problem by problem (`shares`), so a
difference or a ratio is one of pairs, and what makes a problem hard for both drops out. A problem that one setting says
nothing about is left out for all of them, counted, and never wrong. The order in which problems come decides nothing. A
setting that is added at the end changes who is on the front, and no number of the others unless it leaves problems out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from records.failure import NothingToCompare
from scaling.arrays import Bools, Floats, Ints
from scaling.statistics.bootstrap import IntervalEstimate, Statistic, draw_resamples, estimate, ratio_of_totals
from scaling.statistics.comparison_rows import Row, SettingsComparison, known_value, pareto_front
from scaling.statistics.risk_coverage import mean_risk
from scaling.statistics.shares import mean_difference, mean_share

__all__ = ["ByOrder", "Measured", "Row", "SettingsComparison", "comparable", "compare"]

REQUIRED = ("correct", "generated_tokens", "flops")
"""What a setting must know about a problem to be compared on it."""
_MEANS = (
    "num_samples",
    "thinking_tokens",
    "prompt_tokens",
    "cached_tokens",
    "pruned_tokens",
    "prm_tokens",
    "prm_cached_tokens",
)
"""What a setting may not know at all; if it does, a problem of which it does not is left out like the others."""
_ROUNDING = 1e-9
"""A difference smaller than this, in accuracy, is one of summation."""


@dataclass(frozen=True, slots=True, eq=False)
class ByOrder:
    """One run in each of O orders of the stored samples, where a mean over orders does not say enough; [O, P] each.

    Attributes:
        answer_p: the answer's own probability; NaN where it has none.
        correct: 1 right, 0 wrong, NaN not graded.
    """

    answer_p: Floats
    correct: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One setting (a strategy with its options, on one recipe) on P problems; arrays are [P], means over orders.

    Attributes:
        label: its name, unlike any other's.
        recipe: name of the recipe.
        strategy: name of the strategy.
        shared_with: label of the pool of samples that it was replayed on; None: it ran by itself.
        num_orders: orders of the stored samples averaged over; 1: one run.
        correct: share of orders with a right answer; NaN where that is not known or the problem failed.
        covered: share of orders with a right answer among the samples; NaN likewise.
        answer_p: the answer's own probability; NaN where it has none.
        num_samples: children sampled.
        generated_tokens: sampled, pruned ones included.
        prompt_tokens: of all generator calls.
        cached_tokens: of those, found in the prefix cache.
        pruned_tokens: generated, and in no candidate for the answer.
        prm_tokens: input of the PRM.
        prm_cached_tokens: of those, found in its prefix cache.
        flops: of generator and PRM.
        depends_on_arrival: answers are those of the samples that finish first, so they lean towards short ones.
        by_order: for the risk-coverage curve, which belongs to one run; None: `answer_p` and `correct` are of one run,
            or the curve is not known.
        fixed_at_same_tokens: share right of fixed sampling at this setting's mean tokens; None: not computed.
        thinking_tokens: of the generated ones, within thoughts; NaN, or None, where nobody tells thoughts.
    """

    label: str
    recipe: str
    strategy: str
    shared_with: str | None
    num_orders: int
    correct: Floats
    covered: Floats
    answer_p: Floats
    num_samples: Floats
    generated_tokens: Floats
    prompt_tokens: Floats
    cached_tokens: Floats
    pruned_tokens: Floats
    prm_tokens: Floats
    prm_cached_tokens: Floats
    flops: Floats
    depends_on_arrival: bool = False
    by_order: ByOrder | None = None
    fixed_at_same_tokens: Floats | None = None
    thinking_tokens: Floats | None = None

    def columns(self) -> dict[str, Floats]:
        """The arrays that a problem must be known in: required ones, and the others where any problem is."""
        found: dict[str, Floats | None] = {name: getattr(self, name) for name in (*_MEANS, "fixed_at_same_tokens")}
        known = {name: values for name, values in found.items() if values is not None and not np.isnan(values).all()}
        return {name: getattr(self, name) for name in REQUIRED} | known


def compare(
    settings: Sequence[Measured], *, baseline: str, margin: float, num_resamples: int = 2000, seed: int
) -> SettingsComparison:
    """Compare settings on the problems that all of them know.

    Args:
        settings: on the same problems, in the same order.
        baseline: label of the setting that the others are compared with.
        margin: share of problems by which a setting may be worse, such as 0.015.
        num_resamples: of the bootstrap; 0: no intervals, so that only the baseline is not worse.
        seed: of the bootstrap.

    Raises:
        NothingToCompare: there is no problem that all settings know.
        ValueError: there is no problem; arrays differ in length; labels repeat; the baseline is none of them; the
            margin is not a share.
    """
    _check(settings, baseline, margin)
    known = comparable(settings)
    if not known.any():
        counts = ", ".join(f"{item.label} {np.count_nonzero(comparable([item]))}" for item in settings)
        raise NothingToCompare(f"no problem has a verdict and its costs in every setting; problems that have: {counts}")
    reference = next(item for item in settings if item.label == baseline)
    order = _order([reference, *settings], known)
    multiplicity = draw_resamples(len(order), num_resamples, seed)
    kept = {item.label: _take(item, order) for item in settings}
    estimates = {label: _estimates(item, kept[baseline], multiplicity) for label, item in kept.items()}
    accuracy = [known_value(found["accuracy"]) for found in estimates.values()]
    by_flops, by_tokens = (
        pareto_front(accuracy, [known_value(found[cost]) for found in estimates.values()])
        for cost in ("flops", "generated_tokens")
    )
    rows = tuple(
        Row(
            label=item.label,
            recipe=item.recipe,
            strategy=item.strategy,
            shared_with=item.shared_with,
            num_orders=item.num_orders,
            depends_on_arrival=item.depends_on_arrival,
            is_baseline=item.label == baseline,
            is_not_worse=item.label == baseline or _at_least(found["accuracy_difference"].lower, -margin),
            is_not_worse_by_point=_at_least(found["accuracy_difference"].value, -margin),
            is_on_flops_front=bool(by_flops[number]),
            is_on_tokens_front=bool(by_tokens[number]),
            **found,
        )
        for number, (item, found) in enumerate(zip(settings, estimates.values(), strict=True))
    )
    return SettingsComparison(
        rows=rows,
        baseline=baseline,
        margin=margin,
        num_problems=len(order),
        num_left_out=len(known) - len(order),
        num_resamples=num_resamples,
        seed=seed,
    )


def comparable(settings: Sequence[Measured]) -> Bools:
    """Which problems [P] every setting knows: a verdict, costs, and whatever else it knows of any problem."""
    columns = [values for item in settings for values in item.columns().values()]
    return np.asarray(~np.isnan(columns).any(axis=0), dtype=np.bool_)


def _check(settings: Sequence[Measured], baseline: str, margin: float) -> None:
    labels = [item.label for item in settings]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"labels must differ, these repeat: {', '.join(repeated)}")
    if baseline not in labels:
        raise ValueError(f"the baseline {baseline!r} is none of the settings: {', '.join(labels)}")
    if not 0 <= margin <= 1:
        raise ValueError(f"the margin must be a share within [0, 1], got {margin}")
    count = len(settings[0].correct)
    if count == 0:
        raise ValueError("there must be problems to compare on")
    for item in settings:
        for name, values in _arrays(item).items():
            if values.shape != (count,):
                raise ValueError(f"{item.label}: {name} must be [{count}], got {list(values.shape)}")
        if item.by_order is not None:
            shapes = item.by_order.answer_p.shape, item.by_order.correct.shape
            if shapes != ((item.num_orders, count),) * 2:
                raise ValueError(f"{item.label}: by_order must be [{item.num_orders}, {count}], got {shapes}")


def _arrays(item: Measured) -> dict[str, Any]:
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _order(settings: Sequence[Measured], known: Bools) -> Ints:
    """The problems to keep, sorted by what the settings say about them: equal ones may change places, nothing else."""
    columns = [[*item.columns().values(), item.covered, item.answer_p, *_one_run(item)] for item in settings]
    content = np.nan_to_num(np.vstack([row for rows in columns for row in rows]), nan=-1.0).T.tolist()
    return np.array(sorted(np.flatnonzero(known), key=content.__getitem__), dtype=np.int64)


def _take(item: Measured, order: Ints) -> Measured:
    by_order = item.by_order and ByOrder(item.by_order.answer_p[:, order], item.by_order.correct[:, order])
    return replace(item, by_order=by_order, **{name: values[order] for name, values in _arrays(item).items()})


def _one_run(item: Measured) -> tuple[Floats, Floats]:
    """Probabilities and verdicts of each order, [O, P]; O is 0 where they are not known."""
    if item.by_order is not None:
        return item.by_order.answer_p, item.by_order.correct
    count = 1 if item.num_orders == 1 else 0
    return item.answer_p[np.newaxis][:count], item.correct[np.newaxis][:count]


def _estimates(item: Measured, baseline: Measured, multiplicity: Floats) -> dict[str, Any]:
    """Every number of a row by its name."""
    known = item.columns()
    ones = np.ones_like(item.correct)
    statistics = {
        name: ratio_of_totals(known[name], ones) for name in ("generated_tokens", "flops", *_MEANS) if name in known
    }
    # Over the problems in which it is known: one answer that nobody chose and nobody could grade leaves none out.
    statistics["coverage"] = mean_share(item.covered)
    statistics["accuracy"] = mean_share(item.correct)
    statistics["accuracy_difference"] = mean_difference(item.correct - baseline.correct)
    statistics["generated_tokens_ratio"] = _ratio(item.generated_tokens, baseline.generated_tokens)
    statistics["flops_ratio"] = _ratio(item.flops, baseline.flops)
    if "fixed_at_same_tokens" in known:
        statistics["fixed_difference"] = mean_difference(item.correct - known["fixed_at_same_tokens"])
    answer_p, correct = _one_run(item)
    if not np.isnan(answer_p).all():
        statistics["aurc"] = mean_risk(answer_p, correct)
    found = {name: estimate(statistic, multiplicity) for name, statistic in statistics.items()}
    unknown = IntervalEstimate(None, None, None)
    return dict.fromkeys((*_MEANS, "fixed_difference", "aurc"), unknown) | found


def _ratio(own: Floats, others: Floats) -> Statistic:
    """sum(own) / sum(others), written so that it is exactly 1 for equals, whatever the order of summation."""
    excess = ratio_of_totals(own - others, others)
    return Statistic(lambda multiplicity: 1.0 + excess.at(multiplicity), excess.num_problems)


def _at_least(number: float | None, bound: float) -> bool:
    return number is not None and number >= bound - _ROUNDING
