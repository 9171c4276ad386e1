"""What a resume must find in a recipe as it was, and what it may change: the recipe as a manifest has it."""

from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jobs.recipes.sections import MODELS, SECTIONS, Recipe


def as_json(recipe: Recipe) -> dict[str, Any]:
    """The whole recipe, resolved, for the manifest."""
    return recipe.model_dump(mode="json")


def decides_results(recipe: Recipe) -> dict[str, Any]:
    """What a resume must find unchanged: all but the operational fields.

    A model counts by the last part of its name: the same weights in another folder are the same model, and the
    manifest's hashes tell other weights.
    """
    deciding = _deciding(recipe)
    for key in MODELS:
        role, _, name = key.partition(".")
        section = deciding.get(role)
        if section is not None and section.get(name) is not None:
            section[name] = Path(section[name]).name
    return deciding


TOLD_BY_CONTENT = (
    "generator.model",
    "prm.model",
    *(f"problems.{name}" for name in ("preset", "problem_id", "question", "reference")),
)
"""Keys that name something whose content has to agree, whatever it is called: models by their hashes, columns by the
fingerprint of ids, questions and answer keys."""


def operational_keys() -> tuple[str, ...]:
    """Dotted keys of a recipe that a resume may change; a section ends in a dot."""
    keys = list(TOLD_BY_CONTENT)
    for name, field in Recipe.model_fields.items():
        if _operational(field):
            keys.append(f"{name}.")
        elif name in SECTIONS:
            inner_fields = SECTIONS[name].model_fields.items()
            keys += [
                f"{name}.{key}{'.' if _is_table(inner) else ''}" for key, inner in inner_fields if _operational(inner)
            ]
    return tuple(keys)


def _is_table(field: FieldInfo) -> bool:
    """Whether its value may have keys of its own."""
    return get_origin(field.annotation) is dict


def _operational(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("operational"))


def _deciding(section: BaseModel) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        if _operational(field):
            continue
        value = getattr(section, name)
        if field.exclude_if is not None and field.exclude_if(value):
            continue
        kept[name] = _deciding(value) if isinstance(value, BaseModel) else value
    return kept
