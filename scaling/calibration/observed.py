"""What calibration is measured on: prefixes with counted successes, and what a method says about each of them.

Rows are in one order in every array. A row is a prefix; its share Z/N estimates the chance that a continuation of it is
right. N may differ from row to row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from records.rows import RolloutRow
from scaling.arrays import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """Prefixes and what their continuations came to; [N] arrays, one row per prefix.

    Attributes:
        problem_ids: of each row; rows of one problem depend on each other and are resampled together.
        successes: right continuations, Z.
        trials: graded continuations, N, at least 1. Rows without one say nothing: leave them out.
        terminal: finished solutions, whose one trial is their own outcome.
        depth: number of steps; 0 is the bare question.

    Raises:
        ValueError: lengths differ, or counts are impossible.
    """

    problem_ids: Sequence[str]
    successes: Ints
    trials: Ints
    terminal: Bools
    depth: Ints

    def __post_init__(self) -> None:
        for name in ("successes", "trials", "depth"):
            object.__setattr__(self, name, _whole(getattr(self, name), name))
        object.__setattr__(self, "terminal", np.asarray(self.terminal, dtype=np.bool_))
        for name in ("successes", "trials", "terminal", "depth"):
            if getattr(self, name).shape != (len(self.problem_ids),):
                raise ValueError(f"{name} must have one entry for each of {len(self.problem_ids)} problem_ids")
        if (self.trials < 1).any():
            raise ValueError("trials must be at least 1: leave prefixes without a graded continuation out")
        if (self.successes < 0).any() or (self.successes > self.trials).any():
            raise ValueError("successes must be within [0, trials]")

    @classmethod
    def of(cls, rows: Iterable[RolloutRow]) -> "Observed":
        """The rows of a rollout run, in their order."""
        rows = list(rows)
        return cls(
            problem_ids=[row.problem_id for row in rows],
            successes=np.array([row.successes for row in rows], dtype=np.int64),
            trials=np.array([row.trials for row in rows], dtype=np.int64),
            terminal=np.array([row.terminal for row in rows], dtype=np.bool_),
            depth=np.array([row.depth for row in rows], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.problem_ids)

    @property
    def share(self) -> Floats:
        """Share of right continuations, Z/N, of each row."""
        return self.successes / self.trials

    def where(self, mask: Bools) -> "Observed":
        """The rows where `mask` [N] is true."""
        return self.at(np.flatnonzero(mask))

    def at(self, rows: Ints) -> "Observed":
        """The rows of these numbers, in their order; one that comes several times is several rows."""
        return Observed(
            problem_ids=[self.problem_ids[row] for row in rows],
            successes=self.successes[rows],
            trials=self.trials[rows],
            terminal=self.terminal[rows],
            depth=self.depth[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What one method says of each row: probabilities in [0, 1].

    Attributes:
        mean: [N], estimate of the success probability.
        quantiles: level -> [N]; None for a point estimate, which stands for every quantile and for the median.

    Raises:
        ValueError: something is not within [0, 1], or not as long as the rest.
    """

    mean: Floats
    quantiles: Mapping[float, Floats] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", probabilities(self.mean, "mean"))
        if self.quantiles is None:
            return
        checked = {level: probabilities(values, f"quantile {level:g}") for level, values in self.quantiles.items()}
        if any(not 0 < level < 1 for level in checked):
            raise ValueError(f"levels must be within (0, 1), got {list(checked)}")
        if any(values.shape != self.mean.shape for values in checked.values()):
            raise ValueError("every quantile must be as long as the mean")
        object.__setattr__(self, "quantiles", checked)

    def __len__(self) -> int:
        return len(self.mean)

    def at(self, rows: Ints) -> "Predictions":
        """Of the rows of these numbers, as `Observed.at`."""
        quantiles = self.quantiles and {level: values[rows] for level, values in self.quantiles.items()}
        return Predictions(mean=self.mean[rows], quantiles=quantiles)

    def quantile(self, level: float) -> Floats:
        """The estimate [N] at a level.

        Raises:
            ValueError: the method has quantiles, but not this one.
        """
        if self.quantiles is None:
            return self.mean
        if level not in self.quantiles:
            raise ValueError(f"there is no quantile at {level:g}, only at {list(self.quantiles)}")
        return self.quantiles[level]


def probabilities(values: ArrayLike, name: str) -> Floats:
    """`values` as a flat array of numbers within [0, 1].

    Raises:
        ValueError: they are none.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one number for each row, got shape {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():  # false for NaN
        raise ValueError(f"{name} must be within [0, 1]")
    return array


def _whole(values: ArrayLike, name: str) -> Ints:
    array = np.asarray(values)
    whole = array.astype(np.int64)
    if not np.array_equal(array, whole):
        raise ValueError(f"{name} must be whole numbers")
    return whole
