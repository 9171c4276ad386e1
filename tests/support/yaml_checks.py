"""What is wrong with a YAML file of this repository, down to a key that is misspelt; and every way to misspell one.

A checker takes a loaded document and gives sentences, none for a good one. Schemas that others publish let unknown keys
pass, as their programs do, so they are closed here: a key that nobody reads is a mistake.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import ray.autoscaler
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

RAY_SCHEMA = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
LABELS = {"parsimony.role", "parsimony.market"}
"""Of Ray nodes, by which replicas can be sent to them."""
RESOURCES = {"CPU", "GPU", "generator_slot", "prm_slot"}
"""What nodes offer to replicas."""
KINDS = {"head", "cpu", "generator-spot", "generator-on-demand", "prm-spot", "prm-on-demand"}


def closed(schema: Any) -> Any:
    """A JSON schema that allows no key which it does not name; maps with keys of the user's own stay open."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object"
    free = "patternProperties" in schema or isinstance(schema.get("additionalProperties"), dict)
    if named and not free and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found["additionalProperties"] = False
    return found


def mistakes_by(schema: Mapping[str, Any], document: Any) -> list[str]:
    """What a schema says of a document."""
    validator = jsonschema.Draft7Validator(schema)
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in sorted(validator.iter_errors(document), key=str)
    ]


def unknown_keys(schema: Mapping[str, Any], document: Any, path: str = "") -> list[str]:
    """Keys of a document that a closed schema does not name: a small part of what it says, and quickly said."""
    if isinstance(document, list):
        items = schema.get("items", {})
        return [line for number, item in enumerate(document) for line in unknown_keys(items, item, f"{path}.{number}")]
    if not isinstance(document, dict):
        return []
    named, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    found = [f"{path}.{key}: nobody reads that" for key in document if key not in named and others is False]
    for key, value in document.items():
        found += unknown_keys(named.get(key, others or {}), value, f"{path}.{key}")
    return found


def misspelt(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The document with one key misspelt, for every key of it; which, and the whole document."""
    yield from _misspelt(document, document, path)


def _misspelt(whole: Any, part: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(part, list):
        for index, item in enumerate(part):
            yield from _misspelt(whole, item, (*path, index))
    if isinstance(part, dict):
        for key, value in part.items():
            changed = copy.deepcopy(whole)
            place = changed
            for step in path:
                place = place[step]
            place[key[:-1] if len(key) > 1 else f"{key}x"] = place.pop(key)
            yield ".".join(map(str, (*path, key))), changed
            yield from _misspelt(whole, value, (*path, key))


@cache
def _ray_schema() -> dict[str, Any]:
    found: dict[str, Any] = closed(json.loads(RAY_SCHEMA.read_text()))
    found["properties"]["provider"]["additionalProperties"] = False
    return found


@cache
def _instances() -> Any:
    """What EC2 takes of an instance that is started."""
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def ray_cluster_mistakes(document: dict[str, Any]) -> list[str]:
    """Of a file for `ray up`: by Ray, by its schema, and by the EC2 model of botocore for what Ray hands on."""
    found = mistakes_by(_ray_schema(), document)
    if found:
        return found
    try:
        validate_config(prepare_config(copy.deepcopy(document)))
    except (ValueError, KeyError, jsonschema.ValidationError) as error:
        return [str(error)]
    kinds = document["available_node_types"]
    found += [f"{kind} is no kind of node that the docs name" for kind in set(kinds) ^ KINDS]
    for name, kind in kinds.items():
        asked = {"MinCount": 1, "MaxCount": 1, **kind["node_config"]}
        report = ParamValidator().validate(asked, _instances())
        found += [f"{name}: {report.generate_report()}"] if report.has_errors() else []
        found += [f"{name}: nobody asks for {key}" for key in set(kind["resources"]) - RESOURCES]
        wanted = set() if name == document["head_node_type"] else LABELS
        found += [f"{name}: label {key}" for key in set(kind.get("labels", {})) ^ wanted]
    mounted = {"/home/ray/.ray/auth_token", "/home/ray/parsimony"}  # where Ray and the commands look
    return found + [f"file_mounts: {key}" for key in set(document["file_mounts"]) ^ mounted]


_HOOKS = closed(
    {
        "type": "object",
        "required": ["repos"],
        "properties": {
            "repos": {
                "items": {
                    "type": "object",
                    "required": ["repo", "hooks"],
                    "properties": {
                        "repo": {"const": "local"},
                        "hooks": {
                            "items": {
                                "type": "object",
                                "required": ["id", "name", "entry", "language"],
                                "properties": {
                                    "id": {"type": "string"},
                                    "name": {"type": "string"},
                                    "entry": {"type": "string"},
                                    "language": {"const": "system"},
                                    "types_or": {"items": {"type": "string"}},
                                    "pass_filenames": {"type": "boolean"},
                                },
                            }
                        },
                    },
                }
            }
        },
    }
)


def hooks_mistakes(document: dict[str, Any]) -> list[str]:
    """Of the file of pre-commit, of which it knows more keys than we use."""
    return mistakes_by(_HOOKS, document)


_TEXT = {"type": "string"}
_RULES = closed(
    {
        "type": "object",
        "required": ["groups"],
        "properties": {
            "groups": {
                "items": {
                    "type": "object",
                    "required": ["name", "rules"],
                    "properties": {
                        "name": _TEXT,
                        "rules": {
                            "items": {
                                "type": "object",
                                "required": ["alert", "expr", "labels", "annotations"],
                                "properties": {
                                    "alert": _TEXT,
                                    "expr": _TEXT,
                                    "for": _TEXT,
                                    "labels": {
                                        "required": ["severity"],
                                        "properties": {"severity": {"enum": ["critical", "warning", "info"]}},
                                    },
                                    "annotations": {
                                        "required": ["summary", "description"],
                                        "properties": {"summary": _TEXT, "description": _TEXT},
                                    },
                                },
                            }
                        },
                    },
                }
            }
        },
    }
)
_EXPECTED = {
    "type": "object",
    "required": ["exp_labels", "exp_annotations"],
    "properties": {
        "exp_labels": {
            "required": ["severity", "run"],
            "properties": {"severity": _TEXT, "run": _TEXT, "role": _TEXT, "replica": _TEXT},
        },
        "exp_annotations": {
            "required": ["summary", "description"],
            "properties": {"summary": _TEXT, "description": _TEXT},
        },
    },
}
_RULES_TEST = closed(
    {
        "type": "object",
        "required": ["rule_files", "evaluation_interval", "tests"],
        "properties": {
            "rule_files": {"const": ["alerts.yaml"]},
            "evaluation_interval": _TEXT,
            "tests": {
                "items": {
                    "type": "object",
                    "required": ["interval", "input_series", "alert_rule_test"],
                    "properties": {
                        "interval": _TEXT,
                        "input_series": {
                            "items": {
                                "type": "object",
                                "required": ["series", "values"],
                                "properties": {"series": _TEXT, "values": _TEXT},
                            }
                        },
                        "alert_rule_test": {
                            "items": {
                                "type": "object",
                                "required": ["eval_time", "alertname", "exp_alerts"],
                                "properties": {
                                    "eval_time": _TEXT,
                                    "alertname": _TEXT,
                                    "exp_alerts": {"items": _EXPECTED},
                                },
                            }
                        },
                    },
                }
            },
        },
    }
)


def rules_mistakes(document: dict[str, Any]) -> list[str]:
    """Of a file of alert rules: its keys. What the rules mean is promtool's to say."""
    return mistakes_by(_RULES, document)


def rules_test_mistakes(document: dict[str, Any]) -> list[str]:
    """Of promtool's tests of them: their keys, likewise."""
    return mistakes_by(_RULES_TEST, document)
