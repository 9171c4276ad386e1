"""What the numbers of a PRM's head mean: from its raw outputs to a mean and to quantiles of the success probability.

Three kinds. `probability` gives one logit of one probability, which stands for the mean and for every quantile.
`quantile` gives one logit per level; their sigmoids, sorted, are the quantiles. `beta-binomial` gives the logit of the
mean and the logarithm of the concentration of a Beta distribution of the success probability, under which Z successes
of N trials are Beta-Binomial.

Whatever the outputs are, means and quantiles lie within [0, 1] and quantiles do not fall with their level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit

from records.failure import InvalidInput
from records.path import PrmScore
from scaling.arrays import Floats

PROBABILITY, QUANTILE, BETA_BINOMIAL = "probability", "quantile", "beta-binomial"
KINDS = (PROBABILITY, QUANTILE, BETA_BINOMIAL)
MEDIAN = 0.5
LEVELS = (0.1, 0.5, 0.9)
INITIAL_CONCENTRATION = 2.0
"""Of an untrained Beta-Binomial head: with a mean of 1/2 the Beta distribution is uniform."""
MIN_CONCENTRATION, MAX_CONCENTRATION = 1e-2, 1e4
"""A Beta-Binomial head's concentration is kept within: nearly all mass at 0 and 1, and next to a point."""
MIN_SHAPE = 1e-8
"""Of the Beta distribution's a and b: a mean that rounds to 0 or 1 still gives one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """What a head's outputs mean.

    Attributes:
        kind: "probability", "quantile" or "beta-binomial".
        levels: of the quantiles, increasing within (0, 1), 0.5 among them; the first is served as the lower, the last
            as the upper. A probability has the one level 0.5.
        concentration: of a Beta-Binomial head before training, c0; unused by the others.
        lower_shift: subtracted from the lower quantile, by split conformal prediction; 0 for none.
    """

    kind: str
    levels: tuple[float, ...] = LEVELS
    concentration: float = INITIAL_CONCENTRATION
    lower_shift: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no head.

        Raises:
            InvalidInput: names the field.
        """
        if self.kind not in KINDS:
            raise InvalidInput(f"head.kind is {self.kind[:100]!r}; it must be one of {', '.join(KINDS)}")
        levels = self.levels
        if list(levels) != sorted(set(levels)) or MEDIAN not in levels or not 0 < levels[0] <= levels[-1] < 1:
            raise InvalidInput(
                f"head.levels is {str(list(levels))[:100]}; they must increase, lie between 0 and 1, and contain 0.5"
            )
        if self.kind == PROBABILITY and (levels != (MEDIAN,) or self.lower_shift != 0):
            raise InvalidInput("head: a probability has no levels and no shift")
        if not MIN_CONCENTRATION <= self.concentration <= MAX_CONCENTRATION:
            raise InvalidInput(
                f"head.concentration is {self.concentration}; it must be within "
                f"[{MIN_CONCENTRATION:g}, {MAX_CONCENTRATION:g}]"
            )
        if not -1 <= self.lower_shift <= 1:
            raise InvalidInput(f"head.lower_shift is {self.lower_shift}; it must be within [-1, 1]")

    @property
    def num_outputs(self) -> int:
        """K: the numbers that the head gives for one hidden state."""
        return 2 if self.kind == BETA_BINOMIAL else len(self.levels)

    @property
    def shares(self) -> tuple[float, ...]:
        """How much of the uncalibrated score's logit is in each output: [K]."""
        return (1.0, 0.0) if self.kind == BETA_BINOMIAL else (1.0,) * len(self.levels)

    @property
    def intercepts(self) -> tuple[float, ...]:
        """What else is in each output before training: [K]."""
        return (0.0, math.log(self.concentration)) if self.kind == BETA_BINOMIAL else (0.0,) * len(self.levels)

    def to_json(self) -> dict[str, object]:
        """As it stands in prm_config.json; what a kind does not use is left out."""
        if self.kind == PROBABILITY:
            return {"kind": self.kind}
        content: dict[str, object] = {"kind": self.kind, "levels": list(self.levels), "lower_shift": self.lower_shift}
        return content | ({"concentration": self.concentration} if self.kind == BETA_BINOMIAL else {})

    @staticmethod
    def from_json(content: object) -> "HeadSpec":
        """What `to_json` gave.

        Raises:
            InvalidInput: it is something else; names the field.
        """
        if not isinstance(content, dict):
            raise InvalidInput(f"head is {str(content)[:100]!r}; it must be an object with a kind")
        kind = content.get("kind")
        levels: object
        if kind == PROBABILITY:
            known, levels = {"kind"}, (MEDIAN,)
        else:
            known, levels = {"kind", "levels", "lower_shift", "concentration"}, content.get("levels")
        if unknown := set(content) - known:
            raise InvalidInput(
                f"head: unknown {', '.join(sorted(unknown))[:100]}; known are {', '.join(sorted(known))}"
            )
        if not isinstance(levels, list | tuple) or not all(map(_is_number, levels)):
            raise InvalidInput(f"head.levels is {str(levels)[:100]}; it must be a list of numbers")
        return HeadSpec(
            kind=str(kind),
            levels=tuple(map(float, levels)),
            concentration=_number(content, "concentration", INITIAL_CONCENTRATION),
            lower_shift=_number(content, "lower_shift", 0.0),
        )


POINT = HeadSpec(kind=PROBABILITY, levels=(MEDIAN,))
"""One logit of one probability."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadPrediction:
    """The success probability of N prefixes, as a head sees it.

    Attributes:
        mean: [N].
        quantiles: [N, L], of the L levels asked for, not falling along the last axis.
    """

    mean: Floats
    quantiles: Floats


def predict_success(spec: HeadSpec, outputs: NDArray[np.floating[Any]], levels: Sequence[float]) -> HeadPrediction:
    """Mean and quantiles for a head's outputs.

    A quantile head has only its own levels; its mean is the integral of the piecewise linear quantile function through
    (0, first quantile), the levels, and (1, last quantile). `lower_shift` moves the quantiles up to the first level,
    within 0 and the quantile above, and leaves the mean.

    >>> crossed = np.array([[1.0, 0.0, 2.0]])  # the logit at level .1 is above the one at .5
    >>> predict_success(HeadSpec(kind=QUANTILE), crossed, LEVELS).quantiles.round(3).tolist()
    [[0.5, 0.731, 0.881]]
    >>> uniform = np.array([[0.0, math.log(2.0)]])  # the logit of the mean 1/2, and the concentration 2: Beta(1, 1)
    >>> predict_success(HeadSpec(kind=BETA_BINOMIAL), uniform, LEVELS).quantiles.round(3).tolist()
    [[0.1, 0.5, 0.9]]
    >>> predict_success(HeadSpec(kind=BETA_BINOMIAL, lower_shift=0.05), uniform, LEVELS).quantiles.round(3).tolist()
    [[0.05, 0.5, 0.9]]

    Args:
        spec: of the head.
        outputs: [N, K].
        levels: increasing, within (0, 1).

    Raises:
        ValueError: the outputs or levels are not those of this head.
    """
    if outputs.ndim != 2 or outputs.shape[1] != spec.num_outputs:
        raise ValueError(f"outputs must be [N, {spec.num_outputs}], got {list(outputs.shape)}")
    if list(levels) != sorted(set(levels)) or any(not 0 < level < 1 for level in levels):
        raise ValueError(f"levels must increase within (0, 1), got {list(levels)}")
    z = np.asarray(outputs, dtype=np.float64)
    if spec.kind == PROBABILITY:
        mean = expit(z[:, 0])
        return HeadPrediction(mean, np.repeat(mean[:, None], len(levels), axis=1))
    if spec.kind == QUANTILE:
        if not set(levels) <= set(spec.levels):
            raise ValueError(f"a head of the levels {list(spec.levels)} has no quantiles at {list(levels)}")
        own = np.sort(expit(z), axis=1)
        shifted = _shift_lower(own, spec.levels, spec)
        return HeadPrediction(
            _mean_of_quantiles(own, spec.levels), shifted[:, [spec.levels.index(each) for each in levels]]
        )
    a, b = beta_shapes(z)
    wanted = sorted({*levels, *spec.levels})
    quantiles = betaincinv(a[:, None], b[:, None], np.array(wanted))
    quantiles = np.maximum.accumulate(quantiles, axis=1)  # the inversion is exact to rounding only
    shifted = _shift_lower(quantiles, wanted, spec)
    return HeadPrediction(expit(z[:, 0]), shifted[:, [wanted.index(each) for each in levels]])


def score(spec: HeadSpec, outputs: NDArray[np.floating[Any]]) -> PrmScore:
    """What is served for one hidden state: the quantiles at the first level, at 0.5 and at the last.

    Args:
        spec: of the head.
        outputs: [K].
    """
    levels = sorted({spec.levels[0], MEDIAN, spec.levels[-1]})
    quantiles = predict_success(spec, outputs[None, :], levels).quantiles[0]
    return PrmScore(
        lower=float(quantiles[0]), median=float(quantiles[levels.index(MEDIAN)]), upper=float(quantiles[-1])
    )


def beta_shapes(outputs: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
    """The shapes a and b of the Beta distribution, each [N], of a Beta-Binomial head's outputs [N, 2].

    The first output is the logit of the mean m, the second the logarithm of the concentration c = a + b, which is kept
    within `MIN_CONCENTRATION` and `MAX_CONCENTRATION`; a = m c and b = (1 - m) c.
    """
    z = np.asarray(outputs, dtype=np.float64)
    c = np.exp(np.clip(z[:, 1], np.log(MIN_CONCENTRATION), np.log(MAX_CONCENTRATION)))
    return np.maximum(expit(z[:, 0]) * c, MIN_SHAPE), np.maximum(expit(-z[:, 0]) * c, MIN_SHAPE)


def _shift_lower(quantiles: Floats, levels: Sequence[float], spec: HeadSpec) -> Floats:
    """The quantiles [N, L] with those up to the spec's first level moved down by its shift."""
    num_lower = sum(level <= spec.levels[0] for level in levels)
    shifted = quantiles.copy()
    ceiling = quantiles[:, [num_lower]] if num_lower < len(levels) else np.ones((len(quantiles), 1))
    shifted[:, :num_lower] = np.clip(quantiles[:, :num_lower] - spec.lower_shift, 0.0, ceiling)
    return shifted


def _mean_of_quantiles(quantiles: Floats, levels: Sequence[float]) -> Floats:
    at = np.array([0.0, *levels, 1.0])
    padded = np.concatenate([quantiles[:, :1], quantiles, quantiles[:, -1:]], axis=1)
    return np.asarray(np.trapezoid(padded, at, axis=1))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(content: Mapping[str, object], field: str, default: float) -> float:
    value = content.get(field, default)
    if not _is_number(value):
        raise InvalidInput(f"head.{field} is {value!r}; it must be a number")
    return float(str(value))
