"""A recipe with all that it leaves unsaid, as TOML that is the same recipe; and a new one with all that may be said."""

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from jobs.describing.keys import KeyGroup, SettingKey, key_groups
from jobs.describing.toml import toml_value
from jobs.recipes.sections import SECTIONS, SUBSECTIONS, Recipe
from jobs.recipes.strategies.registry import row_of

COMMENT_COLUMN = 48
"""Where comments begin, if what they are about ends before."""


def shown_recipe(recipe: Recipe, *, changed_only: bool = False) -> str:
    """The recipe as TOML; each value that is the default's says so.

    Args:
        recipe: resolved.
        changed_only: leave out what is at its default.
    """
    whole = recipe.model_dump(mode="json")
    whole |= {name: _with_silent(attrgetter(name)(recipe)) for name in (*SECTIONS, *SUBSECTIONS)}
    return "\n".join(_shown(recipe, whole, changed_only)).lstrip("\n") + "\n"


def _with_silent(section: Any) -> dict[str, Any] | None:
    """Every key of a section, those too that records leave out at their default."""
    if section is None:
        return None
    dumped: dict[str, Any] = section.model_dump(mode="json")
    return {name: dumped.get(name, field.default) for name, field in type(section).model_fields.items()}


def _shown(recipe: Recipe, tables: Mapping[str, Any], changed_only: bool) -> Iterator[str]:
    for group in groups_of(recipe.strategy.name):
        section = section_of(group)
        table = tables if not section else tables.get(section)
        if table is None:
            continue
        lines = [_line(key, table[key.name]) for key in group.keys if key.name in table]
        lines = [line for line in lines if not (changed_only and (line.startswith("#") or line.endswith("# default")))]
        if lines:
            yield from ("", f"[{section}]", *lines) if section else lines


def _line(key: SettingKey, value: object) -> str:
    if value is None:
        return f"# {key.name} is omitted"
    written = toml_value(value)
    return commented(f"{key.name} = {written}", "default") if written == key.default else f"{key.name} = {written}"


def new_recipe(values: Mapping[str, Mapping[str, object]]) -> str:
    """A new recipe: what is said, and every other key as a comment, at its default.

    Args:
        values: section -> key -> value; with a strategy's name.
    """
    lines = ["# What may be said besides stands in comments, at its default. docs/recipe.md explains every key."]
    for group in groups_of(str(values["strategy"]["name"])):
        section = section_of(group)
        said = values.get(section, {})
        off = "" if said or section in ("", "strategy") else "# "
        lines += ["", f"# {group.text}", f"{off}[{section}]"] if section else ["", f"# {group.text}"]
        for key in group.keys:
            if key.name in said:
                lines.append(commented(f"{key.name} = {toml_value(said[key.name])}", key.text))
            else:
                default = key.default if key.default not in ("omitted", "required") else ""
                lines.append(commented(f"# {key.name} = {default}".rstrip(), key.text))
    return "\n".join(lines) + "\n"


def commented(line: str, text: str) -> str:
    """A line and its comment."""
    return f"{line:<{COMMENT_COLUMN}}  # {text}"


def groups_of(strategy: str) -> Iterator[KeyGroup]:
    """The groups of keys that a recipe with this strategy has."""
    row = row_of({"name": strategy})
    for group in key_groups():
        if section_of(group) != "strategy" or (row is not None and group.title == f'[strategy] name = "{row.name}"'):
            yield group


def section_of(group: KeyGroup) -> str:
    """The section's name; "" outside any."""
    return group.title.partition("]")[0].removeprefix("[")
