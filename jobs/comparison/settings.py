"""What `parsimony compare` compares: each `--strategies` entry on each recipe, as a setting with a recipe of its own.

    [RECIPE@]STRATEGY[:key=value]...      RECIPE   file name of one of the recipes, without .toml; omitted: each of them
                                          key      of the strategy, or section.key of anything else in the recipe

    best-of-n:num_samples=64        large@majority        sequential:threshold=0.9:prm.model=prms/calibrated

A cap (`budget.total_tokens`) is only for strategies that share it out; "50%" is that share of what the baseline takes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.recipes.load import load_recipe
from jobs.recipes.sections import Recipe
from records.failure import InvalidInput

_SPEC = re.compile(r"(?:(?P<recipe>[^@:=]+)@)?(?P<name>[^@=]+?)(?P<options>(?::[\w.-]+=.*)?)")
_OPTION = re.compile(r":(?=[\w.-]+=)")
_CAP = "budget.total_tokens"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the comparison.

    Attributes:
        label: how it is called: as it was written, with its recipe's name where there are several recipes.
        recipe_name: file name of its recipe, without suffix.
        path: of the recipe.
        overrides: of the recipe, `section.key=value`.
        recipe: resolved.
        baseline_share: its cap as a share of what the baseline takes; None where it has none, or one in tokens.
    """

    label: str
    recipe_name: str
    path: Path
    overrides: tuple[str, ...]
    recipe: Recipe
    baseline_share: float | None


def comparison_settings(
    recipes: Sequence[Path], strategies: Sequence[str], overrides: Sequence[str], *, read_files: bool = True
) -> tuple[Setting, ...]:
    """All settings, in the order given.

    Args:
        recipes: files, or names of shipped ones.
        strategies: entries as above.
        overrides: `--set`, for every setting; an entry's own come after it.
        read_files: as of `load_recipe`.

    Raises:
        InvalidInput: names the entry and what to do.
    """
    names = [path.stem for path in recipes]
    if len(set(names)) < len(names):
        raise InvalidInput(
            f"--recipe: two recipes are called {_repeated(names)!r}: rename one, the name tells them apart"
        )
    settings = [
        _setting(dict(zip(names, recipes, strict=True)), name, spec, overrides, read_files=read_files)
        for spec in strategies
        for name in _recipes_of(spec, names)
    ]
    labels = [setting.label for setting in settings]
    if len(set(labels)) < len(labels):
        raise InvalidInput(f"--strategies: {_repeated(labels)} is there twice")
    return tuple(settings)


def capped(setting: Setting, baseline_tokens: float) -> Setting:
    """The setting with its cap in tokens, where it was a share of what the baseline takes."""
    if setting.baseline_share is None:
        return setting
    total_tokens = max(1, round(setting.baseline_share * baseline_tokens))
    budget = setting.recipe.budget.model_copy(update={"total_tokens": total_tokens})
    return replace(setting, recipe=setting.recipe.model_copy(update={"budget": budget}), baseline_share=None)


def _recipes_of(spec: str, names: Sequence[str]) -> list[str]:
    recipe = _parsed(spec)["recipe"]
    if recipe is None:
        return list(names)
    if recipe not in names:
        raise InvalidInput(f"--strategies {spec}: no --recipe is called {recipe!r}; there are {', '.join(names)}")
    return [recipe]


def _setting(recipes: dict[str, Path], name: str, spec: str, overrides: Sequence[str], *, read_files: bool) -> Setting:
    parsed = _parsed(spec)
    own = [f"strategy.name={parsed['name']}"]
    share = None
    for option in _OPTION.split(parsed["options"] or "")[1:]:
        key, _, value = option.partition("=")
        if key == _CAP and value.endswith("%"):
            share = _share(spec, value)
        else:
            own.append(option if "." in key else f"strategy.{option}")
    written = f"{parsed['name']}{parsed['options']}"
    every = (*overrides, *own)
    try:
        recipe = load_recipe(recipes[name], every, read_files=read_files)
    except InvalidInput as error:
        raise InvalidInput(f"--strategies {spec}: {error}") from error
    label = f"{name}@{written}" if len(recipes) > 1 else written
    if not recipe.strategy.answers:
        raise InvalidInput(f"--strategies {spec}: {recipe.strategy.name} is not run for its answers")
    setting = Setting(label, name, recipes[name], every, recipe, share)
    _check_cap(setting)
    return setting


def _check_cap(setting: Setting) -> None:
    budget = setting.recipe.budget
    has_cap = budget.total_tokens is not None or setting.baseline_share is not None
    shares_out = setting.recipe.strategy.allocates and setting.recipe.strategy.most_samples is not None
    if budget.time_caps or (has_cap and not shares_out):
        raise InvalidInput(
            f"--strategies {setting.label}: [budget] ends problems by chance of order, which says nothing of a "
            f"strategy; leave it out of the recipe (only strategies that share a cap out may have {_CAP})"
        )


def _share(spec: str, value: str) -> float:
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 10:
        raise InvalidInput(f"--strategies {spec}: {_CAP}={value} must be a percentage of the baseline's, like 50%")
    return share


def _parsed(spec: str) -> dict[str, str | None]:
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise InvalidInput(f"--strategies {spec!r}: must be [RECIPE@]STRATEGY[:key=value]...")
    return match.groupdict()


def _repeated(names: Sequence[str]) -> str:
    return next(name for name in names if names.count(name) > 1)
