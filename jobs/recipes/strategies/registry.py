"""The strategies that a recipe can name, each with its own options, named as the arguments of its function."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from jobs.recipes.section import PLUGIN, is_plugin, setting
from jobs.recipes.strategies.adaptive import (
    AdaptiveBeamSearchStrategy,
    AdaptiveBestOfNStrategy,
    MarginalStrategy,
    SequentialStrategy,
)
from jobs.recipes.strategies.base import (
    AggregationName,
    BeamOptions,
    SampleSelectionName,
    StrategyOptions,
    sample_selection_setting,
)
from jobs.recipes.strategies.confidence import DeepConfOfflineStrategy, DeepConfOnlineStrategy, PowerSamplingStrategy
from jobs.recipes.strategies.published import (
    AdaptiveConsistencyStrategy,
    BacktrackingStrategy,
    DvtsStrategy,
    LookaheadBeamStrategy,
    ParticleFilteringStrategy,
    RebaseStrategy,
)


class SampleStrategy(StrategyOptions):
    """One sample."""

    name: Literal["sample"] = Field(description="One sample: the baseline that costs least.")

    @property
    def needs_prm(self) -> bool:
        """It takes what comes."""
        return False

    @property
    def most_samples(self) -> int:
        """It asks for nothing else."""
        return 1


class MajorityStrategy(StrategyOptions):
    """Self-consistency."""

    name: Literal["majority"] = Field(description="The answer that most samples agree on.")
    num_samples: int = setting(16, "Samples per problem.", ge=1, le=65536)
    weight_by: AggregationName | None = setting(
        None, "A vote weighs as much as its PRM score, aggregated over steps like this; omitted: each weighs one."
    )

    @property
    def needs_prm(self) -> bool:
        """Plain votes do without."""
        return self.weight_by is not None

    @property
    def most_samples(self) -> int:
        """It asks for nothing else."""
        return self.num_samples


class BestOfNStrategy(StrategyOptions):
    """Best-of-N."""

    name: Literal["best-of-n"] = Field(description="The sample that the PRM likes best.")
    num_samples: int = setting(16, "Samples per problem (N).", ge=1, le=65536)
    aggregation: AggregationName = setting("last", "How the scores of a sample's steps become one.")
    selection: SampleSelectionName = sample_selection_setting()

    @property
    def most_samples(self) -> int:
        """It asks for nothing else."""
        return self.num_samples


class BeamSearchStrategy(BeamOptions):
    """PRM-guided beam search over steps."""

    name: Literal["beam-search"] = Field(description="Grow candidates by steps, keep those that the PRM likes best.")
    frequency: int = setting(1, "Score and prune every so many steps.", ge=1)


class RolloutStrategy(StrategyOptions):
    """Monte Carlo success counts of prefixes: what `parsimony rollout` does."""

    name: Literal["rollout"] = Field(description="How often continuations of each prefix succeed.")
    num_trajectories: int = setting(8, "Solutions per problem whose prefixes are counted (N_val).", ge=1, le=65536)
    num_continuations: int = setting(8, "Continuations of each prefix (N_MC).", ge=1, le=65536)

    @property
    def needs_prm(self) -> bool:
        """Outcomes only."""
        return False

    @property
    def answers(self) -> bool:
        """It counts successes."""
        return False


class QuestionScoreStrategy(StrategyOptions):
    """How hard every question looks to the PRM: what `parsimony estimate` begins with."""

    name: Literal["question-score"] = Field(description="The PRM's score of the bare question; nothing is sampled.")

    @property
    def samples(self) -> bool:
        """No generator is needed."""
        return False

    @property
    def answers(self) -> bool:
        """It has none."""
        return False


class PluginStrategy(StrategyOptions):
    """A strategy of the user's own. It may ask for scores: a PRM in the recipe is started, and may be left out."""

    name: str = Field(description="The user's strategy as module:function.")
    options: dict[str, Any] = setting({}, "Passed to the function as keyword arguments.")
    ranks: bool = setting(False, "Its requests have a worth: under a cap, all open problems compete for each sample.")

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the strategy's function, root and limits aside."""
        return dict(self.options)

    @property
    def allocates(self) -> bool:
        """If its author says so."""
        return self.ranks


STRATEGIES: dict[str, type[StrategyOptions]] = {
    "sample": SampleStrategy,
    "majority": MajorityStrategy,
    "best-of-n": BestOfNStrategy,
    "beam-search": BeamSearchStrategy,
    "dvts": DvtsStrategy,
    "rebase": RebaseStrategy,
    "particle-filtering": ParticleFilteringStrategy,
    "lookahead-beam": LookaheadBeamStrategy,
    "adaptive-consistency": AdaptiveConsistencyStrategy,
    "backtracking": BacktrackingStrategy,
    "deepconf-offline": DeepConfOfflineStrategy,
    "deepconf-online": DeepConfOnlineStrategy,
    "power-sampling": PowerSamplingStrategy,
    "adaptive-best-of-n": AdaptiveBestOfNStrategy,
    "adaptive-beam-search": AdaptiveBeamSearchStrategy,
    "sequential": SequentialStrategy,
    "marginal": MarginalStrategy,
    "rollout": RolloutStrategy,
    "question-score": QuestionScoreStrategy,
    PLUGIN: PluginStrategy,
}


def strategy_tag(section: object) -> str | None:
    """Which of `STRATEGIES` a strategy table (or a section already built) is; None if it names none."""
    name = section.get("name") if isinstance(section, dict) else getattr(section, "name", None)
    if not isinstance(name, str):
        return None
    if name in STRATEGIES and name != PLUGIN:
        return name
    return PLUGIN if is_plugin(name) else None


StrategySection = Annotated[
    Annotated[SampleStrategy, Tag("sample")]
    | Annotated[MajorityStrategy, Tag("majority")]
    | Annotated[BestOfNStrategy, Tag("best-of-n")]
    | Annotated[BeamSearchStrategy, Tag("beam-search")]
    | Annotated[DvtsStrategy, Tag("dvts")]
    | Annotated[RebaseStrategy, Tag("rebase")]
    | Annotated[ParticleFilteringStrategy, Tag("particle-filtering")]
    | Annotated[LookaheadBeamStrategy, Tag("lookahead-beam")]
    | Annotated[AdaptiveConsistencyStrategy, Tag("adaptive-consistency")]
    | Annotated[BacktrackingStrategy, Tag("backtracking")]
    | Annotated[DeepConfOfflineStrategy, Tag("deepconf-offline")]
    | Annotated[DeepConfOnlineStrategy, Tag("deepconf-online")]
    | Annotated[PowerSamplingStrategy, Tag("power-sampling")]
    | Annotated[AdaptiveBestOfNStrategy, Tag("adaptive-best-of-n")]
    | Annotated[AdaptiveBeamSearchStrategy, Tag("adaptive-beam-search")]
    | Annotated[SequentialStrategy, Tag("sequential")]
    | Annotated[MarginalStrategy, Tag("marginal")]
    | Annotated[RolloutStrategy, Tag("rollout")]
    | Annotated[QuestionScoreStrategy, Tag("question-score")]
    | Annotated[PluginStrategy, Tag(PLUGIN)],
    Discriminator(strategy_tag),
]
