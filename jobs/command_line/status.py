"""`parsimony status`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial

from jobs.command_line.common import Command, add_json, add_run, number, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOptions:
    """`parsimony status`.

    Attributes:
        run: folder or s3:// prefix of the run.
        watch: until it is finished or stopped.
        interval_s: seconds between two readings; None for 2.
        json: print it machine-readable; when watching, a line for each reading.
    """

    run: str
    watch: bool = False
    interval_s: float | None = None
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, "a run")
    text = "go on until the run is finished or stopped: a live view on a terminal, lines elsewhere"
    parser.add_argument("--watch", action="store_true", help=text)
    text = "seconds between two readings of --watch (default: 2)"
    seconds = number("a number of seconds", above=0)
    parser.add_argument("--interval", dest="interval_s", type=seconds, metavar="S", help=text)
    add_json(parser, "print it machine-readable on stdout")


COMMAND = Command(
    name="status",
    help="Progress, spend and time left of a run.",
    add_arguments=_add_arguments,
    options=partial(options_of, StatusOptions),
)
