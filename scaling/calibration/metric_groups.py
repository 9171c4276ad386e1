"""Which metric is computed over which rows of an evaluation set.

Open prefixes are what the paper's numbers are over, and all metrics here unless their key says otherwise. Finished
solutions (`terminal_`) are scored to choose an answer; their one trial has no noise floor. The bare question (`root_`)
is what a budget is set by before anything is sampled.
"""

from dataclasses import dataclass

import numpy as np

from scaling.arrays import Bools
from scaling.calibration import metrics
from scaling.calibration.metrics import Rows
from scaling.calibration.observed import Observed, Predictions
from scaling.statistics.bootstrap import Statistic


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """A set's rows in three groups.

    Attributes:
        all: every row.
        is_open: [N], not terminal.
        is_root: [N], open and of depth 0.
    """

    all: Rows
    is_open: Bools
    is_root: Bools

    @classmethod
    def of(cls, observed: Observed) -> "Groups":
        return cls(Rows.of(observed), ~observed.terminal, ~observed.terminal & (observed.depth == 0))

    @property
    def open(self) -> Rows:
        return self.all.where(self.is_open)

    @property
    def root(self) -> Rows:
        return self.all.where(self.is_root)

    @property
    def terminal(self) -> Rows:
        return self.all.where(~self.is_open)

    def reference(self, levels: tuple[float, ...]) -> dict[str, Statistic]:
        """What belongs to the set. The best constants are found in hindsight, once for all resamples."""
        rows, share = self.open, self.open.share
        found = {
            "success_rate": metrics.success_rate(rows),
            "noise_floor": metrics.noise_floor(rows),
            "root_success_rate": metrics.success_rate(self.root),
            "root_noise_floor": metrics.noise_floor(self.root),
            "terminal_success_rate": metrics.success_rate(self.terminal),
        }
        if len(share) == 0:
            return found
        best = np.quantile(share, levels, method="inverted_cdf")
        quantiles = {level: np.full(len(share), value) for level, value in zip(levels, best, strict=True)}
        constant = Predictions(mean=np.full(len(share), share.mean()), quantiles=quantiles)
        found["constant_brier"] = metrics.brier(rows, constant.mean)
        return found | {f"constant_{key}": item for key, item in _pinballs(rows, constant, levels).items()}

    def method(self, predictions: Predictions, levels: tuple[float, ...]) -> dict[str, Statistic]:
        """Every metric of one method."""
        terminal = ~self.is_open
        found = _of_open(self.open, _where(predictions, self.is_open), levels)
        root = predictions.mean[self.is_root]
        found["root_brier"] = metrics.brier(self.root, root)
        found["root_signed_error"] = metrics.signed_error(self.root, root)
        found["terminal_brier"] = metrics.brier(self.terminal, predictions.mean[terminal])
        found["terminal_signed_error"] = metrics.signed_error(self.terminal, predictions.mean[terminal])
        found["terminal_auc_within"] = metrics.auc_within(self.terminal, predictions.mean[terminal])
        if 0.5 in levels:
            median = predictions.quantile(0.5)[terminal]
            found["terminal_auc_within_median"] = metrics.auc_within(self.terminal, median)
        return found


def _of_open(rows: Rows, predictions: Predictions, levels: tuple[float, ...]) -> dict[str, Statistic]:
    mean = predictions.mean
    found = {
        "brier": metrics.brier(rows, mean),
        "brier_above_floor": metrics.brier_above_floor(rows, mean),
        "brier_of_outcomes": metrics.brier_of_outcomes(rows, mean),
        "brier_over": metrics.brier_over(rows, mean),
        "brier_by_problem": metrics.brier_by_problem(rows, mean),
        "signed_error": metrics.signed_error(rows, mean),
        "ece_equal_width": metrics.calibration_error(rows, mean, metrics.equal_width_bins(mean)),
        "ece_equal_mass": metrics.calibration_error(rows, mean, metrics.equal_mass_bins(mean)),
        "auc": metrics.auc_of_trials(rows, mean),
        "auc_within": metrics.auc_within(rows, mean),
    }
    if 0.5 in levels:
        median = predictions.quantile(0.5)
        found["brier_median"] = metrics.brier(rows, median)
        found["auc_within_median"] = metrics.auc_within(rows, median)
    found |= _pinballs(rows, predictions, levels)
    for level in levels:
        quantile = predictions.quantile(level)
        found[f"below@{level:g}"] = metrics.share_below(rows, quantile)
        found[f"below_snapped@{level:g}"] = metrics.share_below_snapped(rows, quantile)
        found[f"at_or_below@{level:g}"] = metrics.share_at_or_below(rows, quantile)
    return found


def _pinballs(rows: Rows, predictions: Predictions, levels: tuple[float, ...]) -> dict[str, Statistic]:
    """At each level, and the mean of the levels' losses."""
    quantiles = {level: predictions.quantile(level) for level in levels}
    losses = [metrics.pinball_losses(rows.share, quantile, level) for level, quantile in quantiles.items()]
    return {
        **{f"pinball@{level:g}": metrics.pinball(rows, quantile, level) for level, quantile in quantiles.items()},
        "pinball_mean": rows.mean(np.mean(losses, axis=0)),
    }


def _where(predictions: Predictions, mask: Bools) -> Predictions:
    quantiles = predictions.quantiles
    kept = None if quantiles is None else {level: values[mask] for level, values in quantiles.items()}
    return Predictions(mean=predictions.mean[mask], quantiles=kept)
