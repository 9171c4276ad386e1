"""The arguments of `parsimony status`."""

import argparse
import math

from jobs.command_line.options import StatusOptions


def add_status_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("run", metavar="RUN", help="folder or s3://bucket/prefix of a run")
    text = "go on until the run is finished or stopped: a live view on a terminal, lines elsewhere"
    parser.add_argument("--watch", action="store_true", help=text)
    text = "seconds between two readings of --watch (default: 2)"
    parser.add_argument("--interval", type=_seconds, metavar="S", help=text)
    parser.add_argument("--json", action="store_true", help="print it machine-readable on stdout")


def status_options(arguments: argparse.Namespace) -> StatusOptions:
    """From parsed arguments."""
    return StatusOptions(run=arguments.run, watch=arguments.watch, interval_s=arguments.interval, json=arguments.json)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return value
