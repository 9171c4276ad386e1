"""`[answer]` of a recipe."""

from typing import Self

from pydantic import field_validator, model_validator

from jobs.recipes.answers.fitted import FittedAnswersSection
from jobs.recipes.answers.risk import RiskSection
from jobs.recipes.section import PLUGIN, Section, is_plugin, setting
from jobs.recipes.strategies.base import Spelled
from scaling.answers.extract import Way, pattern_mistake
from scaling.uncertainty.aggregation import ScoreEstimate


class AnswerSection(Section):
    """How answers are found, and which ones a run stands by."""

    extract: str | tuple[str, ...] | None = setting(
        None,
        "Ways of finding the answer in a solution, in order: boxed, marker, cue, choice, alone, last-number; or "
        "module:function of your own. Omitted: the first five.",
        silent=True,
    )
    pattern: str | None = setting(
        None,
        "Regular expression that finds the answer instead: the first group of its last match, or all of it.",
        silent=True,
        min_length=1,
        max_length=1000,
    )

    abstain_below: float | None = setting(
        None,
        "Abstain where the answer is right with less than this probability, by the run itself; the answer stays in its "
        "row. Omitted: never.",
        gt=0,
        le=1,
    )
    estimate: Spelled[ScoreEstimate] = setting(
        ScoreEstimate.LOWER,
        "Which number of answer_p is compared: a quantile (lower, median, upper) or the mean of the three.",
    )

    model: FittedAnswersSection | str | None = setting(
        None,
        "File of `parsimony calibrate-answers`, relative to the recipe, or its numbers: the fitted model that says how "
        "likely an answer is to be right. Omitted: the strategies' own.",
        silent=True,
    )

    target_error: float | None = setting(
        None,
        "Most wrong answers among those that the run stands by, as a share; the threshold follows from answer.risk, "
        "and takes the place of abstain_below.",
        silent=True,
        gt=0,
        lt=1,
    )
    target_level: float = setting(
        0.9, "How certain it has to be that the target is kept to, over calibrations alike.", silent=True, ge=0.5, lt=1
    )
    risk: RiskSection | str | None = setting(
        None,
        "File of `parsimony calibrate-risk`, relative to the recipe, or its numbers: how often this recipe's answers "
        "are wrong, by how sure they are.",
        silent=True,
    )

    @field_validator("extract", mode="before")
    @classmethod
    def _ways_are_known(cls, value: object) -> object:
        ways = [value] if isinstance(value, str) else value
        if not isinstance(ways, list | tuple) or not ways:
            return value
        if isinstance(value, str) and is_plugin(value):
            return value
        unknown = [way for way in ways if way not in tuple(Way)]
        if unknown or len(set(ways)) != len(ways):
            raise ValueError(f"must be one or several of {', '.join(Way)}, each once, or {PLUGIN}")
        return value if isinstance(value, str) else tuple(ways)

    @field_validator("pattern")
    @classmethod
    def _pattern_is_one(cls, pattern: str | None) -> str | None:
        if pattern is not None and (mistake := pattern_mistake(pattern)) is not None:
            raise ValueError(f"is no regular expression: {mistake}")
        return pattern

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.pattern is not None and self.extract is not None:
            raise ValueError("extract and pattern exclude each other: leave one of them out")
        return self

    @model_validator(mode="after")
    def _target_has_its_risk(self) -> Self:
        if (self.target_error is None) != (self.risk is None):
            raise ValueError("target_error and risk go together: what was seen, and what is wanted")
        if self.target_error is not None and self.abstain_below is not None:
            raise ValueError("target_error chooses the threshold: leave abstain_below out")
        return self

    @property
    def threshold(self) -> float | None:
        """The probability from which on answers are stood by; None: all are."""
        return self.risk.threshold if isinstance(self.risk, RiskSection) else self.abstain_below
