"""The runs that a comparison needs: one for all settings that can share samples, one for each other.

    whole samples of the bare question     shared: as many as the greediest setting takes, the rest take fewer of them
    steps, other prefixes                  a run of its own

Settings share where their recipes are the same but for the strategy and its cap, and where the PRM scores the same
nodes: the costs of a setting are then what they would be alone. Each run is an ordinary one, in `runs/NAME` below the
comparison's output: it resumes, and a later comparison takes it up.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.writer.run_state import agree_on_manifest
from jobs.command_line.compare import CompareOptions
from jobs.command_line.score import ScoreOptions
from jobs.comparison.settings import Setting
from jobs.recipes.load import load_recipe
from jobs.recipes.renamed import under_first_names
from jobs.recipes.resume import decides_results, operational_keys
from jobs.recipes.sections import NO_ABSTAINING, NO_CAPS, Recipe
from jobs.recipes.strategies.base import StrategyOptions
from jobs.recipes.strategies.basic import PluginStrategy
from jobs.score import carry_out
from jobs.scoring.plan import Plan, make_plan
from records.request import Scoring
from records.run_folder import layout
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import TOP_LOGPROBS

_STRATEGY_ONLY = ("strategy", "answer")
"""Sections that decide nothing about what is sampled."""


@dataclass(frozen=True, slots=True)
class SharedRun:
    """One run and the settings that are read from it.

    Attributes:
        name: of its folder below `runs/`.
        path: of the recipe.
        overrides: of the recipe.
        settings: all that are played on its samples, or the one whose run it is.
        stored: its samples are shared; False: it is the one setting's own search.
    """

    name: str
    path: Path
    overrides: tuple[str, ...]
    settings: tuple[Setting, ...]
    stored: bool


def shared_runs(settings: Sequence[Setting]) -> list[SharedRun]:
    """Group settings into as few runs as they need, in the order of their first settings."""
    scored = {
        _sampling_key(setting)
        for setting in settings
        if _whole(setting) and scoring_of(setting.recipe.strategy) is Scoring.LEAF
    }
    groups: dict[tuple[str, ...], list[Setting]] = {}
    for setting in settings:
        groups.setdefault(_group(setting, scored), []).append(setting)
    return [_pool(group) if _whole(group[0]) else alone(group[0]) for group in groups.values()]


def plan_runs(runs: Iterable[SharedRun], options: CompareOptions) -> list[tuple[SharedRun, Plan]]:
    """Check everything about every run that can be checked without a model, runs that are there included.

    Raises:
        RunMismatch: a run of that name was begun with something else, such as other problems.
        InvalidInput: as `jobs.scoring.plan.make_plan`.
    """
    planned = [
        (
            run,
            make_plan(
                ScoreOptions(
                    problems=options.problems,
                    recipe=run.path,
                    output=f"{options.output.rstrip('/')}/runs/{run.name}",
                    overrides=run.overrides,
                    limit=options.limit,
                    take_over=options.take_over,
                    single_writer=options.single_writer,
                )
            ),
        )
        for run in runs
    ]
    for _, plan in planned:
        if plan.store.read(layout.MANIFEST) is not None:
            agree_on_manifest(plan.store, plan.manifest, operational_keys())
    return planned


def carry_out_runs(planned: Iterable[tuple[SharedRun, Plan]]) -> None:
    """Do what is not done yet, one run after the other, each on engines with empty caches. Raises as `score`."""
    for _, plan in planned:
        carry_out(plan)


def _whole(setting: Setting) -> bool:
    strategy = setting.recipe.strategy
    return strategy.most_samples is not None and strategy.num_logprobs in (0, TOP_LOGPROBS)


def scoring_of(section: StrategyOptions) -> Scoring:
    """Which nodes of a sample it has scored; all of them where nobody can tell."""
    if not section.needs_prm:
        return Scoring.NONE
    if isinstance(section, PluginStrategy):
        return Scoring.STEPS
    aggregations = {getattr(section, name, None) for name in ("aggregation", "weight_by")} - {None}
    return Scoring.LEAF if aggregations <= {Aggregation.LAST} else Scoring.STEPS


def _sampling_key(setting: Setting) -> str:
    """Everything that decides what is sampled, but for the strategy."""
    return json.dumps({key: value for key, value in _deciding(setting.recipe).items() if key not in _STRATEGY_ONLY})


def _group(setting: Setting, scored: set[str]) -> tuple[str, ...]:
    key = _sampling_key(setting)
    if not _whole(setting):
        return (key, "alone", setting.label)
    scoring = scoring_of(setting.recipe.strategy)
    if scoring is Scoring.NONE and setting.recipe.prm is not None:  # its samples are those of a setting with a PRM
        scoring = Scoring.LEAF if key in scored else Scoring.STEPS
    return (key, "whole", scoring.value)


def _pool(group: Sequence[Setting]) -> SharedRun:
    """A run with as many samples as any of the settings takes."""
    first = group[0]
    num_samples = max(setting.recipe.strategy.most_samples or 0 for setting in group)
    scoring = max((scoring_of(setting.recipe.strategy) for setting in group), key=list(Scoring).index)
    confident = any(setting.recipe.strategy.num_logprobs for setting in group)
    if scoring is Scoring.NONE:
        strategy = f'name = "deepconf-offline", top_logprobs = {TOP_LOGPROBS}' if confident else 'name = "majority"'
    else:
        aggregation = "last" if scoring is Scoring.LEAF else "min"
        selection = "confidence-vote" if confident else "best"
        strategy = f'name = "best-of-n", aggregation = "{aggregation}", selection = "{selection}"'
    overrides = (
        *_other_overrides(first),
        f"strategy={{{strategy}, num_samples = {num_samples}}}",  # whole: nothing of the file's own strategy stays
        *NO_ABSTAINING,
        *NO_CAPS,
    )
    recipe = load_recipe(first.path, overrides)
    name = _name(f"{first.recipe_name}-samples-{num_samples}", _deciding(recipe))
    return SharedRun(name, first.path, overrides, tuple(group), stored=True)


def alone(setting: Setting) -> SharedRun:
    """The run of one setting's own."""
    strategy = setting.recipe.strategy
    cap = {"cap": setting.recipe.budget.total_tokens} if strategy.allocates else {}  # what it costs is its cap
    name = _name(f"{setting.recipe_name}-{strategy.name}", _deciding(setting.recipe) | cap)
    return SharedRun(name, setting.path, setting.overrides, (setting,), stored=False)


def _name(words: str, content: dict[str, Any]) -> str:
    content = under_first_names(content)  # a comparison begun before a key was renamed finds its runs
    digest = hashlib.blake2b(json.dumps(content, sort_keys=True, default=str).encode(), digest_size=4).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', words).strip('-')}-{digest}"


def _other_overrides(setting: Setting) -> list[str]:
    """The setting's overrides of everything but the strategy and its cap."""
    keys = ("strategy.", "budget.", "answer.")
    return [override for override in setting.overrides if not override.startswith(keys)]


def _deciding(recipe: Recipe) -> dict[str, Any]:
    """What decides results, with the models by their whole addresses: two folders of one name are two models here."""
    deciding = decides_results(recipe)
    for role, section in (("generator", recipe.generator), ("prm", recipe.prm)):
        if section is not None:
            deciding[role] = {**deciding[role], "model": section.model}
    return deciding
