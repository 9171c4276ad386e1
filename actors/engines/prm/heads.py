"""A PRM's head: from the backbone's last hidden state to quantiles of the success probability.

A `ClassHead` is what PRMs are published with: logits of bad and good classes, behind an inner layer in some. An
`OffsetHead` is what calibration makes of it: outputs that add a trained offset to the logit of the class head's score.
Layers are computed in float32, what comes after them in float64.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from records.path import PrmScore
from scaling.calibration.heads import POINT, HeadSpec, score


class PrmHead(Protocol):
    """From the backbone's last hidden state, after the final norm, to a score."""

    @property
    def num_quantiles(self) -> int:
        """Quantiles that the score tells apart: 1 for a point estimate."""
        ...

    def read(self, hidden: NDArray[np.float32]) -> PrmScore:
        """The score for a hidden state [H]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A linear layer from I numbers to O.

    Attributes:
        weight: [O, I].
        bias: [O].
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The layer's outputs [O] for inputs [I]."""
        return self.weight @ inputs + self.bias

    def rows(self, start: int, end: int | None = None) -> "Linear":
        """The layer with these outputs only."""
        return Linear(self.weight[start:end], self.bias[start:end])


@dataclass(frozen=True, slots=True, eq=False)
class ClassHead:
    """Logits of classes over F features of a hidden state of size H; the score is the probability of the good ones.

    Attributes:
        bad: logits of the bad classes, from F features.
        good: those of the good ones.
        inner: from the hidden state to the features, before a ReLU; None where the hidden state is the features.
    """

    bad: Linear
    good: Linear
    inner: Linear | None = None

    @property
    def num_quantiles(self) -> int:
        """One: the head is a point estimate."""
        return 1

    def features(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the last layer reads: [F]."""
        return hidden if self.inner is None else np.maximum(self.inner(hidden), np.float32(0))

    def logit(self, features: NDArray[np.float32]) -> float:
        """The logit of the score p: log p / (1 - p)."""
        good, bad = (layer(features).astype(np.float64) for layer in (self.good, self.bad))
        return float(np.logaddexp.reduce(good) - np.logaddexp.reduce(bad))

    def read(self, hidden: NDArray[np.float32]) -> PrmScore:
        """The probability for a hidden state [H]."""
        return score(POINT, np.array([self.logit(self.features(hidden))]))


@dataclass(frozen=True, slots=True, eq=False)
class OffsetHead:
    """K outputs that say what `spec` says: the class head's logit u in its shares, and a trained offset.

    Attributes:
        base: the head that was calibrated.
        offset: from its features to K numbers.
        spec: what the outputs mean.
    """

    base: ClassHead
    offset: Linear
    spec: HeadSpec

    @property
    def num_quantiles(self) -> int:
        """One output for each level."""
        return len(self.spec.levels)

    def outputs(self, hidden: NDArray[np.float32]) -> NDArray[np.float64]:
        """The raw outputs [K] for a hidden state [H]."""
        features = self.base.features(hidden)
        start = np.array(self.spec.shares) * self.base.logit(features) + np.array(self.spec.intercepts)
        return np.asarray(start + self.offset(features).astype(np.float64))

    def read(self, hidden: NDArray[np.float32]) -> PrmScore:
        """The quantiles for a hidden state [H]."""
        return score(self.spec, self.outputs(hidden))
