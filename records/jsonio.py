"""Frozen dataclasses as JSON files, with every field checked on the way in.

`encode` writes what `decode` reads back equal. A missing field, a wrong type or a value that the dataclass refuses is a
`Damaged` that names the file; fields that are not known are ignored, so that a later version may add some, and one
that an earlier version did not have (`added`) has its default where it is missing.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, field, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from records.bounded import parse_json, quoted
from records.failure import Damaged

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
SINCE = "since"
"""Metadata of a field that older files do not have: the schema version that has it first."""


def encode(value: "DataclassInstance") -> bytes:
    """A dataclass as JSON text; tuples become lists.

    Raises:
        ValueError: it holds a number that JSON has no word for (NaN, infinity).
    """
    return (json.dumps(asdict(value), ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def encode_small(value: "DataclassInstance") -> bytes:
    """The same in one line: for files that programs read, and large ones. Raises as `encode`."""
    return (json.dumps(asdict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n").encode()


def decode(cls: type[T], data: bytes, name: str) -> T:
    """The `cls` that the file `name` holds.

    Raises:
        Damaged: it does not hold one.
    """
    try:
        decoded: T = _object(cls, parse_json(data), "")
    except (TypeError, ValueError, OverflowError) as error:
        raise Damaged(f"{name} is not a valid {cls.__name__.lower()}: {quoted(error)}") from error
    return decoded


def _object(cls: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{where or 'the file'} must be an object")
    arguments = {}
    for name, hint in _hints(cls).items():
        if name not in value:
            if name in _added(cls):
                continue
            raise ValueError(f"{where}{name} is missing")
        arguments[name] = _value(hint, value[name], f"{where}{name}")
    return cls(**arguments)


def added(since: int, default: Any) -> Any:
    """A dataclass field that files have since that schema version; older ones mean `default`."""
    return field(default=default, metadata={SINCE: since})


@cache
def _added(cls: Any) -> frozenset[str]:
    return frozenset(known.name for known in fields(cls) if SINCE in known.metadata)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {known.name: hints[known.name] for known in fields(cls)}


def _value(hint: Any, value: object, where: str) -> object:
    if is_dataclass(hint) and isinstance(hint, type):
        return _object(hint, value, f"{where}.")
    origin = get_origin(hint)
    if origin is types.UnionType:
        return None if value is None else _value(get_args(hint)[0], value, where)
    if origin is tuple:
        items = _checked(list, value, where)
        return tuple(_value(get_args(hint)[0], item, f"{where}[{index}]") for index, item in enumerate(items))
    if origin is dict:
        entries = _checked(dict, value, where)
        return {key: _value(get_args(hint)[1], item, f"{where}.{key}") for key, item in entries.items()}
    if hint is object:
        return value
    return _scalar(hint, value, where)


def _scalar(hint: type, value: object, where: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise TypeError(f"{where} must be {hint.__name__}, not {value!r:.40}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{where} does not fit 64 bits")
    return value


def _checked(kind: type[T], value: object, where: str) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{where} must be a {kind.__name__}, not {value!r:.40}")
    return value


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested objects as dotted keys: {"a": {"b": 1}} -> {"a.b": 1}; an empty object stays one."""
    leaves: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
