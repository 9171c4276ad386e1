"""The strategies that a recipe can name, a row each: name, options, function.

What else a run has to know of a strategy follows from these: its function draws if it has an argument `seed`, and the
options' properties say whether it needs a PRM, takes whole samples, or shares out a cap. A new strategy is its file in
`scaling.strategies`, its row, a case of `tests/scaling/strategies/test_every_strategy.py`, and its section in docs.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainValidator, SerializeAsAny

from jobs.recipes.section import PLUGIN, is_plugin
from jobs.recipes.strategies.adaptive import (
    AdaptiveBeamSearchStrategy,
    AdaptiveBestOfNStrategy,
    MarginalStrategy,
    SequentialStrategy,
)
from jobs.recipes.strategies.base import BeamOptions, StrategyOptions
from jobs.recipes.strategies.basic import (
    BeamSearchStrategy,
    BestOfNStrategy,
    MajorityStrategy,
    PluginStrategy,
    QuestionScoreStrategy,
    RolloutStrategy,
    SampleStrategy,
)
from jobs.recipes.strategies.confidence import DeepConfOfflineStrategy, DeepConfOnlineStrategy, PowerSamplingStrategy
from jobs.recipes.strategies.published import (
    AdaptiveConsistencyStrategy,
    BacktrackingStrategy,
    LookaheadBeamStrategy,
    ParticleFilteringStrategy,
    RebaseStrategy,
    ShortMOfKStrategy,
)
from jobs.recipes.strategies.thinking import ProbeStrategy
from scaling.strategies.adaptive_beam_search import adaptive_beam_search
from scaling.strategies.adaptive_best_of_n import adaptive_best_of_n
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.marginal import marginal
from scaling.strategies.probe import probe
from scaling.strategies.published.adaptive_consistency import adaptive_consistency
from scaling.strategies.published.backtracking import backtracking
from scaling.strategies.published.deepconf import deepconf_offline, deepconf_online
from scaling.strategies.published.dvts import dvts
from scaling.strategies.published.lookahead_beam import lookahead_beam
from scaling.strategies.published.particle_filtering import particle_filtering
from scaling.strategies.published.power_sampling import power_sampling
from scaling.strategies.published.rebase import rebase
from scaling.strategies.published.short_m_of_k import short_m_of_k
from scaling.strategies.question_score import question_score
from scaling.strategies.rollout import rollout
from scaling.strategies.sample import sample
from scaling.strategies.sequential import sequential
from scaling.strategy import Strategy


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """One strategy that a recipe can name.

    Attributes:
        name: in the recipe.
        options: model of the recipe's strategy section.
        function: begins a search at a root, given the limits and the options as keyword arguments; None: the name in
            the recipe says which function.
    """

    name: str
    options: type[StrategyOptions]
    function: Callable[..., Strategy] | None

    @property
    def draws(self) -> bool:
        """Whether the function has an argument `seed`, which is the run's."""
        return self._takes("seed")

    @property
    def believes(self) -> bool:
        """Whether the function has an argument `fitted`, which is the run's model of answers."""
        return self._takes("fitted")

    def _takes(self, argument: str) -> bool:
        return self.function is not None and argument in inspect.signature(self.function).parameters


STRATEGIES: dict[str, StrategyRow] = {
    row.name: row
    for row in (
        StrategyRow("sample", SampleStrategy, sample),
        StrategyRow("majority", MajorityStrategy, majority),
        StrategyRow("best-of-n", BestOfNStrategy, best_of_n),
        StrategyRow("beam-search", BeamSearchStrategy, beam_search),
        StrategyRow("dvts", BeamOptions, dvts),
        StrategyRow("rebase", RebaseStrategy, rebase),
        StrategyRow("particle-filtering", ParticleFilteringStrategy, particle_filtering),
        StrategyRow("lookahead-beam", LookaheadBeamStrategy, lookahead_beam),
        StrategyRow("adaptive-consistency", AdaptiveConsistencyStrategy, adaptive_consistency),
        StrategyRow("short-m-of-k", ShortMOfKStrategy, short_m_of_k),
        StrategyRow("backtracking", BacktrackingStrategy, backtracking),
        StrategyRow("deepconf-offline", DeepConfOfflineStrategy, deepconf_offline),
        StrategyRow("deepconf-online", DeepConfOnlineStrategy, deepconf_online),
        StrategyRow("power-sampling", PowerSamplingStrategy, power_sampling),
        StrategyRow("adaptive-best-of-n", AdaptiveBestOfNStrategy, adaptive_best_of_n),
        StrategyRow("adaptive-beam-search", AdaptiveBeamSearchStrategy, adaptive_beam_search),
        StrategyRow("sequential", SequentialStrategy, sequential),
        StrategyRow("marginal", MarginalStrategy, marginal),
        StrategyRow("probe", ProbeStrategy, probe),
        StrategyRow("rollout", RolloutStrategy, rollout),
        StrategyRow("question-score", QuestionScoreStrategy, question_score),
        StrategyRow(PLUGIN, PluginStrategy, None),
    )
}
"""By name; the last row is that of all strategies of users' own."""


def row_of(section: object) -> StrategyRow | None:
    """The row that a strategy table, or a section already built, names; None if it names none."""
    name = section.get("name") if isinstance(section, dict) else getattr(section, "name", None)
    if not isinstance(name, str):
        return None
    return STRATEGIES[PLUGIN] if is_plugin(name) else STRATEGIES.get(name)


def _validated(section: object) -> StrategyOptions:
    row = row_of(section)
    if row is None:
        raise ValueError("must name a strategy")
    return row.options.model_validate(section)


StrategySection = Annotated[SerializeAsAny[StrategyOptions], PlainValidator(_validated)]
"""The strategy section of a recipe: a model of the row that its name finds."""
