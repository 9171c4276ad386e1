"""`parsimony recipe`: its options and arguments."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.command_line.common import Command, add_json, add_overrides, options_of, positive

Printing = Literal["terminal", "markdown", "json-schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeKeys:
    """`parsimony recipe keys`.

    Attributes:
        wanted: a section, a key, or part of one; None: all.
        printing: for whom.
    """

    wanted: str | None = None
    printing: Printing = "terminal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeShow:
    """`parsimony recipe show`.

    Attributes:
        recipe: TOML file, the name of a shipped one, or a run.
        overrides: `section.key=value`, in the order given.
        changed: only what is not at its default.
        json: as JSON instead of TOML.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    changed: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeNew:
    """`parsimony recipe new`. What is None is asked for at a terminal.

    Attributes:
        output: file to write; None for stdout.
        generator: folder of the model.
        prm: folder of the PRM; "" for none.
        strategy: its name.
        num_samples: per problem.
        chat: the model wants a chat.
        total_tokens: cap of the run.
    """

    output: Path | None = None
    generator: str | None = None
    prm: str | None = None
    strategy: str | None = None
    num_samples: int | None = None
    chat: bool | None = None
    total_tokens: int | None = None


RecipeOptions = RecipeKeys | RecipeShow | RecipeNew


class _HelpKeys(argparse.Action):
    """Prints the keys at once, as `--help` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from jobs.recipe import run

        run(RecipeKeys())
        parser.exit()


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--help-keys", action=_HelpKeys, nargs=0, help="every key that a recipe may have, and exit")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "Every key that a recipe may have: type, unit, default, bounds."
    keys = actions.add_parser("keys", help=text, description=text)
    keys.add_argument("wanted", nargs="?", metavar="NAME", help="only keys with this in their name, such as generator")
    formats = keys.add_mutually_exclusive_group()
    text = "print docs/recipe.md"
    formats.add_argument("--markdown", dest="printing", action="store_const", const="markdown", help=text)
    text = "print the schema for editors"
    formats.add_argument("--json-schema", dest="printing", action="store_const", const="json-schema", help=text)
    text = "A recipe with all that it leaves unsaid."
    show = actions.add_parser("show", help=text, description=text)
    show.add_argument("recipe", metavar="R", help="a file, the name of a shipped recipe, or a run (folder or s3://)")
    add_overrides(show)
    show.add_argument("--changed", action="store_true", help="only what is not at its default")
    add_json(show, "print JSON")
    text = "Write a recipe with comments, from flags, or from answers at a terminal."
    _add_new_arguments(actions.add_parser("new", help=text, description=text))


def _add_new_arguments(new: argparse.ArgumentParser) -> None:
    new.add_argument("--output", type=Path, metavar="R.toml", help="file to write (default: print it)")
    new.add_argument("--generator", metavar="MODEL", help="folder of the model, or s3://")
    new.add_argument("--prm", metavar="MODEL", help='folder of the PRM; "" for none')
    new.add_argument(
        "--strategy", metavar="NAME", help="how samples are spent (default: best-of-n, majority without PRM)"
    )
    new.add_argument("--num-samples", type=positive, metavar="N", help="samples per problem")
    text = "the model wants a chat (default: what its folder has)"
    new.add_argument("--chat", action=argparse.BooleanOptionalAction, help=text)
    new.add_argument("--total-tokens", type=positive, metavar="N", help="cap of the whole run")


def _options(arguments: argparse.Namespace) -> RecipeOptions:
    kinds: dict[str, type[Any]] = {"keys": RecipeKeys, "show": RecipeShow, "new": RecipeNew}
    found: RecipeOptions = options_of(kinds[arguments.action], arguments)
    return found


COMMAND = Command(
    name="recipe",
    help="Settings and their meaning: every key, a recipe as it is read, a new one.",
    add_arguments=_add_arguments,
    options=_options,
)
