"""What is compared on each evaluation set: the PRM as it was, usual repairs of its score, the best constant, and ours.

Everything but "uncalibrated" is fitted on the training problems' open prefixes (the shift on problems of its own), and
measured on others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actors.trainer.dataset import TrainingSet
from actors.trainer.trainer import Outputs
from scaling.arrays import Floats
from scaling.calibration.baselines import Baseline, Constant, fit, fit_constant
from scaling.calibration.conformal import lower_shift
from scaling.calibration.heads import HeadSpec, predict_success
from scaling.calibration.observed import Predictions

UNCALIBRATED, CONSTANT, UNSHIFTED, CALIBRATED = "uncalibrated", "constant", "calibrated, no shift", "calibrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What the calibrated head is compared with.

    Attributes:
        constant: mean and quantiles of the training problems' open prefixes.
        maps: name -> a function of the uncalibrated score.
        levels: of the quantiles.
    """

    constant: Constant
    maps: Mapping[str, Callable[[Floats], Floats]]
    levels: tuple[float, ...]


def fit_baselines(training: TrainingSet, old_scores: Floats, *, levels: tuple[float, ...], by_problem: bool) -> Fitted:
    """Fit them on open prefixes, with the weights that the head is trained with.

    Args:
        training: what the head is trained on.
        old_scores: of each row.
        levels: of the constant's quantiles.
        by_problem: each problem weighs the same.
    """
    unfinished = ~training.observed.terminal
    observed, scores = training.observed.where(unfinished), old_scores[unfinished]
    weights = training.weights(by_problem=by_problem)[unfinished]
    return Fitted(
        constant=fit_constant(observed, levels, weights=weights),
        maps={name: fit(name, scores, observed, weights=weights) for name in Baseline},
        levels=levels,
    )


def fit_shift(held_out: TrainingSet, outputs: Floats, head: HeadSpec, *, coverage: float) -> float:
    """The shift of the lower quantile, by the open prefixes of problems of its own: budgets depend on no others."""
    rows = held_out.sampled
    rows = rows[~held_out.observed.terminal[rows]]
    lower = predict_success(head, outputs[rows], head.levels).quantiles[:, 0]
    return lower_shift(lower, held_out.observed.at(rows), coverage=coverage)


def methods(found: Outputs, fitted: Fitted, head: HeadSpec, shifted: HeadSpec) -> dict[str, Predictions]:
    """What each method says of the rows of one set; "uncalibrated" first, "calibrated" last.

    Args:
        found: of the set.
        fitted: on the training problems.
        head: as trained.
        shifted: as served.
    """
    said = {UNCALIBRATED: Predictions(mean=found.old_scores)}
    said |= {str(name): Predictions(mean=repair(found.old_scores)) for name, repair in fitted.maps.items()}
    said[CONSTANT] = fitted.constant.predict(len(found.old_scores))
    if shifted != head:
        said[UNSHIFTED] = _of(head, found)
    return said | {CALIBRATED: _of(shifted, found)}


def _of(head: HeadSpec, found: Outputs) -> Predictions:
    said = predict_success(head, found.outputs, head.levels)
    quantiles = {level: said.quantiles[:, at] for at, level in enumerate(head.levels)}
    return Predictions(mean=said.mean, quantiles=quantiles)
