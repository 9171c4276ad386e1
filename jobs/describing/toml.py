"""Values and tables written as TOML, which the standard library only reads."""

import json
import re
from collections.abc import Mapping
from enum import Enum

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_value(value: object) -> str:
    r"""A value as TOML, on one line.

    >>> toml_value(["a\n", {"b c": True}, 1e-4])
    '["a\\n", { "b c" = true }, 0.0001]'

    Raises:
        TypeError: TOML has no such value; null is none.
    """
    if isinstance(value, Enum):
        return toml_value(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(name)} = {toml_value(each)}" for name, each in value.items() if each is not None)
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_value(name)
