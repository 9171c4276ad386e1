"""What the options of all strategies share: their base, and how the choices of the scaling core stand in a recipe."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, Strict, model_validator

from jobs.recipes.section import Section, setting
from scaling.strategies.as_they_finish import Look
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate
from scaling.uncertainty.selection import Selection

_T = TypeVar("_T")
Spelled = Annotated[_T, Strict(strict=False)]
"""A choice of the scaling core (a `StrEnum`) that a recipe spells as text; nothing else becomes one."""
StepSelection = Literal[Selection.BEST, Selection.WEIGHTED_VOTE, Selection.MAJORITY]
"""The selections of a search by steps, which knows no confidence of whole samples."""


class StrategyOptions(Section):
    """The strategy section of a recipe: a name, and options named as the arguments of the strategy's function.

    The properties say what a run has to provide; those here are true of most strategies, and each model overrides what
    is otherwise with it.
    """

    name: str = Field(description="A name of the strategy table, or a user's own strategy as module:function.")

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the strategy's function, without the root, the limits and the seed."""
        return self.model_dump(exclude={"name"})

    @property
    def needs_prm(self) -> bool:
        """Whether the strategy asks for scores, so that the run starts a PRM."""
        return True

    @property
    def samples(self) -> bool:
        """Whether the strategy asks for samples, so that the run starts a generator."""
        return True

    @property
    def num_logprobs(self) -> int:
        """Most likeliest tokens per position whose log-probabilities the strategy asks the generator for."""
        selection = getattr(self, "selection", None)
        return selection.top_logprobs if isinstance(selection, Selection) else 0

    @property
    def most_samples(self) -> int | None:
        """Most samples per problem of a strategy that draws whole samples of the bare question; None for any other."""
        return None

    @property
    def samples_at_once(self) -> int | None:
        """Samples that a problem asks for at a time, at most; None: not known."""
        return getattr(self, "wave_size", None) or getattr(self, "num_samples", None)

    @property
    def depends_on_arrival(self) -> bool:
        """Whether the samples that decide are those that finish first, so that the answer leans towards short ones."""
        return getattr(self, "look", None) is Look.ARRIVAL

    @property
    def allocates(self) -> bool:
        """Whether requests compete for the run's cap by the gain that the strategy expects of them."""
        return False

    @property
    def answers(self) -> bool:
        """Whether the strategy is run for its answers."""
        return True

    @property
    def gives_answer_p(self) -> bool:
        """Whether answers come with the probability of being right: from scores, or from several whole samples."""
        return self.needs_prm or self.most_samples not in (None, 1)


class WholeSampleOptions(StrategyOptions):
    """Options of a strategy that draws whole samples of the bare question and asks the generator for nothing else."""

    num_samples: int = setting(16, "Samples per problem.", ge=1, le=65536)

    @property
    def most_samples(self) -> int:
        """The option `num_samples`, which is a number or a bound of them."""
        return self.num_samples


def step_selection_setting(default: Selection = Selection.BEST) -> Any:
    """The option `selection` of searches by steps."""
    return setting(
        default,
        "The answer: of the best-scored candidate (best), of the highest sum of scores (weighted-vote), or of most "
        "candidates (majority).",
    )


class SteppedOptions(StrategyOptions):
    """Options of a search that grows candidates by steps."""

    max_steps: int = setting(40, "Most steps of one candidate.", ge=1, le=65536)
    aggregation: Spelled[Aggregation] = setting(Aggregation.LAST, "How the scores of a candidate's steps become one.")
    selection: StepSelection = step_selection_setting()


class BeamOptions(SteppedOptions):
    """Options of a search with N candidates at a time, in groups of M siblings."""

    num_samples: int = setting(16, "Candidates at a time (N); a multiple of beam_width.", ge=1, le=65536)
    beam_width: int = setting(4, "Children of each kept candidate (M).", ge=1, le=65536)

    @model_validator(mode="after")
    def _widths_divide(self) -> Self:
        if self.num_samples % self.beam_width:
            raise ValueError(
                f"num_samples ({self.num_samples}) must be a multiple of beam_width ({self.beam_width}): "
                "num_samples / beam_width candidates are kept"
            )
        return self


def sample_aggregation_setting() -> Any:
    """The option `aggregation` of strategies that score whole samples."""
    return setting(Aggregation.LAST, "How the scores of a sample's steps become one.")


def sample_selection_setting(default: Selection = Selection.BEST) -> Any:
    """The option `selection` of strategies whose candidates are whole samples."""
    return setting(
        default,
        "The answer: of the best-scored sample (best), of the highest sum of scores (weighted-vote), of most samples "
        "(majority), or of the highest sum of the generator's confidences (confidence-vote).",
    )


def look_setting() -> Any:
    """The option `look` of strategies that stop once they are sure."""
    return setting(
        Look.WAVES,
        "When samples are looked at: when all of a wave are there (waves); or one by one, with wave_size under way: in "
        "the order in which they were begun (order), or as they finish, which leans towards short ones (arrival). What "
        "is under way at the end is cancelled.",
        silent=True,
    )


def confidence_setting() -> Any:
    """The option `confidence` (C) of the adaptive budgets."""
    return setting(0.99, "Wanted chance that a right answer is among the samples (C).", gt=0, lt=1)


def estimate_setting() -> Any:
    """The option `estimate` of the adaptive budgets."""
    return setting(
        ScoreEstimate.LOWER,
        "What of the PRM's view is read as the chance of success: a quantile (lower, median, upper) or the mean; an "
        "uncalibrated PRM has one number.",
    )
