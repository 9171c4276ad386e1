"""The arguments of `parsimony estimate`."""

import argparse
import re
from pathlib import Path

from jobs.command_line.common import add_overrides, add_writer_arguments, positive
from jobs.command_line.compare import split_strategies
from jobs.command_line.options import EstimateOptions


def add_estimate_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("problems", metavar="PROBLEMS", help=".jsonl, .csv (also .gz) or .parquet; local or s3://")
    text = "models, strategy and prices: a file, or the name of a shipped one"
    parser.add_argument("--recipe", required=True, type=Path, metavar="R.toml", help=text)
    text = "folder or s3://bucket/prefix; each strategy's run is begun in it, to be gone on with"
    parser.add_argument("--output", required=True, metavar="URI", help=text)
    text = "STRATEGY[:key=value]..., separated by commas or spaces (default: the recipe's own)"
    parser.add_argument("--strategies", nargs="+", default=[], metavar="a,b,c", help=text)
    text = "problems that are run for real, of every difficulty (default: 50)"
    parser.add_argument("--pilot", type=positive, default=50, metavar="K", help=text)
    text = "generators+PRMs to predict time and money for, like 8+2; may be repeated (default: the recipe's)"
    parser.add_argument("--replicas", action="append", default=[], type=_replicas, metavar="G+P", help=text)
    text = "accuracy that is wanted, like 0.8: names the cheapest strategy that gets it"
    parser.add_argument("--accuracy", type=_share, metavar="X", help=text)
    parser.add_argument("--max-usd", type=_usd, metavar="USD", help="says what can be had for that money")
    add_overrides(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="of a run over the first N problems only")
    add_writer_arguments(parser, "a pilot")
    parser.add_argument("--json", action="store_true", help="print the estimate machine-readable on stdout")


def estimate_options(arguments: argparse.Namespace) -> EstimateOptions:
    """From parsed arguments."""
    return EstimateOptions(
        problems=arguments.problems,
        recipe=arguments.recipe,
        output=arguments.output,
        strategies=split_strategies(arguments.strategies),
        pilot=arguments.pilot,
        replicas=tuple(arguments.replicas),
        accuracy=arguments.accuracy,
        max_usd=arguments.max_usd,
        overrides=tuple(arguments.overrides),
        limit=arguments.limit,
        take_over=arguments.take_over,
        single_writer=arguments.single_writer,
        json=arguments.json,
    )


def _replicas(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)\+(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be GENERATORS+PRMS, like 8+2, not {text!r}")
    return int(match[1]), int(match[2])


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text!r}")
    return value


def _usd(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be an amount above 0, not {text!r}")
    return value
