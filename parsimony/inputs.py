"""What a caller gives, as the files and settings that the commands read; and a place beside a running loop."""

import asyncio
import json
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from records.failure import InvalidInput

Problems = str | PathLike[str] | Iterable[Mapping[str, object]] | Any
"""A file or s3:// address; rows as dictionaries; or a table of pyarrow, pandas or Polars."""


@contextmanager
def problem_file(problems: Problems) -> Iterator[str]:
    """Where the problems can be read, while the context lasts: their own file, or one that is made of their rows.

    Raises:
        InvalidInput: they are none of what `Problems` names.
    """
    if isinstance(problems, str | PathLike):
        yield str(problems)
        return
    with tempfile.TemporaryDirectory(prefix="parsimony-problems-") as folder:
        file = Path(folder) / "problems.parquet"
        pq.write_table(_table_of(problems), file)
        yield str(file)


def _table_of(problems: Any) -> pa.Table:
    if hasattr(problems, "__arrow_c_stream__"):  # pyarrow, Polars, and pandas from 2.2
        return pa.table(problems)
    try:
        rows = list(problems)
    except TypeError:
        rows = [problems]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidInput(
            f"problems: {type(problems).__name__} is no file, table (pyarrow, pandas, Polars) or list of dictionaries "
            "like {'question': ..., 'answer': ...}"
        )
    names = dict.fromkeys(str(name) for row in rows for name in row)  # from_pylist has those of the first row only
    try:
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    except pa.ArrowException as error:
        raise InvalidInput(f"problems: values of one column are of several types: {error}") from error


def overrides_of(settings: Mapping[str, object] | None) -> tuple[str, ...]:
    """`{"strategy.num_samples": 8}` as `section.key=value`; None takes the setting out of the recipe."""
    return tuple(f"{key}={'' if value is None else toml(value)}" for key, value in (settings or {}).items())


def toml(value: object) -> str:
    """A value as TOML writes it.

    >>> toml({"a": [1, 2.5], "b": "x", "c": True})
    '{"a" = [1, 2.5], "b" = "x", "c" = true}'

    Raises:
        InvalidInput: TOML has no word for it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str | PathLike):
        return _text(str(value))
    if isinstance(value, int | float):
        return repr(value)
    raise InvalidInput(f"settings: {value!r:.60} is no text, number, truth, list or dictionary")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character that TOML escapes too


def strategy_overrides(strategy: str | Callable[..., object] | None) -> tuple[str, ...]:
    """The strategy as a setting: a name, or a function of the caller's own, which is found again by its name.

    Raises:
        InvalidInput: a function that cannot be found again.
    """
    if strategy is None:
        return ()
    if isinstance(strategy, str):
        return (f"strategy.name={strategy}",)
    name = getattr(strategy, "__qualname__", "")
    if not name.isidentifier():
        raise InvalidInput(f"strategy: {strategy!r:.80} must be a function at the top level of a module or notebook")
    return (f"strategy.name={strategy.__module__}:{name}",)


@contextmanager
def as_in_a_program() -> Iterator[None]:
    """Be where commands expect to be: in no running event loop (a notebook has one), with signals as they were after.

    The loop does not turn meanwhile: a call of this library is one that is waited for. Ctrl-C and the notebook's stop
    button arrive as everywhere.
    """
    loop = asyncio._get_running_loop()
    handler = signal.getsignal(signal.SIGTERM)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)
