"""`answer.model`: the fitted model of answers in a recipe, as numbers; in a TOML file the name of a file with them."""

from pathlib import Path

from pydantic import Field, ValidationError

from actors.engines.model_files import read_json
from jobs.recipes.section import Section
from records.failure import InvalidInput

FORMAT = "parsimony-answers/1"
"""Of the files that `parsimony calibrate-answers` writes."""


class FittedModelSection(Section):
    """One fitted model; see `scaling.uncertainty.fitted_answers.FittedModel`."""

    intercept: float = Field(ge=-20, le=20)
    slope: float = Field(ge=-20, le=20)
    strength: float = Field(gt=0, le=10_000)
    spread: float = Field(gt=0, le=100_000)
    weight: float = Field(ge=0, le=1)
    correlation: float = Field(ge=0, le=1)
    unanswered: float = Field(gt=0, lt=1)
    unanswered_strength: float = Field(gt=0, le=10_000)


class FittedAnswersSection(Section):
    """The models of `FittedAnswers`."""

    question: FittedModelSection | None = None
    scores: FittedModelSection | None = None
    votes: FittedModelSection


def read_answer_model(file: Path) -> FittedAnswersSection:
    """The numbers of a file of `calibrate-answers`.

    Raises:
        InvalidInput: the file cannot be read, or is none of `calibrate-answers`.
    """
    content = read_json(file)
    if content.get("format") != FORMAT:
        raise InvalidInput(f"answer.model: {file} is no file of calibrate-answers (its format is not {FORMAT!r})")
    try:
        return FittedAnswersSection.model_validate(content.get("models"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("models", *first["loc"])))
        raise InvalidInput(f"answer.model: {file}: {where}: {first['msg']}") from error
