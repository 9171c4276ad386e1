"""How well methods tell the success probability of prefixes: every metric of every method, with intervals.

    before, after = Predictions(mean=scores), Predictions(mean=means, quantiles={0.1: ..., 0.5: ..., 0.9: ...})
    table = evaluate(Observed.of(rollouts), {"uncalibrated": before, "calibrated": after})
    table.methods["calibrated"]["brier"]                          value and 95% interval
    table.comparison("calibrated", "uncalibrated", "brier")       their difference and ratio, on the same resamples

Intervals come from a percentile bootstrap over problems, since prefixes of one problem are not independent. `evaluate`
gives the same table whatever the order of the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scaling.arrays import Floats
from scaling.calibration.metric_groups import Groups
from scaling.calibration.observed import Observed, Predictions
from scaling.statistics.bootstrap import MOST_LEFT_OUT, IntervalEstimate, Statistic, divide, draw_resamples, estimated

DEFAULT_LEVELS = (0.1, 0.5, 0.9)
"""Where no method has quantiles."""
LOSSES = ("brier", "ece", "pinball", "root_brier", "terminal_brier")
"""How the keys of losses begin: smaller is better, 0 is best, and a ratio of two means something."""
SHARES = ("below", "at_or_below")
"""How the keys begin that have no better or worse, only a level to meet: methods are not compared by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodComparison:
    """Two methods by one metric, on the same resamples.

    Attributes:
        method: the later one of the two in the order given to `evaluate`.
        baseline: the earlier one.
        metric: key of the metric.
        difference: method minus baseline; its interval on one side of 0 tells them apart.
        ratio: method over baseline, for losses; null otherwise, and where the baseline's estimate, or the lower end of
            its interval, is not above 0.
    """

    method: str
    baseline: str
    metric: str
    difference: IntervalEstimate
    ratio: IntervalEstimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTable:
    """All metrics of all methods on one evaluation set.

    Attributes:
        levels: of the quantiles.
        num_problems: of the set.
        num_rows: open prefixes, which the metrics are over unless their key says `terminal_`.
        num_terminal_rows: finished solutions.
        num_trials: of the open prefixes.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        reference: what belongs to the set, not to a method: success rate, noise floor, the best constants in hindsight.
        methods: method -> metric -> estimate; `scaling.calibration.metrics` defines the metrics.
        comparisons: of every method with every earlier one.
    """

    levels: tuple[float, ...]
    num_problems: int
    num_rows: int
    num_terminal_rows: int
    num_trials: int
    num_resamples: int
    seed: int
    reference: dict[str, IntervalEstimate]
    methods: dict[str, dict[str, IntervalEstimate]]
    comparisons: tuple[MethodComparison, ...]

    def comparison(self, method: str, baseline: str, metric: str) -> MethodComparison:
        """Of two methods, the later one first.

        Raises:
            KeyError: there is none.
        """
        for item in self.comparisons:
            if (item.method, item.baseline, item.metric) == (method, baseline, metric):
                return item
        raise KeyError((method, baseline, metric))


def evaluate(
    observed: Observed, methods: Mapping[str, Predictions], *, num_resamples: int = 2000, seed: int = 0
) -> EvaluationTable:
    """Every metric of every method on one evaluation set; baselines first, what is compared with them last.

    Args:
        observed: rows of the set; problems that no method was fitted on.
        methods: name -> predictions for the same rows. All that have quantiles have the same levels.
        num_resamples: of the bootstrap; 0: no intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: the set is empty, or predictions do not fit it or each other.
    """
    if len(observed) == 0:
        raise ValueError("an evaluation set must have rows")
    groups = Groups.of(observed)
    levels = _levels(observed, methods)
    multiplicity = draw_resamples(groups.all.clusters.count, num_resamples, seed)
    drawn = {
        name: {key: _Drawn.of(statistic, multiplicity) for key, statistic in groups.method(predictions, levels).items()}
        for name, predictions in methods.items()
    }
    return EvaluationTable(
        levels=levels,
        num_problems=groups.all.clusters.count,
        num_rows=len(groups.open.trials),
        num_terminal_rows=len(groups.terminal.trials),
        num_trials=int(groups.open.trials.sum()),
        num_resamples=num_resamples,
        seed=seed,
        reference={key: _Drawn.of(item, multiplicity).estimate() for key, item in groups.reference(levels).items()},
        methods={name: {key: item.estimate() for key, item in items.items()} for name, items in drawn.items()},
        comparisons=tuple(
            _compare(method, baseline, key, drawn)
            for position, method in enumerate(drawn)
            for baseline in list(drawn)[:position]
            for key in drawn[method]
            if not key.startswith(SHARES)
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """A statistic on the whole set, on each resample [R], and without each problem [P]; NaN where it is not defined.

    `left_out` is [0] where there are too many problems to leave each out.
    """

    value: float
    values: Floats
    left_out: Floats
    num_problems: int

    @classmethod
    def of(cls, statistic: Statistic, multiplicity: Floats) -> "_Drawn":
        count = multiplicity.shape[1]
        whole = statistic.at(np.ones((1, count)))
        left_out = statistic.at(1.0 - np.eye(count)) if count <= MOST_LEFT_OUT else np.empty(0)
        return cls(float(whole[0]), statistic.at(multiplicity), left_out, statistic.num_problems)

    def minus(self, other: "_Drawn") -> "_Drawn":
        return _Drawn(
            self.value - other.value,
            self.values - other.values,
            self.left_out - other.left_out,
            min(self.num_problems, other.num_problems),
        )

    def over(self, other: "_Drawn") -> "_Drawn":
        return _Drawn(
            self.value / other.value,
            divide(self.values, other.values),
            divide(self.left_out, other.left_out),
            min(self.num_problems, other.num_problems),
        )

    def estimate(self) -> IntervalEstimate:
        return estimated(self.value, self.values, self.num_problems, self.left_out if self.left_out.size else None)


def _compare(method: str, baseline: str, key: str, drawn: Mapping[str, Mapping[str, _Drawn]]) -> MethodComparison:
    one, other = drawn[method][key], drawn[baseline][key]
    has_ratio = key.startswith(LOSSES) and _positive(other.estimate())
    return MethodComparison(
        method=method,
        baseline=baseline,
        metric=key,
        difference=one.minus(other).estimate(),
        ratio=one.over(other).estimate() if has_ratio else None,
    )


def _positive(estimate: IntervalEstimate) -> bool:
    """Whether the interval lies above 0; False where it is unknown."""
    return all(number is None or number > 0 for number in (estimate.value, estimate.lower))


def _levels(observed: Observed, methods: Mapping[str, Predictions]) -> tuple[float, ...]:
    """The levels of all methods that have quantiles."""
    found = {tuple(sorted(item.quantiles)) for item in methods.values() if item.quantiles is not None}
    if len(found) > 1:
        raise ValueError(f"methods must have quantiles at the same levels, got {sorted(found)}")
    for name, predictions in methods.items():
        if len(predictions) != len(observed):
            raise ValueError(f"{name} predicts {len(predictions)} rows, the set has {len(observed)}")
    return found.pop() if found else DEFAULT_LEVELS
