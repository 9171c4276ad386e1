"""Options of the plain strategies, of those that are run for counts and scores, and of the user's own."""

from typing import Any, Self

from pydantic import model_validator

from jobs.recipes.section import setting
from jobs.recipes.strategies.base import (
    BeamOptions,
    Spelled,
    StrategyOptions,
    WholeSampleOptions,
    sample_aggregation_setting,
    sample_selection_setting,
)
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection


class SampleStrategy(StrategyOptions):
    """One sample: the baseline that costs least."""

    @property
    def needs_prm(self) -> bool:
        """False: there is nothing to choose from."""
        return False

    @property
    def most_samples(self) -> int:
        """One, always."""
        return 1

    @property
    def samples_at_once(self) -> int:
        """One, always."""
        return 1


class MajorityStrategy(WholeSampleOptions):
    """Self-consistency: the answer that most samples agree on."""

    weight_by: Spelled[Aggregation] | None = setting(
        None, "A vote weighs as much as its PRM score, aggregated over steps like this; omitted: each weighs one."
    )

    stop_when_decided: bool = setting(
        False,
        "Count samples as they finish, and cancel the rest once no other answer can win: the same answers for fewer "
        "tokens. Fewer samples are kept, and answer_p is that of the counted ones.",
        silent=True,
    )
    begin_as_needed: bool = setting(
        False,
        "With stop_when_decided: begin as few samples as could decide, and others only as these disagree: fewer tokens "
        "still, and each problem takes longer.",
        silent=True,
    )

    @model_validator(mode="after")
    def _one_needs_the_other(self) -> Self:
        if self.begin_as_needed and not self.stop_when_decided:
            raise ValueError("begin_as_needed needs stop_when_decided = true: else all samples are needed")
        return self

    @property
    def needs_prm(self) -> bool:
        """Whether votes are weighed by scores; plain ones need none."""
        return self.weight_by is not None

    @property
    def samples_at_once(self) -> int:
        """All, or more than half of them."""
        return self.num_samples // 2 + 1 if self.begin_as_needed else self.num_samples


class BestOfNStrategy(WholeSampleOptions):
    """Best-of-N: the sample that the PRM likes best."""

    num_samples: int = setting(16, "Samples per problem (N).", ge=1, le=65536)
    aggregation: Spelled[Aggregation] = sample_aggregation_setting()
    selection: Spelled[Selection] = sample_selection_setting()


class BeamSearchStrategy(BeamOptions):
    """PRM-guided beam search: candidates grow by steps, and those that the PRM likes best are kept."""

    frequency: int = setting(1, "Score and prune every so many steps.", ge=1)


class RolloutStrategy(StrategyOptions):
    """How often continuations of each prefix succeed, by Monte Carlo: what `parsimony rollout` does."""

    num_trajectories: int = setting(8, "Solutions per problem whose prefixes are counted (N_val).", ge=1, le=65536)
    num_continuations: int = setting(8, "Continuations of each prefix (N_MC).", ge=1, le=65536)

    @property
    def needs_prm(self) -> bool:
        """False: outcomes are counted, by the grader's verdicts."""
        return False

    @property
    def answers(self) -> bool:
        """False: it is run for the counts of its prefixes."""
        return False

    @property
    def samples_at_once(self) -> int:
        """The option `num_continuations`: one prefix after another."""
        return self.num_continuations


class QuestionScoreStrategy(StrategyOptions):
    """The PRM's score of the bare question, nothing sampled: what `parsimony estimate` begins with."""

    @property
    def samples(self) -> bool:
        """False: only the PRM is asked, so no generator is started."""
        return False

    @property
    def answers(self) -> bool:
        """False: it is run for the scores of the questions."""
        return False


class PluginStrategy(StrategyOptions):
    """A strategy of the user's own. It may ask for scores: a PRM in the recipe is started, and may be left out."""

    options: dict[str, Any] = setting(
        {}, "Passed to the function as keyword arguments; an option of its own may also stand in [strategy] itself."
    )
    ranks: bool = setting(False, "Its requests have a priority: under a cap, open problems compete for each sample.")

    @model_validator(mode="before")
    @classmethod
    def _options_of_its_own(cls, section: Any) -> Any:
        """Keys that are nobody else's are the function's: `--set strategy.num_samples=3` as for any strategy."""
        if not isinstance(section, dict) or not isinstance(section.get("options", {}), dict):
            return section
        own = {key: value for key, value in section.items() if key not in cls.model_fields}
        twice = sorted(own.keys() & section.get("options", {}).keys())
        if twice:
            raise ValueError(f"{', '.join(twice)} stands in [strategy] and in its options: leave one of them out")
        known = {key: value for key, value in section.items() if key in cls.model_fields}
        return known | {"options": {**section.get("options", {}), **own}}

    @property
    def arguments(self) -> dict[str, Any]:
        """The table `options`, whose keys are known to the user's function only."""
        return dict(self.options)

    @property
    def allocates(self) -> bool:
        """Whether the author says so, by the option `ranks`."""
        return self.ranks
