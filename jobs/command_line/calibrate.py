"""The arguments of `parsimony calibrate`."""

import argparse
import re
from pathlib import Path
from typing import Any

from jobs.command_line.common import add_overrides
from jobs.command_line.options import CalibrateOptions


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    text = "finished run of `parsimony rollout`, or a .parquet file of its rows; local or s3://"
    parser.add_argument("rollouts", metavar="ROLLOUTS", help=text)
    text = "[prm]: what is calibrated, [calibration]: how; a file, or the name of a shipped one"
    parser.add_argument("--recipe", required=True, type=Path, metavar="R.toml", help=text)
    text = "folder or s3://bucket/prefix of the calibrated PRM; one that was begun is gone on with"
    parser.add_argument("--output", required=True, metavar="PRM", help=text)
    parser.add_argument(
        "--evaluate",
        dest="evaluations",
        action=_NamedSets,
        default={},
        type=_named_rollouts,
        metavar="NAME=ROLLOUTS",
        help="make the table for these rollouts too; may be repeated",
    )
    add_overrides(parser)
    parser.add_argument("--take-over", action="store_true", help="take the output from a driver that seems alive")
    parser.add_argument("--json", action="store_true", help="print a machine-readable report on stdout")


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


def calibrate_options(arguments: argparse.Namespace) -> CalibrateOptions:
    """The options that parsed arguments are."""
    return CalibrateOptions(
        rollouts=arguments.rollouts,
        recipe=arguments.recipe,
        output=arguments.output,
        evaluations=arguments.evaluations,
        overrides=tuple(arguments.overrides),
        take_over=arguments.take_over,
        json=arguments.json,
    )
