"""What the options of all strategies share: their base, and the names of the scaling core's choices."""

from typing import Any, Literal

from jobs.recipe_base import Section, setting

AggregationName = Literal["last", "min", "product"]
EstimateName = Literal["lower", "median", "upper", "mean"]
SelectionName = Literal["best", "weighted-vote", "majority"]


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


def selection_setting(default: SelectionName = "best") -> Any:
    """How candidates become an answer."""
    return setting(
        default,
        "The answer: of the best-scored candidate (best), of the highest sum of scores (weighted-vote), or of most "
        "candidates (majority).",
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
