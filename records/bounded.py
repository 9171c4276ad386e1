"""Files and texts from outside, within bounds: what is too large, too deep or no plain file is refused, not read.

Who may write a recipe, a problem file, a model's folder or a run's folder is not who runs Parsimony. Each of these
readers raises one `ValueError` (`OSError` where the file cannot be read) that names the bound; the caller adds the
place. Memory is bounded by the bytes and the number of values, recursion by the depth, before anything recurses.

    read_file(path, max_bytes)    a regular file, not a device, a pipe or a folder
    parse_json(data)              as `json.loads`, and no NaN, no infinity, no key twice
    parse_toml(data)              as `tomllib.loads`
"""

import json
import math
import re
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 64 * 2**20
MAX_JSON_VALUES = 2_000_000
"""Commas, colons and brackets of a JSON text: each stands for a value, of up to a hundred bytes of memory."""
MAX_TOML_BYTES = 2**20
MAX_TOML_KEYS = 2_000
"""Values of a TOML file, those of nested tables counted by themselves."""
MAX_DEPTH = 64
"""Objects and arrays inside each other."""
MAX_DIGITS = 4_300
"""Of an integer, by Python's own bound: reading one takes time that grows with the square."""
MAX_QUOTED_CHARS = 200
"""Of what a message quotes."""

_DOTTED = re.compile(rf"(?<![\w-])(?>(?:[\w-]+|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}")
"""A key of more parts than any table may be deep: reading one takes memory that grows with the square."""


def quoted(text: object, max_chars: int = MAX_QUOTED_CHARS) -> str:
    """At most a line of a text, for a message: what is left out is counted."""
    line = str(text)
    return line if len(line) <= max_chars else f"{line[:max_chars]}... ({len(line) - max_chars} more characters)"


def check_regular(path: Path, max_bytes: int | None = None) -> int:
    """The size of a regular file, in bytes.

    Raises:
        OSError: there is none.
        ValueError: it is something else, or larger than `max_bytes`.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file, but a folder, a pipe or a device")
    if max_bytes is not None and found.st_size > max_bytes:
        raise ValueError(f"it has {found.st_size:,} bytes; at most {max_bytes:,} are read")
    return found.st_size


def read_file(path: Path, max_bytes: int = MAX_JSON_BYTES, *, pipe: bool = False) -> bytes:
    """The content of a file.

    Args:
        path: of the file.
        max_bytes: that it may have.
        pipe: it may be a pipe too, as a shell makes one of `<(...)`; for files that the user has named.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or larger.
    """
    if not (pipe and stat.S_ISFIFO(path.stat().st_mode)):
        check_regular(path, max_bytes)
    with path.open("rb") as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content


def parse_json(data: bytes | str, *, max_bytes: int = MAX_JSON_BYTES, constants: bool = False) -> Any:
    """The value that a JSON text holds; `constants`: NaN and infinities too, which JSON has not and models' files have.

    Raises:
        ValueError: it is none, or beyond a bound; `UnicodeDecodeError` and `json.JSONDecodeError` are such.
    """
    if len(data) > max_bytes:
        raise ValueError(f"it has {len(data):,} bytes; at most {max_bytes:,} are read")
    text = data if isinstance(data, str) else data.decode()
    if sum(map(text.count, ",:[{")) > MAX_JSON_VALUES:
        raise ValueError(f"it may hold more than {MAX_JSON_VALUES:,} values")
    try:
        value = json.loads(
            text,
            parse_constant=float if constants else _no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_each_key_once,
        )
    except RecursionError:
        raise ValueError(_too_deep()) from None
    if is_deeper(value, MAX_DEPTH):
        raise ValueError(_too_deep())
    return value


def parse_toml(data: bytes | str, *, max_bytes: int = MAX_TOML_BYTES) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: it is none, or beyond a bound; `UnicodeDecodeError` and `tomllib.TOMLDecodeError` are such.
    """
    if len(data) > max_bytes:
        raise ValueError(f"it has {len(data):,} bytes; at most {max_bytes:,} are read")
    text = data if isinstance(data, str) else data.decode()
    if _DOTTED.search(text):
        raise ValueError(_too_deep())
    if text.count("=") > 10 * MAX_TOML_KEYS:  # some may stand in texts
        raise ValueError(f"it holds more than {MAX_TOML_KEYS:,} values")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    if is_deeper(tables, MAX_DEPTH):
        raise ValueError(_too_deep())
    if _num_values(tables) > MAX_TOML_KEYS:
        raise ValueError(f"it holds more than {MAX_TOML_KEYS:,} values")
    return tables


def is_deeper(value: object, max_depth: int) -> bool:
    """Whether objects and arrays stand inside each other more than so many times."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(max_depth):
        if not level:
            return False
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, leads to a place in `folder`."""
    return path.resolve().is_relative_to(folder.resolve())


def _num_values(value: object) -> int:
    if isinstance(value, dict):
        return sum(1 + _num_values(inner) for inner in value.values())
    return sum(1 + _num_values(inner) for inner in value) if isinstance(value, list) else 0


def _too_deep() -> str:
    return f"it is nested deeper than {MAX_DEPTH} levels"


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{quoted(text, 40)} is larger than any number here")
    return number


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer has {len(text):,} digits; at most {MAX_DIGITS:,} are read")
    return int(text)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        twice = next(key for key, times in counted.items() if times > 1)
        raise ValueError(f"the key {quoted(twice, 80)!r} is there twice")
    return found
