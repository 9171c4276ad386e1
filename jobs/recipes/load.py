"""Recipes: from a TOML file and `--set` overrides to one checked, frozen `Recipe`.

    file --tomllib--> tables --overrides--> tables --models--> Recipe

Paths of models and prices in the file are relative to the file; those given with `--set` are relative to the current
directory. The name of a built-in model (`jobs.recipes.builtin_models`) is none of these: a folder of that name is
written ./NAME.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cluster.hub import is_hub_name
from jobs.recipes.builtin_models import folder_of
from jobs.recipes.errors import describe
from jobs.recipes.read_files import is_jinja, with_files
from jobs.recipes.renamed import rename_keys, renamed_overrides
from jobs.recipes.sections import MODELS, Recipe
from jobs.recipes.strategies.registry import row_of
from records.bounded import MAX_DEPTH, MAX_TOML_BYTES, parse_toml, quoted, read_file
from records.failure import InvalidInput

SHIPPED = Path(__file__).parent
"""Recipes of public models; each can be named without path and suffix."""
FILES = (
    *("cost.prices", "script.answers", "prompt.examples_file"),
    *("generator.chat_template", "answer.model", "answer.risk"),
)
"""Settings that name a file."""


def load_recipe(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    strategy: Mapping[str, Any] | None = None,
    read_files: bool = True,
) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a TOML file, or the name of a shipped recipe.
        strategy: keys of the strategy section that take the place of the recipe's; all of it where the name differs.
        overrides: `section.key=value`; the value as in TOML, or a bare string; an empty one removes the key.
        read_files: take in what the files hold that it names (`jobs.recipes.read_files`); else their names stay.

    Raises:
        InvalidInput: the message names file or `--set`, key, value and bound, one mistake a line.
    """
    path = shipped_recipe(path) or path
    tables = _read(path)
    rename_keys(tables, str(path))
    _resolve_models(tables, path.resolve().parent)
    _resolve_files(tables, path.resolve().parent)
    if strategy is not None:
        tables["strategy"] = _replaced(tables.get("strategy"), strategy)
    overridden = []
    for key, value in renamed_overrides([parse_override(override) for override in overrides]):
        apply_override(tables, key, value)
        overridden.append(key)
        if key in MODELS:
            _resolve_models(tables, Path.cwd(), only=key)
        if key in FILES:
            _resolve_files(tables, Path.cwd(), only=key)
    try:
        recipe = Recipe.model_validate(tables)
    except ValidationError as error:
        raise InvalidInput(describe(error, tables, file=str(path), overridden=overridden)) from error
    return with_files(recipe) if read_files else recipe


def shipped_recipe(path: Path) -> Path | None:
    """The recipe of that name which comes with the package; None for a file of the user's.

    Raises:
        InvalidInput: a bare name that neither a file nor a shipped recipe has.
    """
    if path.is_file() or path.suffix == ".toml" or path.parent != Path():
        return None
    shipped = {recipe.stem: recipe for recipe in sorted(SHIPPED.glob("*.toml"))}
    if path.name not in shipped:
        raise InvalidInput(f"recipe {path}: no such file, and the shipped ones are called {', '.join(shipped)}")
    return shipped[path.name]


def _replaced(section: object, strategy: Mapping[str, Any]) -> dict[str, Any]:
    kept = section if isinstance(section, dict) and section.get("name") == strategy["name"] else {}
    return {**kept, **strategy}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_file(path, MAX_TOML_BYTES, pipe=True)
    except OSError as error:
        raise InvalidInput(f"recipe {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInput(f"recipe {path} cannot be read: {error}") from error
    try:
        return parse_toml(content)
    except ValueError as error:
        raise InvalidInput(f"recipe {path} is not TOML that can be read: {error}") from error


def parse_override(override: str) -> tuple[str, Any]:
    """`section.key=value` as key and value; None for an empty value.

    Raises:
        InvalidInput: it is none, or beyond the bounds of a recipe.
    """
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key) or key.count(".") >= MAX_DEPTH:
        raise InvalidInput(f"--set {quoted(override)}: must be section.key=value")
    text = text.strip()
    if not text:
        return key, None
    try:
        parsed = parse_toml(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return key, text
    except ValueError as error:
        raise InvalidInput(f"--set {key}: {error}") from error
    return key, parsed["value"] if len(parsed) == 1 else text


def apply_override(tables: dict[str, Any], key: str, value: Any) -> None:
    """Set or remove one dotted key.

    Another `strategy.name` keeps those options of the old strategy that the new one has too: `--set
    strategy.name=majority` then works with any recipe.
    """
    *sections, name = key.split(".")
    table = tables
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise InvalidInput(f"--set {key}: {section} is a value, not a section")
    if value is None:
        table.pop(name, None)
        return
    old_name, table[name] = table.get(name), value
    row = row_of(table) if key == "strategy.name" and value != old_name else None
    if row is not None:
        known = row.options.model_fields
        tables["strategy"] = {option: kept for option, kept in table.items() if option in known}


def _resolve_files(tables: dict[str, Any], folder: Path, *, only: str | None = None) -> None:
    """Make the paths of `FILES` absolute, like a model's."""
    for key in FILES if only is None else (only,):
        name, _, setting = key.partition(".")
        section = tables.get(name)
        file = section.get(setting) if isinstance(section, dict) else None
        if (
            isinstance(section, dict)
            and isinstance(file, str)
            and file
            and not (file.startswith("s3://") or is_jinja(file))
        ):
            section[setting] = str((folder / Path(file).expanduser()).resolve())


def _resolve_models(tables: dict[str, Any], folder: Path, *, only: str | None = None) -> None:
    """Make the paths of `MODELS` absolute, built-in ones too; a name on the hub or an s3:// address stays."""
    for key in MODELS if only is None else (only,):
        role, _, name = key.partition(".")
        section = tables.get(role)
        model = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or not isinstance(model, str) or not model or model.startswith("s3://"):
            continue
        resolved = folder_of(model) or folder / Path(model).expanduser()
        if resolved.exists() or not is_hub_name(model):
            section[name] = str(resolved.resolve())
