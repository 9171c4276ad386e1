"""Code that a run folder names: a run that one was given is data, so its code runs only if the user names it.

A manifest may name a strategy, a grader or an extractor as `module:function`. To import one of these is to run whatever
module of that name is found, with arguments from the folder. A command that reads runs therefore asks here first.
"""

from collections.abc import Collection, Iterable

from jobs.recipes.section import is_plugin
from jobs.recipes.sections import Recipe
from records.failure import InvalidInput


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
    recipe: Recipe,
    typed: Iterable[str],
    *,
    run: str,
    flag: str,
    keys: Collection[str] = ("strategy.name", "grader.kind"),
) -> None:
    """Refuse a recipe with code that does not stand in what the user has typed.

    Args:
        recipe: of a run, with the user's changes.
        typed: settings as typed.
        keys: whose code the command would run.
        run: address of the run, for the message.
        flag: how to name the code, with `{key}` and `{name}`.

    Raises:
        InvalidInput: it names such code.
    """
    texts = list(typed)
    for key, name in (("strategy.name", recipe.strategy.name), ("grader.kind", recipe.grader.kind)):
        if key in keys and is_plugin(name) and not any(name in text for text in texts):
            said = flag.format(key=key, name=name)
            raise InvalidInput(
                f"{run}: its {key} is {name}, code of its own, which runs only if you name it: {said}, if you know "
                "that code; or name another one"
            )
