"""What a command is, how its arguments become its options, and the arguments that several commands have.

argparse of the standard library, not cyclopts, tyro or pydantic-settings: with any of these `--help` takes about five
times as long (0.5 s of a core, not 0.1 s), for messages that are no shorter and no clearer.
"""

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_BETWEEN = re.compile(r",(?=[\w.@-]*(?:[:,]|$))")
"""A comma between two strategies; one inside a value is not followed by a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of the command line; `jobs.NAME.run` carries it out.

    Attributes:
        name: as it is typed.
        help: what `--help` says of it.
        add_arguments: declares its arguments.
        options: makes what `jobs.NAME.run` takes of the parsed arguments.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    options: Callable[[argparse.Namespace], object]


_OptionsT = TypeVar("_OptionsT", bound="DataclassInstance")


def options_of(kind: type[_OptionsT], arguments: argparse.Namespace, **more: object) -> _OptionsT:
    """The options that parsed arguments are: each field is what was parsed under its name, a list as a tuple.

    An argument that was not given is None, and the field's default holds. So a default stands in the dataclass only.

    Args:
        kind: the dataclass of the options.
        arguments: as parsed.
        more: fields that no argument has the name of.
    """
    parsed = {field.name: getattr(arguments, field.name, None) for field in fields(kind)}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in parsed.items()}
    return kind(**{name: value for name, value in given.items() if value is not None}, **more)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def number(
    what: str = "",
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
) -> Callable[[str], float]:
    """What reads a finite number within bounds, for the `type` of an argument.

    >>> number("a number of seconds", above=0)("0.5")
    0.5
    >>> number(at_least=0, below=1)("1")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: must be at least 0 and below 1, not '1'

    Args:
        what: is read, for the message.
        above: the number is greater than this.
        at_least: or not less than this.
        below: the number is less than this.
        at_most: or not greater than this.
    """
    bounds = {"above": above, "at least": at_least, "below": below, "at most": at_most}
    said = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
    wanted = f"{what} {said}".strip()

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (above < value < below and at_least <= value <= at_most):
            raise argparse.ArgumentTypeError(f"must be {wanted}, not {text!r}")
        return value

    return read


def add_problems(parser: argparse.ArgumentParser) -> None:
    """Declare `PROBLEMS`."""
    parser.add_argument(
        "problems",
        metavar="PROBLEMS",
        help=".jsonl, .csv (also .gz) or .parquet; local, s3:// or hf://datasets/ORG/NAME/PATH",
    )


def add_run(parser: argparse.ArgumentParser, which: str = "a run, finished or not") -> None:
    """`RUN`; `which` run it may be."""
    parser.add_argument("run", metavar="RUN", help=f"folder or s3://bucket/prefix of {which}")


def add_recipe(parser: argparse.ArgumentParser, holds: str) -> None:
    """`--recipe R.toml`; `holds` is what the command reads from it."""
    text = f"{holds} a file, or the name of a shipped one"
    parser.add_argument("--recipe", required=True, type=Path, metavar="R.toml", help=text)


def add_strategies(parser: argparse.ArgumentParser, text: str, *, required: bool) -> None:
    """Declare `--strategies a,b c`."""
    parser.add_argument("--strategies", required=required, nargs="+", action=_SplitAtCommas, metavar="a,b,c", help=text)


class _SplitAtCommas(argparse.Action):
    """Takes entries separated by spaces or commas."""

    def __call__(self, _: argparse.ArgumentParser, namespace: argparse.Namespace, words: Any, *__: Any) -> None:
        setattr(namespace, self.dest, [entry for word in words for entry in _BETWEEN.split(word) if entry])


def add_output(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    """`--output`, which has to be given."""
    parser.add_argument("--output", required=True, metavar=metavar, help=text)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Declare `--set section.key=value`."""
    text = "change one setting of the recipe (an empty value removes it); may be repeated"
    parser.add_argument("--set", dest="overrides", action="append", metavar="section.key=value", help=text)


def add_limit(parser: argparse.ArgumentParser, text: str) -> None:
    """`--limit N`: only the first problems."""
    parser.add_argument("--limit", type=positive, metavar="N", help=text)


def add_writer_arguments(parser: argparse.ArgumentParser, run: str) -> None:
    """`--take-over` and `--single-writer`; `run` is what would be taken."""
    parser.add_argument("--take-over", action="store_true", help=f"take {run} from a controller that seems alive")
    text = "accept a store that lets two controllers overwrite each other; you see to it that there is one"
    parser.add_argument("--single-writer", action="store_true", help=text)


def add_json(parser: argparse._ActionsContainer, text: str = "print a machine-readable summary on stdout") -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help=text)
