"""Code of the user's own, by its name; a strategy is guarded (`scaling.guarded`): its mistakes cost a problem each."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from records.failure import InvalidInput
from scaling.guarded import guarded
from scaling.strategy import Strategy


def plugin(name: str) -> Callable[..., Strategy]:
    """The function that `module:function` names, guarded.

    Raises:
        InvalidInput: it cannot be imported.
    """
    return partial(guarded, imported(name, "strategy.name"), name)


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
