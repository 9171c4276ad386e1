"""What the options of all strategies share."""

from typing import Any, Literal

from jobs.recipe_base import Section

AggregationName = Literal["last", "min", "product"]


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
