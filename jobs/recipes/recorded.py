"""The recipe that a run was begun with, from its manifest: as it was, or with some settings changed."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from jobs.recipes.answers.risk import RiskSection
from jobs.recipes.errors import describe
from jobs.recipes.load import apply_override, parse_override
from jobs.recipes.read_files import with_answer_files
from jobs.recipes.renamed import rename_keys, renamed_overrides
from jobs.recipes.sections import Recipe
from jobs.recipes.trust import elsewhere
from records.failure import InvalidInput
from records.run_folder import layout
from records.run_folder.manifest import Manifest

SHAPE = ("num_samples", "beam_width", "max_steps", "frequency")
"""Strategy options that say how wide and deep a tree grows."""


def recorded_recipe(manifest: Manifest, overrides: Sequence[str] = (), *, places: bool = True) -> Recipe:
    """The resolved recipe of a run, checked.

    Another `strategy.name` starts from its own defaults, with what the run's strategy has in common with it:
    the shape of its tree (`SHAPE`), and options that were not at their default. A manifest does not say what a recipe
    left unsaid, and a default of one strategy is no wish for another.

    Args:
        manifest: of the run.
        overrides: `section.key=value`, as `jobs.recipes.load.load_recipe` reads them; paths are taken as they stand.
        places: keep where the run took place; a command that starts something leaves it out (`trust.elsewhere`).

    Raises:
        InvalidInput: an override that is none, or that does not fit; or a recipe of another version.
    """
    written: dict[str, Any] = json.loads(json.dumps(manifest.recipe))
    tables = {name: section for name, section in written.items() if section is not None}
    tables = tables if places else elsewhere(tables)
    rename_keys(tables, where=None)
    if not overrides:
        return _validated(tables, [])
    parsed = renamed_overrides([parse_override(override) for override in overrides])
    own = tables["strategy"]
    if any(key == "strategy.name" and value != own["name"] for key, value in parsed):
        tables["strategy"] = _as_chosen(_validated(tables, []))
    for key, value in parsed:
        apply_override(tables, key, value)
    return _with_named_files(_validated(tables, [key for key, _ in parsed]), {key for key, _ in parsed})


def _with_named_files(recipe: Recipe, named: set[str]) -> Recipe:
    """What the user names is read; what a manifest names is not: its numbers stand in it."""
    risk = recipe.answer.risk
    if isinstance(risk, RiskSection) and named & {"answer.target_error", "answer.target_level", "answer.estimate"}:
        raise InvalidInput(
            "answer.target_error: the run holds the threshold that was chosen, not what it was chosen from: name the "
            "file of calibrate-risk too (answer.risk=FILE)"
        )
    if any(isinstance(getattr(recipe.answer, key), str) and f"answer.{key}" not in named for key in ("model", "risk")):
        return recipe  # a file that the manifest names is refused where its numbers are needed
    return with_answer_files(recipe)


def _as_chosen(recipe: Recipe) -> dict[str, Any]:
    """The strategy section without what stands at its default, but for the shape of the tree."""
    every: dict[str, Any] = recipe.strategy.model_dump(mode="json")
    chosen: dict[str, Any] = recipe.strategy.model_dump(mode="json", exclude_defaults=True)
    return {**{key: value for key, value in every.items() if key in SHAPE}, **chosen}


def _validated(tables: dict[str, Any], overridden: Sequence[str]) -> Recipe:
    try:
        return Recipe.model_validate_json(json.dumps(tables, default=str))
    except ValidationError as error:
        raise InvalidInput(describe(error, tables, file=layout.MANIFEST, overridden=overridden)) from error
