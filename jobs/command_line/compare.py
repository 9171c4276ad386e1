"""The arguments of `parsimony compare`."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from jobs.command_line.common import add_overrides, add_writer_arguments, positive, share
from jobs.command_line.options import CompareOptions

_BETWEEN = re.compile(r",(?=[\w.@-]*(?:[:,]|$))")
"""A comma between two settings; one inside a value is not followed by a name."""


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("problems", metavar="PROBLEMS", help=".jsonl, .csv (also .gz) or .parquet; local or s3://")
    text = "models, strategy options and grader: a file, or the name of a shipped one; may be repeated"
    parser.add_argument(
        "--recipe", dest="recipes", required=True, action="append", type=Path, metavar="R.toml", help=text
    )
    text = "[RECIPE@]STRATEGY[:key=value]..., separated by commas or spaces: best-of-n:num_samples=64 large@majority"
    parser.add_argument("--strategies", required=True, nargs="+", metavar="a,b,c", help=text)
    text = "folder or s3://bucket/prefix; runs that are there are resumed or used"
    parser.add_argument("--output", required=True, metavar="URI", help=text)
    parser.add_argument(
        "--baseline", metavar="a", help="the entry that the others are compared with (default: the first)"
    )
    text = "accuracy that may be lost against the baseline: .01 is one point (default)"
    parser.add_argument("--margin", type=share, default=0.01, metavar="X", help=text)
    text = "orders of shared samples to average over (default: 30)"
    parser.add_argument("--orders", type=positive, default=30, metavar="N", help=text)
    add_overrides(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="compare on the first N problems only")
    add_writer_arguments(parser, "a run")
    parser.add_argument("--json", action="store_true", help="print the comparison machine-readable on stdout")


def compare_options(arguments: argparse.Namespace) -> CompareOptions:
    """From parsed arguments."""
    return CompareOptions(
        problems=arguments.problems,
        recipes=tuple(arguments.recipes),
        strategies=split_strategies(arguments.strategies),
        output=arguments.output,
        baseline=arguments.baseline,
        margin=arguments.margin,
        num_orders=arguments.orders,
        overrides=tuple(arguments.overrides),
        limit=arguments.limit,
        take_over=arguments.take_over,
        single_writer=arguments.single_writer,
        json=arguments.json,
    )


def split_strategies(words: Sequence[str]) -> tuple[str, ...]:
    """The entries of `--strategies`, separated by spaces or commas."""
    return tuple(spec for word in words for spec in _BETWEEN.split(word) if spec)
