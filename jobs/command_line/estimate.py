"""`parsimony estimate`: its options and arguments."""

import argparse
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.command_line.common import (
    Command,
    add_json,
    add_limit,
    add_output,
    add_overrides,
    add_problems,
    add_recipe,
    add_strategies,
    add_writer_arguments,
    number,
    options_of,
    positive,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateOptions:
    """`parsimony estimate`.

    Attributes:
        problems: JSON Lines, CSV or Parquet file, local or under s3://.
        recipe: TOML file, or the name of a shipped recipe.
        output: folder or s3:// prefix of the estimate; pilots that are there are resumed or used.
        strategies: as of `parsimony compare`; empty for the recipe's own.
        pilot: problems that are run for real.
        replicas: (generators, PRMs) for which time and money are predicted; empty for the recipe's own numbers.
        accuracy: that is wanted; None if nobody said.
        max_usd: what may be spent; None likewise.
        overrides: `section.key=value`, for every strategy.
        limit: only so many problems, from the first on; None for all.
        take_over: take a pilot from a controller whose heartbeat is fresh.
        single_writer: write to a store that does not refuse to create what exists.
        json: print the estimate machine-readable on stdout.
    """

    problems: str
    recipe: Path
    output: str
    strategies: tuple[str, ...] = ()
    pilot: int = 50
    replicas: tuple[tuple[int, int], ...] = ()
    accuracy: float | None = None
    max_usd: float | None = None
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    take_over: bool = False
    single_writer: bool = False
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_problems(parser)
    add_recipe(parser, "models, strategy and prices:")
    text = "folder or s3://bucket/prefix; each strategy's run is begun in it, to be gone on with"
    add_output(parser, "URI", text)
    text = "STRATEGY[:key=value]..., separated by commas or spaces (default: the recipe's own)"
    add_strategies(parser, text, required=False)
    text = "problems that are run for real, of every difficulty (default: 50)"
    parser.add_argument("--pilot", type=positive, metavar="K", help=text)
    text = "generators+PRMs to predict time and money for, like 8+2; may be repeated (default: the recipe's)"
    parser.add_argument("--replicas", action="append", type=_replicas, metavar="G+P", help=text)
    text = "accuracy that is wanted, like 0.8: names the cheapest strategy that gets it"
    parser.add_argument("--accuracy", type=number(above=0, at_most=1), metavar="X", help=text)
    text = "says what can be had for that money"
    parser.add_argument("--max-usd", type=number("an amount", above=0), metavar="USD", help=text)
    add_overrides(parser)
    add_limit(parser, "of a run over the first N problems only")
    add_writer_arguments(parser, "a pilot")
    add_json(parser, "print the estimate machine-readable on stdout")


def _replicas(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)\+(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be GENERATORS+PRMS, like 8+2, not {text!r}")
    return int(match[1]), int(match[2])


COMMAND = Command(
    name="estimate",
    help="Predict what a run will take, from a pilot: tokens, time, money, accuracy, each with an interval.",
    add_arguments=_add_arguments,
    options=partial(options_of, EstimateOptions),
)
