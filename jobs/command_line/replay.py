"""`parsimony replay`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial

from jobs.command_line.common import Command, add_json, add_output, add_overrides, add_run, options_of, positive


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


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_overrides(parser)
    text = "replay with each of these values; may be repeated, for every combination"
    parser.add_argument("--sweep", dest="sweeps", action="append", metavar="section.key=v1,v2", help=text)
    text = "folder or s3:// address of a PRM that scores the stored paths anew (needs its engine; kept in the output)"
    parser.add_argument("--prm", metavar="MODEL", help=text)
    text = "orders of stored whole samples to average over (default: 1, the order they were drawn in)"
    parser.add_argument("--orders", dest="num_orders", type=positive, metavar="N", help=text)
    add_output(parser, "URI", "folder or s3://bucket/prefix of the result")
    add_json(parser, "print the summary machine-readable on stdout")


COMMAND = Command(
    name="replay",
    help="Decide again from the stored steps of a run: another strategy, budget rule, PRM or grader.",
    add_arguments=_add_arguments,
    options=partial(options_of, ReplayOptions),
)
