"""Code of the user's own, by its name; a strategy is guarded (`scaling.guarded`): its mistakes cost a problem each."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from records.failure import InvalidInput
from scaling.guarded import guarded
from scaling.strategy import Strategy


def plugin(name: str, options: Mapping[str, Any]) -> Callable[..., Strategy]:
    """The strategy that `module:function` names, guarded.

    Args:
        name: of the function.
        options: that it will be called with, beside the root and `limits`.

    Raises:
        InvalidInput: it cannot be imported, or does not take these options.
    """
    function = imported(name, "strategy.name")
    _check_options(name, function, options)
    return partial(guarded, function, name)


def _check_options(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that the function would not take, in each problem again."""
    try:
        parameters = signature(function).parameters
    except (TypeError, ValueError):  # a callable that does not say what it takes
        return
    kinds = {parameter.kind for parameter in parameters.values()}
    own = [
        each for each in list(parameters.values())[1:] if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    takes = [each.name for each in own if each.name != "limits"]
    unknown = [] if Parameter.VAR_KEYWORD in kinds else [option for option in options if option not in takes]
    if unknown:
        raise InvalidInput(f"strategy.{unknown[0]}: {name} takes no such option; it takes {', '.join(takes) or 'none'}")
    missing = [each.name for each in own if each.default is each.empty and each.name not in (*options, "limits")]
    if missing:
        raise InvalidInput(f"strategy.{missing[0]} is missing: {name} does not begin without it")


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
