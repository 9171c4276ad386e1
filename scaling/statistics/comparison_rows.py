"""What a comparison of settings came to, and which of them no other one beats.

Who beats whom goes by point values, to 12 digits: what is beyond them is the order of summation.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scaling.arrays import Bools, Floats
from scaling.statistics.bootstrap import IntervalEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one setting came to. Estimates are means per problem unless said otherwise; unknown ones are null.

    Attributes:
        label, recipe, strategy, shared_with, num_orders, depends_on_arrival: as in
            `scaling.statistics.comparison.Measured`.
        is_baseline: it is what the others are compared with.
        accuracy: share of right answers.
        coverage: share of problems with a right answer among the samples.
        num_samples, flops: as in `Measured`, and all kinds of tokens likewise.
        generated_tokens_ratio: all its generated tokens over all of the baseline's.
        flops_ratio: all its FLOPs over all of the baseline's.
        accuracy_difference: its accuracy minus the baseline's.
        fixed_difference: its accuracy minus that of fixed sampling at the same tokens.
        aurc: area under risk against coverage of `answer_p` (`scaling.uncertainty.abstention`), mean over orders.
        is_not_worse: than the baseline by more than the margin, as the lower end of `accuracy_difference` has it.
        is_not_worse_by_point: the same as its value has it; weaker.
        is_on_flops_front: no other setting is as accurate for fewer FLOPs, or more accurate for as many.
        is_on_tokens_front: the same with generated tokens.
    """

    label: str
    recipe: str
    strategy: str
    shared_with: str | None
    num_orders: int
    depends_on_arrival: bool
    is_baseline: bool
    accuracy: IntervalEstimate
    coverage: IntervalEstimate
    num_samples: IntervalEstimate
    generated_tokens: IntervalEstimate
    thinking_tokens: IntervalEstimate
    pruned_tokens: IntervalEstimate
    prompt_tokens: IntervalEstimate
    cached_tokens: IntervalEstimate
    prm_tokens: IntervalEstimate
    prm_cached_tokens: IntervalEstimate
    flops: IntervalEstimate
    generated_tokens_ratio: IntervalEstimate
    flops_ratio: IntervalEstimate
    accuracy_difference: IntervalEstimate
    fixed_difference: IntervalEstimate
    aurc: IntervalEstimate
    is_not_worse: bool
    is_not_worse_by_point: bool
    is_on_flops_front: bool
    is_on_tokens_front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsComparison:
    """All settings.

    Attributes:
        rows: one for each setting, in the order given.
        baseline: label of the one that the others are compared with.
        margin: share of problems by which a setting may be worse and still count as not worse.
        num_problems: that every setting knows; all numbers are over these.
        num_left_out: problems that some setting does not know.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    rows: tuple[Row, ...]
    baseline: str
    margin: float
    num_problems: int
    num_left_out: int
    num_resamples: int
    seed: int

    @property
    def cheapest_by_flops(self) -> str:
        """Label of the cheapest setting that is not worse by more than the margin; the baseline is one of them."""
        return self._cheapest(lambda row: row.flops)

    @property
    def cheapest_by_tokens(self) -> str:
        """Label of the cheapest setting, by generated tokens, that is not worse by more than the margin."""
        return self._cheapest(lambda row: row.generated_tokens)

    def row(self, label: str) -> Row:
        """Of one setting.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if row.label == label:
                return row
        raise KeyError(label)

    def _cheapest(self, cost: Callable[[Row], IntervalEstimate]) -> str:
        """Of equals the baseline, which nobody has to change to, then the first."""
        able = sorted((row for row in self.rows if row.is_not_worse), key=lambda row: not row.is_baseline)
        return min(able, key=lambda row: _significant([known_value(cost(row))])[0]).label


def pareto_front(accuracy: Sequence[float], cost: Sequence[float]) -> Bools:
    """Which of S settings no other beats: as accurate for less, or more accurate for as much. Equals are all on it."""
    gain, price = _significant(accuracy), _significant(cost)
    no_worse = (gain[:, np.newaxis] >= gain) & (price[:, np.newaxis] <= price)
    better = (gain[:, np.newaxis] > gain) | (price[:, np.newaxis] < price)
    return np.asarray(~(no_worse & better).any(axis=0), dtype=np.bool_)


def _significant(values: Iterable[float]) -> Floats:
    return np.array([float(f"{value:.12g}") for value in values], dtype=np.float64)


def known_value(item: IntervalEstimate) -> float:
    """Of an estimate that is always known."""
    if item.value is None:
        raise ValueError("a mean over problems is known")
    return item.value
