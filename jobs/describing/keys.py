"""Every key of a recipe, from its field: type, unit, default, bounds, and what it says of itself."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jobs.describing.toml import toml_value
from jobs.recipes.section import PLUGIN
from jobs.recipes.sections import SECTIONS, SUBSECTIONS, Recipe
from jobs.recipes.strategies.registry import STRATEGIES

_UNITS = {
    "tokens_per_s": "tokens/s",
    "_gpu_seconds": "GPU-seconds",
    "_s": "s",
    "_gib": "GiB",
    "_usd": "USD",
    "_tokens": "tokens",
    "_len": "tokens",
    "block_size": "tokens",
    "window": "tokens",
    "_share": "share of 1",
    "_utilization": "share of 1",
    "_coverage": "share of 1",
}
"""By the end of a key's name."""
_TYPES = {bool: "true or false", int: "integer", float: "number", str: "text", dict: "table"}
_WORDS = {"Ge": ("ge", "at least"), "Gt": ("gt", "above"), "Le": ("le", "at most"), "Lt": ("lt", "below")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingKey:
    """One key.

    Attributes:
        name: within its section.
        kind: of its values, in words.
        unit: "" where there is none.
        default: as TOML; "required", or "omitted" where the key may be left out and stands for nothing.
        bounds: "" where there are none.
        text: what it is.
        resumable: a resume may change it.
    """

    name: str
    kind: str
    unit: str
    default: str
    bounds: str
    text: str
    resumable: bool


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """A section, or the options of one strategy: its title as a recipe has it, what it is, its keys."""

    title: str
    text: str
    keys: tuple[SettingKey, ...]


def key_groups() -> Iterator[KeyGroup]:
    """All keys: those outside any section, each section, and the options of each strategy."""
    outside = {
        name: field for name, field in Recipe.model_fields.items() if name not in SECTIONS and name != "strategy"
    }
    yield KeyGroup("", "Keys outside any section; they come first in the file.", tuple(_keys(outside)))
    for name, section in SECTIONS.items():
        resumable = _is_operational(Recipe.model_fields[name])
        own = {key: field for key, field in section.model_fields.items() if f"{name}.{key}" not in SUBSECTIONS}
        yield KeyGroup(f"[{name}]", _first_line(section), tuple(_keys(own, resumable)))
        for table in (f"{name}.{key}" for key in section.model_fields if key not in own):
            within = SUBSECTIONS[table]
            yield KeyGroup(f"[{table}]", _first_line(within), tuple(_keys(within.model_fields, resumable)))
    for row in STRATEGIES.values():
        name = row.name if row.name != PLUGIN else "module:function"
        yield KeyGroup(f'[strategy] name = "{name}"', _first_line(row.options), tuple(_keys(row.options.model_fields)))


def _keys(fields: dict[str, FieldInfo], resumable: bool = False) -> Iterator[SettingKey]:
    for name, field in fields.items():
        yield SettingKey(
            name=name,
            kind=_kind(field.annotation),
            unit=next((unit for end, unit in _UNITS.items() if name.endswith(end)), ""),
            default=_default(field),
            bounds=_bounds(field),
            text=field.description or "",
            resumable=resumable or _is_operational(field),
        )


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


def _is_operational(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("operational"))


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(each) for each in inner if each is not NoneType))
    if origin is Literal:
        return ", ".join(toml_value(each.value if isinstance(each, Enum) else each) for each in inner)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(toml_value(each.value) for each in annotation)
    if origin is tuple:
        return f"list of {' or '.join(map(_plural, _kind(inner[0]).split(' or ')))}"
    is_table = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return "table" if is_table else _TYPES[origin or annotation]


def _plural(kind: str) -> str:
    return kind.replace("list of", "lists of", 1) if kind.startswith("list of") else f"{kind}s"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "omitted" if field.default is None else toml_value(field.default)


def _bounds(field: FieldInfo) -> str:
    said = []
    for bound in field.metadata:
        name = type(bound).__name__
        if name in _WORDS:
            attribute, words = _WORDS[name]
            said.append(f"{words} {_number(getattr(bound, attribute))}")
        elif name == "MinLen":
            said.append("not empty" if bound.min_length == 1 else f"at least {bound.min_length} long")
        elif name == "MaxLen":
            said.append(
                f"at most {bound.max_length:,} {'entries' if 'tuple' in str(field.annotation) else 'characters'}"
            )
        elif getattr(bound, "pattern", None):
            said.append(f"matches {json.dumps(bound.pattern)}")
    return ", ".join(said)


def _number(bound: float) -> str:
    return "2^63" if bound == 2**63 else f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
