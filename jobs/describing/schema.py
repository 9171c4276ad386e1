"""The JSON schema of recipes, for editors: shipped as recipe.schema.json beside this module."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from jobs.recipes.engines import SCRIPTED
from jobs.recipes.section import PLUGIN
from jobs.recipes.sections import Recipe
from jobs.recipes.strategies.registry import STRATEGIES

SCHEMA_FILE = "recipe.schema.json"


class _Generator(GenerateJsonSchema):
    """Leaves the strategy section open: its options depend on its name."""

    def function_plain_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ARG002 (of any kind)
        return {"type": "object"}


def recipe_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    schema = Recipe.model_json_schema(schema_generator=_Generator)
    strategies = [_strategy(row.name, row.options) for row in STRATEGIES.values()]
    schema["properties"]["strategy"] = {"description": "How samples are spent on a problem.", "anyOf": strategies}
    for role in ("GeneratorSection", "PrmSection"):  # a scripted model needs no name
        section = schema["$defs"][role]
        section["required"].remove("model")
        number = section["properties"]["num_replicas"]
        bounds = {name: number.pop(name) for name in ("type", "minimum", "maximum")}
        ends = {"type": "object", "properties": {"min": bounds, "max": bounds}, "required": ["min", "max"]}
        section["properties"]["num_replicas"] = {**number, "anyOf": [bounds, {**ends, "additionalProperties": False}]}
        scripted = {"properties": {"kind": {"const": SCRIPTED}}, "required": ["kind"]}
        section["anyOf"] = [{"required": ["model"]}, scripted]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without(schema, "operational")}


def schema_text() -> str:
    """The schema as its file has it."""
    return json.dumps(recipe_schema(), indent=1, default=list) + "\n"


def _strategy(name: str, options: type[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = options.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    if name == PLUGIN:
        schema["properties"]["name"] = {"type": "string", "pattern": ":"}
        schema["additionalProperties"] = True
    else:
        schema["properties"]["name"] = {"const": name}
    return schema


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    """The value with each reference replaced by what it names."""
    if isinstance(value, dict):
        if "$ref" in value:
            return {**definitions[value["$ref"].rpartition("/")[2]], **{k: v for k, v in value.items() if k != "$ref"}}
        return {key: _inlined(each, definitions) for key, each in value.items()}
    return [_inlined(each, definitions) for each in value] if isinstance(value, list) else value


def _without(value: Any, key: str) -> Any:
    """The value without our own mark, which no editor knows."""
    if isinstance(value, dict):
        return {name: _without(each, key) for name, each in value.items() if name != key}
    return [_without(each, key) for each in value] if isinstance(value, list) else value
