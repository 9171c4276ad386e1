"""Code of the user's own, by its name; a strategy is guarded, so that its mistakes cost a problem, not the run."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from records.failure import InvalidInput, StrategyFailed
from records.path import Path
from scaling.strategy import Choice, Strategy


def plugin(name: str) -> Callable[..., Strategy]:
    """The function that `module:function` names, guarded.

    Raises:
        InvalidInput: it cannot be imported.
    """
    return partial(_guarded, imported(name, "strategy.name"), name)


def imported(name: str, key: str) -> Callable[..., Any]:
    """The function that `module:function` names.

    Args:
        name: of the function.
        key: of the recipe, for the error.

    Raises:
        InvalidInput: it cannot be imported.
    """
    module, _, function = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"{key} = {name!r} cannot be imported: {error}") from error
    return found


def _guarded(function: Any, name: str, root: Path, **arguments: Any) -> Strategy:
    """The strategy `function`; what it raises fails the problem whose root it got.

    Raises:
        StrategyFailed: it raised, or returned something else than a `Choice`.
    """
    try:
        choice = yield from function(root, **arguments)
    except Exception as error:  # the user's code is a boundary: any error of it may come
        raise StrategyFailed(f"{name} raised {type(error).__name__}: {error}") from error
    if not isinstance(choice, Choice):
        raise StrategyFailed(f"{name} returned {type(choice).__name__}, not a scaling.strategy.Choice")
    return choice
