"""What every section of a recipe is made of: a frozen, checked model and a described field.

A field marked `operational` changes how a run is carried out, not what it decides: a resume may change it. Such are
caps, replica counts, engine sizes and flush settings. All others are compared when a run is resumed.
"""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from records.addresses import has_password

PLUGIN = "module:function"
_PLUGIN_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Section(BaseModel):
    """No unknown key, no coercion ("3" is not 3), no infinity, no change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())


def without_password(value: object) -> object:
    """The value of a setting that is recorded; for a validator before any other. Raises `ValueError`."""
    if isinstance(value, str) and has_password(value):
        raise ValueError("names a user or a password, which would stand in the run for whoever reads it: leave it out")
    return value


def setting(default: Any, description: str, *, operational: bool = False, silent: bool = False, **bounds: Any) -> Any:
    """A field with a default; `bounds` are pydantic's ge, gt, le, lt, min_length and pattern.

    A `silent` field is left out of recorded recipes while it has its default: runs that were begun before it existed
    are resumed, and comparisons find them under the same names.
    """
    return Field(
        default,
        description=description,
        json_schema_extra={"operational": operational},
        exclude_if=(lambda value: value == default) if silent else None,
        **bounds,
    )


def is_plugin(name: str) -> bool:
    """Whether a name has the form `module:function`."""
    return _PLUGIN_NAME.fullmatch(name) is not None
