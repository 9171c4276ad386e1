"""What a run folder may decide: a run that one was given is data, so code and places that it names are not taken.

A manifest may name a strategy, a grader, an extractor or a PRM family as `module:function`. To import one of these is
to run whatever module of that name is found, with arguments from the folder. A command that reads runs asks here
first. Where a run took place (its cluster, its price table) is no setting of who reads it either: a cluster sends back
pickled objects, which are code.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from jobs.recipes.load import parse_override
from jobs.recipes.section import is_plugin
from jobs.recipes.sections import Recipe
from records.failure import InvalidInput

CODE_KEYS = ("strategy.name", "grader.kind", "answer.extract", "prm.family")
"""Every setting that may name code."""
_PLACES = ("cluster", "cost")


def named_code(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(key, `module:function`) of all code that a recipe names."""
    for key in CODE_KEYS:
        section, _, field = key.partition(".")
        value = getattr(getattr(recipe, section), field, None)
        if isinstance(value, str) and is_plugin(value):
            yield key, value


def refuse_unnamed_remote_code(recipe: Recipe, typed: Iterable[str], *, run: str) -> None:
    """Refuse to load a PRM with code of its own because a run folder says so.

    Args:
        recipe: of a run, with the user's changes; its PRM would be loaded.
        typed: settings as typed.
        run: address of the run, for the message.

    Raises:
        InvalidInput: the recipe lets that code run, and the user has not said so.
    """
    key = "prm.trust_remote_code"
    if recipe.prm is not None and recipe.prm.trust_remote_code and not any(key in text for text in typed):
        raise InvalidInput(
            f"{run}: its {key} is true: code in the PRM's folder would run with your rights. Say --set {key}=true if "
            f"you have read that code, or --set {key}=false"
        )


def refuse_unnamed_code(
    recipe: Recipe, typed: Iterable[str], *, run: str, flag: str, keys: Collection[str] = CODE_KEYS
) -> None:
    """Refuse a recipe with code that the user has not typed.

    Args:
        recipe: of a run, with the user's changes.
        typed: overrides as typed, `section.key=value`.
        keys: whose code the command would run.
        run: address of the run, for the message.
        flag: how to name the code, with `{key}` and `{name}`.

    Raises:
        InvalidInput: it names such code.
    """
    named = frozenset(text for override in typed for text in _texts(parse_override(override)[1]))
    for key, name in named_code(recipe):
        if key in keys and name not in named:
            said = flag.format(key=key, name=name)
            raise InvalidInput(
                f"{run}: its {key} is {name}, code of its own, which runs only if you name it: {said}, if you know "
                "that code; or name another one"
            )


def _texts(value: object) -> list[str]:
    """The texts in a value of a recipe, which may be a whole section."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


_OF_A_PLACE = ("num_replicas", "min_replicas", "node_resource", "node_labels", "placement", "gpu_fraction")
"""Keys of an engine's section that say where replicas go, and how many."""


def elsewhere(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables of a run's recipe without where it took place and how many replicas it had."""
    kept = {name: section for name, section in tables.items() if name not in _PLACES}
    for role in ("generator", "prm"):
        if isinstance(kept.get(role), dict):
            kept[role] = {key: value for key, value in kept[role].items() if key not in _OF_A_PLACE}
    return kept
