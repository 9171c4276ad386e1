"""What is wrong with a recipe, in the recipe's own words: where, which value, which bound, which key was meant."""

import difflib
import re
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from jobs.recipes.section import PLUGIN
from jobs.recipes.sections import SECTIONS, SUBSECTIONS, Recipe
from jobs.recipes.strategies.registry import STRATEGIES, row_of
from records.bounded import quoted

Tables = dict[str, Any]
MAX_MISTAKES = 20
"""That one message lists."""
_ENUM_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")
"""As pydantic writes one where some members of an enum are allowed; the recipe has its value only."""


def describe(error: ValidationError, tables: Tables, *, file: str, overridden: Collection[str]) -> str:
    """One line per mistake, each with its origin: the file, or `--set`."""
    lines = []
    details = error.errors(include_url=False)
    for detail in details[:MAX_MISTAKES]:
        where, text = _message(dict(detail), tables)
        from_set = any(f"{where}.".startswith(f"{key}.") for key in overridden)
        lines.append(f"--set {text}" if from_set else f"{file}: {text}")
    if len(details) > MAX_MISTAKES:
        lines.append(f"... and {len(details) - MAX_MISTAKES} more mistakes")
    return "\n".join(lines)


def _message(detail: dict[str, Any], tables: Tables) -> tuple[str, str]:
    """The key at fault, dotted, and what to say of it."""
    where, kind, value = ".".join(quoted(part, 80) for part in detail["loc"]), detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        if isinstance(value, dict) and value:  # an unknown section: what was its first key meant to be?
            where = f"{where}.{quoted(next(iter(value)), 80)}"
        return where, f"{where} is not a known key{_meant(where, tables)}"
    if kind == "missing":
        return where, f"{where} is missing"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return where, f"{where} = {_as_toml(value)}: must be a section"
    if where == "strategy" and row_of(value) is None:
        return "strategy.name", _unknown_strategy(value)
    text = quoted(detail["msg"], 500).removeprefix("Value error, ").replace("Input should", "must")
    text = _ENUM_MEMBER.sub(r"\1", text)
    if isinstance(value, dict | BaseModel):  # keys that do not fit together; the text names them
        return where, f"[{where}] {text}" if where else text
    return where, f"{where} = {_as_toml(value)}: {text}"


def _as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{quoted(value)}"' if isinstance(value, str) else quoted(value)


def _unknown_strategy(section: object) -> str:
    if not isinstance(section, dict):
        return f"strategy = {_as_toml(section)}: must be a section with a name"
    if "name" not in section:
        return f"strategy.name is missing: one of {', '.join(STRATEGIES)}"
    name = section["name"]
    near = difflib.get_close_matches(str(name), [known for known in STRATEGIES if known != PLUGIN], n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"strategy.name = {_as_toml(name)}: must be one of {', '.join(STRATEGIES)}{meant}"


def _meant(where: str, tables: Tables) -> str:
    """A suggestion: the same key of another section, else a close one of this section, else what there is."""
    section, _, key = where.rpartition(".")
    known = list(_known_keys(tables))
    elsewhere = [name for name in known if name.rpartition(".")[2] == key]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    siblings = {name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == section}
    near = difflib.get_close_matches(key, siblings, n=1)
    if near:
        return f"; did you mean {siblings[near[0]]}?"
    if siblings:
        return f"; known are {', '.join(sorted(siblings))}"
    near = difflib.get_close_matches(section, Recipe.model_fields, n=1)
    return f"; did you mean [{near[0]}]?" if near else f"; known are {', '.join(Recipe.model_fields)}"


def _known_keys(tables: Tables) -> Iterator[str]:
    """Every key that a recipe with these tables may have, dotted."""
    yield from Recipe.model_fields
    for name, section in (SECTIONS | SUBSECTIONS).items():
        yield from (f"{name}.{key}" for key in section.model_fields)
    row = row_of(tables.get("strategy"))
    if row is not None:
        yield from (f"strategy.{key}" for key in row.options.model_fields)
