"""The arguments of `parsimony replay`. Standard library only: `--help` is instant."""

import argparse
from dataclasses import dataclass

from jobs.command_line.common import add_overrides, positive


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """`parsimony replay`.

    Attributes:
        run: folder or s3:// prefix of a run of `parsimony score`.
        output: folder or s3:// prefix of the result.
        overrides: `section.key=value` on the run's own recipe, for every setting.
        sweeps: `section.key=v1,v2,...`; several make every combination.
        prm: folder or s3:// address of a PRM that scores the stored paths anew; None for the stored scores.
        num_orders: orders of whole samples that are averaged over, the one they were drawn in included.
        json: print the summary on stdout.
    """

    run: str
    output: str
    overrides: tuple[str, ...] = ()
    sweeps: tuple[str, ...] = ()
    prm: str | None = None
    num_orders: int = 1
    json: bool = False


def add_replay_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("run", metavar="RUN", help="folder or s3://bucket/prefix of a run, finished or not")
    add_overrides(parser)
    text = "replay with each of these values; may be repeated, for every combination"
    parser.add_argument("--sweep", dest="sweeps", action="append", default=[], metavar="section.key=v1,v2", help=text)
    text = "folder or s3:// address of a PRM that scores the stored paths anew (needs its engine; kept in the output)"
    parser.add_argument("--prm", metavar="MODEL", help=text)
    text = "orders of stored whole samples to average over (default: 1, the order they were drawn in)"
    parser.add_argument("--orders", type=positive, default=1, metavar="N", help=text)
    parser.add_argument("--output", required=True, metavar="URI", help="folder or s3://bucket/prefix of the result")
    parser.add_argument("--json", action="store_true", help="print the summary machine-readable on stdout")


def replay_options(arguments: argparse.Namespace) -> ReplayOptions:
    """From parsed arguments."""
    return ReplayOptions(
        run=arguments.run,
        output=arguments.output,
        overrides=tuple(arguments.overrides),
        sweeps=tuple(arguments.sweeps),
        prm=arguments.prm,
        num_orders=arguments.orders,
        json=arguments.json,
    )
