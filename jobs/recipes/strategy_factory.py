"""From the recipe's strategy section to the function that begins a search."""

from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import Any

from jobs.recipes.sections import Recipe
from jobs.recipes.settings import search_limits
from records.failure import InvalidInput, StrategyFailed
from records.path import Path
from scaling.strategies.adaptive_beam_search import Adapt, adaptive_beam_search
from scaling.strategies.adaptive_best_of_n import adaptive_best_of_n
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.marginal import Objective, marginal
from scaling.strategies.published.adaptive_consistency import adaptive_consistency
from scaling.strategies.published.backtracking import backtracking
from scaling.strategies.published.deepconf import deepconf_offline, deepconf_online
from scaling.strategies.published.dvts import dvts
from scaling.strategies.published.lookahead_beam import lookahead_beam
from scaling.strategies.published.particle_filtering import Resampling, particle_filtering
from scaling.strategies.published.power_sampling import power_sampling
from scaling.strategies.published.rebase import rebase
from scaling.strategies.question_score import question_score
from scaling.strategies.rollout import rollout
from scaling.strategies.sample import sample
from scaling.strategies.sequential import sequential
from scaling.strategy import Choice, Strategy, StrategyFactory
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate
from scaling.uncertainty.answer_p import with_answer_p
from scaling.uncertainty.selection import Selection
from scaling.uncertainty.token_confidence import TraceConfidence

_STRATEGIES: dict[str, Any] = {
    "sample": sample,
    "majority": majority,
    "best-of-n": best_of_n,
    "beam-search": beam_search,
    "dvts": dvts,
    "rebase": rebase,
    "particle-filtering": particle_filtering,
    "lookahead-beam": lookahead_beam,
    "adaptive-consistency": adaptive_consistency,
    "backtracking": backtracking,
    "deepconf-offline": deepconf_offline,
    "deepconf-online": deepconf_online,
    "power-sampling": power_sampling,
    "adaptive-best-of-n": adaptive_best_of_n,
    "adaptive-beam-search": adaptive_beam_search,
    "sequential": sequential,
    "marginal": marginal,
    "rollout": rollout,
    "question-score": question_score,
}
_ENUMS: dict[str, type[StrEnum]] = {
    "aggregation": Aggregation,
    "weight_by": Aggregation,
    "selection": Selection,
    "estimate": ScoreEstimate,
    "adapt": Adapt,
    "objective": Objective,
    "resampling": Resampling,
    "trace_confidence": TraceConfidence,
}
"""Options that the recipe spells as text."""
_SEEDED = ("particle-filtering", "power-sampling")
"""Strategies that draw: they get the run's seed."""


def strategy_factory(recipe: Recipe) -> StrategyFactory:
    """The strategy with its options and limits; called with the root of a problem, it begins a search.

    Raises:
        InvalidInput: a `module:function` of the user's that cannot be imported.
    """
    section = recipe.strategy
    function = _STRATEGIES.get(section.name) or partial(guarded, _plugin(section.name), section.name)
    arguments = {
        name: _ENUMS[name](value) if name in _ENUMS and value is not None else value
        for name, value in section.arguments.items()
    }
    if section.name in _SEEDED:
        arguments["seed"] = recipe.seed
    if section.most_samples is not None:
        function = partial(with_answer_p, function)
    return partial(function, limits=search_limits(recipe), **arguments)


def guarded(function: Any, name: str, root: Path, **arguments: Any) -> Strategy:
    """A strategy of the user's own; what goes wrong in it costs one problem, not the run.

    Raises:
        StrategyFailed: it raised, or returned something else than a `Choice`.
    """
    try:
        choice = yield from function(root, **arguments)
    except Exception as error:  # the user's code is a boundary: any error of it may come
        raise StrategyFailed(f"{name} raised {type(error).__name__}: {error}") from error
    if not isinstance(choice, Choice):
        raise StrategyFailed(f"{name} returned {type(choice).__name__}, not a scaling.strategy.Choice")
    return choice


def _plugin(name: str) -> Any:
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"strategy.name = {name!r} cannot be imported: {error}") from error
