"""Recipe keys that once had another name: the old one is read as the new one, and the user is told once.

A recipe, once read, has the new names only. Of one in a record nothing is said: it cannot be changed.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jobs.display.terminal import err
from records.failure import InvalidInput
from records.run_folder.manifest import RENAMED_SETTINGS


def rename_keys(tables: dict[str, Any], where: str | None) -> None:
    """Give the keys of a recipe's tables their present names, in place.

    Args:
        tables: section -> table, as read.
        where: file that the user gave, for messages; None: recorded tables, of which nothing is said.

    Raises:
        InvalidInput: a key is there under both names.
    """
    for old, new in RENAMED_SETTINGS.items():
        section, _, old_key = old.rpartition(".")
        table = tables.get(section)
        if not isinstance(table, dict) or old_key not in table:
            continue
        new_key = new.rpartition(".")[2]
        if new_key in table:
            raise InvalidInput(f"{where or 'recipe'}: {_both(old, new)}")
        tables[section] = _renamed(table, old_key, new_key)
        if where is not None:
            _say_once(old, new)


def renamed_overrides(parsed: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Overrides, (dotted key, value) each, under the present names of their keys.

    Raises:
        InvalidInput: a key is there under both names.
    """
    given = {key for key, _ in parsed}
    renamed = []
    for key, value in parsed:
        new = RENAMED_SETTINGS.get(key, key)
        if new != key:
            if new in given:
                raise InvalidInput(f"--set: {_both(key, new)}")
            _say_once(key, new)
        table = {key: value}  # a whole section, maybe
        rename_keys(table, f"--set {key}")
        renamed.append((new, table[key]))
    return renamed


def under_first_names(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a recipe with every key under its first name, so that a digest of them stays what it was."""
    named = dict(tables)
    for old, new in RENAMED_SETTINGS.items():
        section, _, key = new.rpartition(".")
        if isinstance(named.get(section), Mapping):
            named[section] = _renamed(named[section], key, old.rpartition(".")[2])
    return named


def _renamed(table: Mapping[str, Any], old_key: str, new_key: str) -> dict[str, Any]:
    return {new_key if key == old_key else key: value for key, value in table.items()}


def _both(old: str, new: str) -> str:
    return f"{old} is the old name of {new}, and both are there: leave {old} out"


@cache
def _say_once(old: str, new: str) -> None:
    err(f"parsimony: {old} is now {new}\n")
