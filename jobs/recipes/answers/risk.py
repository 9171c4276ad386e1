"""`answer.risk`: how often answers were wrong on a calibration run, by how sure they were; what a target makes of it.

A file of `parsimony calibrate-risk` holds what was seen. When a recipe is read, its `answer.target_error` chooses a
threshold of it (`scaling.uncertainty.risk_control`); that, and what it rests on, are the numbers of the recipe from
then on, so they stand in the manifest.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from actors.engines.model_files import read_json
from jobs.recipes.section import Section
from records.failure import InvalidInput
from records.path import PrmScore
from scaling.uncertainty.abstention import probability_of
from scaling.uncertainty.aggregation import ScoreEstimate
from scaling.uncertainty.risk_control import Answered, controlled, fewest_answered, ranked

RISK_FORMAT = "parsimony-risk/1"
"""Of the files that `parsimony calibrate-risk` writes."""


class RiskSection(Section):
    """The threshold that a target chose, and what it rests on.

    Attributes:
        target_error: most wrong answers among those that are stood by.
        level: how certain that is.
        threshold: answers are stood by from this probability on.
        stops: it is the strategy's own threshold too: sampling stops there.
        run: of the calibration.
        num_problems: of that, with a verdict.
        num_answered: of those, answered at the threshold.
        num_wrong: of those.
        confidences: of its answers, sorted, or quantiles of them; what drift is told by where questions have no score.
        question_scores: of its questions, likewise; None where it has none.
        models_sha256: role -> weights that it was made with.
    """

    target_error: float = Field(gt=0, lt=1)
    level: float = Field(gt=0, lt=1)
    threshold: float = Field(gt=0, le=1)
    stops: bool
    run: str
    num_problems: int = Field(ge=1)
    num_answered: int = Field(ge=1)
    num_wrong: int = Field(ge=0)
    confidences: tuple[float, ...]
    question_scores: tuple[float, ...] | None
    models_sha256: dict[str, str | None]


class StoppedSection(Section):
    """A threshold at which sampling stops, and what came of it."""

    threshold: float = Field(gt=0, le=1)
    answer_p: tuple[tuple[float, float, float] | None, ...]
    wrong: tuple[bool, ...]


class RiskFile(Section):
    """What `parsimony calibrate-risk` has seen.

    Attributes:
        run: its address.
        strategy: the strategy section that decided.
        models_sha256: role -> weights.
        answer_p: of each problem with a verdict, lower, median and upper; None without an answer.
        wrong: whether it is, for each of them.
        question_scores: sorted, or quantiles; None where questions have none.
        stopping: the same for each threshold at which sampling may stop; None: not asked for.
    """

    run: str
    strategy: dict[str, Any]
    models_sha256: dict[str, str | None]
    answer_p: tuple[tuple[float, float, float] | None, ...]
    wrong: tuple[bool, ...]
    question_scores: tuple[float, ...] | None
    stopping: tuple[StoppedSection, ...] | None


def read_risk(file: Path) -> RiskFile:
    """What a file of `calibrate-risk` holds.

    Raises:
        InvalidInput: the file cannot be read, or is none of `calibrate-risk`.
    """
    content = read_json(file)
    if content.pop("format", None) != RISK_FORMAT:
        raise InvalidInput(f"answer.risk: {file} is no file of calibrate-risk (its format is not {RISK_FORMAT!r})")
    try:
        return RiskFile.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"answer.risk: {file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def chosen_risk(
    found: RiskFile, strategy: Mapping[str, Any], *, target_error: float, level: float, estimate: ScoreEstimate
) -> RiskSection:
    """The threshold that keeps to a target, and answers most.

    Args:
        found: what was seen.
        strategy: section of the recipe.
        target_error: most wrong answers, as a share of those that are stood by.
        level: how certain that has to be.
        estimate: which number of an answer's probability is compared.

    Raises:
        InvalidInput: it was seen with another strategy; or no threshold is known to keep to the target.
    """
    stops = found.stopping is not None
    _check_same_strategy(found, strategy, stops=stops)
    candidates = stopped(found, estimate) if stops else thresholds(found, estimate)
    best = controlled(candidates, target_error=target_error, level=level)
    if best is None:
        raise InvalidInput(f"answer.target_error: {_unsupported(found, candidates, target_error, level)}")
    confidences = _confidences(found.answer_p, estimate)
    return RiskSection(
        target_error=target_error,
        level=level,
        threshold=best.threshold,
        stops=stops,
        run=found.run,
        num_problems=len(found.wrong),
        num_answered=best.num_answered,
        num_wrong=best.num_wrong,
        confidences=at_most(confidences.tolist()),
        question_scores=found.question_scores,
        models_sha256=found.models_sha256,
    )


def thresholds(found: RiskFile, estimate: ScoreEstimate) -> list[Answered]:
    """What thresholds of abstaining come to."""
    return ranked(_confidences(found.answer_p, estimate), np.asarray(found.wrong, dtype=np.float64))


def stopped(found: RiskFile, estimate: ScoreEstimate) -> list[Answered]:
    """What thresholds of stopping come to, where an answer is stood by from the same threshold on."""
    candidates = []
    for one in found.stopping or ():
        kept = _confidences(one.answer_p, estimate) >= one.threshold
        candidates.append(Answered(one.threshold, int(kept.sum()), int(np.asarray(one.wrong)[kept].sum())))
    return candidates


def at_most(values: Sequence[float], most: int = 256) -> tuple[float, ...]:
    """Sorted; so many of the quantiles where there are more."""
    if len(values) <= most:
        return tuple(sorted(values))
    return tuple(np.quantile(values, np.linspace(0, 1, most)).tolist())


def _confidences(answer_p: Sequence[tuple[float, float, float] | None], estimate: ScoreEstimate) -> Any:
    return np.asarray(
        [0.0 if each is None else probability_of("", PrmScore(*each), estimate) for each in answer_p], dtype=np.float64
    )


def _check_same_strategy(found: RiskFile, strategy: Mapping[str, Any], *, stops: bool) -> None:
    leave = {"threshold"} if stops else set()
    for key in sorted(found.strategy.keys() | strategy.keys()):
        was, now = found.strategy.get(key), strategy.get(key)
        if key not in leave and was != now:
            raise InvalidInput(
                f"answer.risk: strategy.{key} is {now!r}, and was {was!r} when {found.run} was calibrated: what was "
                "seen there says nothing of it. Calibrate this strategy (calibrate-risk takes --set), or leave the "
                "target out: --set answer.target_error= --set answer.risk="
            )


def _unsupported(found: RiskFile, candidates: Sequence[Answered], target_error: float, level: float) -> str:
    needed = fewest_answered(len(candidates), target_error=target_error, level=level)
    best = max(candidates, key=lambda one: one.num_answered)
    return (
        f"{len(found.wrong)} problems of {found.run} do not support {target_error:.3g} at {level:.3g} certainty; "
        f"no threshold has so few wrong answers. It takes {needed} sure answers without a wrong one, more with some; "
        f"answering all {best.num_answered} had {best.num_wrong} wrong. Calibrate on more problems, or aim lower"
    )


def check_same_models(risk: RiskSection, models: Mapping[str, str | None]) -> None:
    """Refuse other weights than those that the risk was seen with.

    Args:
        risk: of the recipe.
        models: role -> SHA-256 of the weights; None: not known yet.

    Raises:
        InvalidInput: another model answers now.
    """
    for role, was in risk.models_sha256.items():
        now = models.get(role)
        if was is not None and now is not None and was != now:
            raise InvalidInput(
                f"answer.risk: the {role} has other weights ({now[:12]}) than when {risk.run} was calibrated "
                f"({was[:12]}): calibrate on a run of this one"
            )
