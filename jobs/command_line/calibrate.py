"""`parsimony calibrate`: its options and arguments."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jobs.command_line.common import Command, add_json, add_output, add_overrides, add_recipe, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions:
    """`parsimony calibrate`.

    Attributes:
        rollouts: a finished run of `parsimony rollout`, local or under s3://, or one .parquet file of its rows.
        recipe: TOML file, or the name of a shipped recipe.
        output: folder or s3:// prefix of the calibrated PRM; one that was begun is gone on with.
        evaluations: name -> other rollouts that the table is made for.
        overrides: `section.key=value`, in the order given.
        take_over: take the output from a driver whose heartbeat is fresh.
        json: print a machine-readable report on stdout.
    """

    rollouts: str
    recipe: Path
    output: str
    evaluations: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    take_over: bool = False
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "finished run of `parsimony rollout`, or a .parquet file of its rows; local or s3://"
    parser.add_argument("rollouts", metavar="ROLLOUTS", help=text)
    add_recipe(parser, "[prm]: what is calibrated, [calibration]: how;")
    text = "folder or s3://bucket/prefix of the calibrated PRM; one that was begun is gone on with"
    add_output(parser, "PRM", text)
    parser.add_argument(
        "--evaluate",
        dest="evaluations",
        action=_NamedSets,
        type=_named_rollouts,
        metavar="NAME=ROLLOUTS",
        help="make the table for these rollouts too; may be repeated",
    )
    add_overrides(parser)
    parser.add_argument("--take-over", action="store_true", help="take the output from a driver that seems alive")
    add_json(parser, "print a machine-readable report on stdout")


def _named_rollouts(text: str) -> tuple[str, str]:
    name, equals, uri = text.partition("=")
    if not equals or not uri or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise argparse.ArgumentTypeError(f"must be NAME=ROLLOUTS, not {text!r}")
    if name == "test":
        raise argparse.ArgumentTypeError("test is the name of the held-out problems of ROLLOUTS: choose another")
    return name, uri


class _NamedSets(argparse.Action):
    """Collects NAME=URI pairs under names that may come once."""

    def __call__(self, _: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, *__: Any) -> None:
        name, uri = value
        sets = dict(getattr(namespace, self.dest) or {})
        if name in sets:
            raise argparse.ArgumentError(self, f"{name} is given twice: each set needs a name of its own")
        setattr(namespace, self.dest, sets | {name: uri})


COMMAND = Command(
    name="calibrate",
    help="Fit a PRM to rollouts, and say how well it is calibrated then; the same PRM again goes on.",
    add_arguments=_add_arguments,
    options=partial(options_of, CalibrateOptions),
)
