"""How well methods tell the success probability of prefixes: every metric of every method, with intervals.

    observed = Observed.of(rollouts)
    table = evaluate(observed, {"uncalibrated": Predictions(mean=scores), "calibrated": Predictions(mean=..., quantiles=...)})
    table.methods["calibrated"]["brier"]                          value and 95% interval
    table.comparison("calibrated", "uncalibrated", "brier")       their difference and ratio, on the same resamples

Intervals come from a percentile bootstrap over problems, since prefixes of one problem are not independent. `evaluate`
gives the same table whatever the order of the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scaling.calibration import Observed, Predictions


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with a 95% interval.

    Attributes:
        value: null where it is not defined (no row, no pair).
        lower: ends of the interval (`upper` alike); null where fewer than two problems say something.
    """

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two methods by one metric, on the same resamples.

    Attributes:
        method: the later one of the two in the order given to `evaluate`.
        baseline: the earlier one.
        metric: key of the metric.
        difference: method minus baseline; its interval on one side of 0 tells them apart.
        ratio: method over baseline, for metrics that are losses; null otherwise, or where the baseline's is 0.
    """

    method: str
    baseline: str
    metric: str
    difference: Estimate
    ratio: Estimate | None


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
        methods: method -> metric -> estimate; `scaling.calibration_metrics` defines the metrics.
        comparisons: of every method with every earlier one.
    """

    levels: tuple[float, ...]
    num_problems: int
    num_rows: int
    num_terminal_rows: int
    num_trials: int
    num_resamples: int
    seed: int
    reference: dict[str, Estimate]
    methods: dict[str, dict[str, Estimate]]
    comparisons: tuple[Comparison, ...]

    def comparison(self, method: str, baseline: str, metric: str) -> Comparison:
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
    raise NotImplementedError
