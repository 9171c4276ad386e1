"""What the options of all strategies share: their base, and the names of the scaling core's choices."""

from typing import Any, Literal, Self

from pydantic import model_validator

from jobs.recipes.section import Section, setting
from scaling.uncertainty.selection import Selection

AggregationName = Literal["last", "min", "product"]
EstimateName = Literal["lower", "median", "upper", "mean"]
SelectionName = Literal["best", "weighted-vote", "majority"]
SampleSelectionName = Literal["best", "weighted-vote", "majority", "confidence-vote"]
"""Of strategies that draw whole samples."""


class StrategyOptions(Section):
    """What the strategies share."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the strategy's function, root and limits aside."""
        return self.model_dump(exclude={"name"})

    @property
    def needs_prm(self) -> bool:
        """Whether it asks for scores."""
        return True

    @property
    def samples(self) -> bool:
        """Whether it asks for samples."""
        return True

    @property
    def num_logprobs(self) -> int:
        """Most likeliest tokens per position whose log-probabilities it asks the generator for."""
        selection = getattr(self, "selection", None)
        return 0 if selection is None else Selection(selection).top_logprobs

    @property
    def most_samples(self) -> int | None:
        """Most samples that it takes; None: it asks for other things than whole samples of the bare question."""
        return None

    @property
    def allocates(self) -> bool:
        """Whether its requests compete for the run's cap by what they say they are worth."""
        return False

    @property
    def answers(self) -> bool:
        """Whether it is run for its answers."""
        return True

    @property
    def gives_answer_p(self) -> bool:
        """Whether its answers come with the probability of being right."""
        return self.needs_prm or self.most_samples not in (None, 1)


def selection_setting(default: SelectionName = "best") -> Any:
    """How candidates become an answer."""
    return setting(
        default,
        "The answer: of the best-scored candidate (best), of the highest sum of scores (weighted-vote), or of most "
        "candidates (majority).",
    )


def sample_selection_setting(default: SampleSelectionName | None = "best") -> Any:
    """How whole samples become an answer."""
    return setting(
        default,
        "The answer: of the best-scored sample (best), of the highest sum of scores (weighted-vote), of most samples "
        "(majority), or of the highest sum of the generator's confidences (confidence-vote).",
    )


def confidence_setting() -> Any:
    """C of the adaptive budgets."""
    return setting(0.99, "Wanted chance that a right answer is among the samples (C).", gt=0, lt=1)


def estimate_setting() -> Any:
    """What the adaptive budgets read."""
    return setting(
        "lower",
        "What of the PRM's view is read as the chance of success: a quantile (lower, median, upper) or the mean; an "
        "uncalibrated PRM has one number.",
    )


class SteppedOptions(StrategyOptions):
    """Of a search that grows candidates by steps."""

    max_steps: int = setting(40, "Most steps of one candidate.", ge=1, le=65536)
    aggregation: AggregationName = setting("last", "How the scores of a candidate's steps become one.")
    selection: SelectionName = selection_setting()


class BeamOptions(SteppedOptions):
    """Of a search with N candidates at a time, in groups of M siblings."""

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
