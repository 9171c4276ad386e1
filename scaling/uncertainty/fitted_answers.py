"""What `calibrate-answers` has found out about the answers of a generator, and the belief that a problem begins with.

Three models, because a strategy knows more or less when it asks: the bare question's score and those of the samples
(`sequential`, `marginal`), the samples' only (`best-of-n` and its like), or nothing but the answers (`majority`). Each
is an `AnswerModel` whose mean is

    logit(mean) = intercept + slope * logit(the PRM's chance of the bare question)

with the slope 0 where the question has no score. `scaling.calibration.answer_fit` fits them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from scaling.uncertainty.posterior import AnswerModel
from scaling.uncertainty.samples_needed import MIN_P


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """One fitted model; numbers as in `AnswerModel`, and the line that gives its mean."""

    intercept: float
    slope: float
    strength: float
    spread: float
    weight: float
    correlation: float
    unanswered: float
    unanswered_strength: float

    def begin(self, question_chance: float | None) -> AnswerModel:
        """The belief before the first sample.

        >>> fitted = FittedModel(intercept=0.0, slope=0.5, strength=2.0, spread=10.0, weight=0.2, correlation=0.0,
        ...                      unanswered=0.2, unanswered_strength=1.0)
        >>> round(fitted.begin(0.9).mean, 3), round(fitted.begin(None).mean, 3)
        (0.75, 0.5)
        """
        steepness = 0.0 if question_chance is None else self.slope * logit(question_chance)
        return AnswerModel(
            mean=1 / (1 + math.exp(-(self.intercept + steepness))),
            strength=self.strength,
            spread=self.spread,
            weight=self.weight,
            correlation=self.correlation,
            unanswered=self.unanswered,
            unanswered_strength=self.unanswered_strength,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedAnswers:
    """The three models; None where the run that they were fitted on had no such scores.

    Attributes:
        question: for who knows the bare question's score and those of the samples.
        scores: for who knows those of the samples.
        votes: for who knows the answers only.
    """

    question: FittedModel | None
    scores: FittedModel | None
    votes: FittedModel

    def begin(self, question_chance: float) -> AnswerModel:
        """The belief of who knows scores, the bare question's too, as far as they were there to be fitted."""
        return (self.question or self.scores or self.votes).begin(question_chance)

    @classmethod
    def of(cls, values: Mapping[str, Mapping[str, float] | None]) -> "FittedAnswers":
        """From numbers by name, as recipes and files have them; a name that is missing is None, or an error."""
        found = {field.name: values.get(field.name) for field in fields(cls)}
        models = {name: None if own is None else FittedModel(**own) for name, own in found.items()}
        if (votes := models["votes"]) is None:
            raise ValueError("a fitted model of the answers alone (votes) must be there")
        return cls(question=models["question"], scores=models["scores"], votes=votes)


_UNSCORED = FittedModel(
    intercept=0.0,
    slope=0.0,
    strength=2.0,
    spread=10.0,
    weight=0.0,
    correlation=1.0,
    unanswered=0.2,
    unanswered_strength=1.0,
)
DEFAULTS = {
    "question": replace(_UNSCORED, slope=1.0, weight=0.2, correlation=0.0),
    "scores": replace(_UNSCORED, weight=1.0),
    "votes": _UNSCORED,
}
"""What is believed where nothing was fitted: the defaults of `sequential`, and those of `answer_p`."""


def logit(p: float) -> float:
    """log(p / (1 - p)), of a chance clipped as everywhere."""
    clipped = min(max(p, MIN_P), 1 - MIN_P)
    return math.log(clipped / (1 - clipped))
