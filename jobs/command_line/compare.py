"""`parsimony compare`: its options and arguments."""

import argparse
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
    add_strategies,
    add_writer_arguments,
    number,
    options_of,
    positive,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """`parsimony compare`.

    Attributes:
        problems: JSON Lines, CSV or Parquet file, local or under s3://.
        recipes: TOML files, or names of shipped recipes.
        strategies: `[RECIPE@]STRATEGY[:key=value]...`, each on every recipe that it does not name.
        output: folder or s3:// prefix of the comparison; runs that are there are resumed or used.
        baseline: label of the setting that the others are compared with; None for the first.
        margin: accuracy that a setting may lose against it and still count as not worse.
        num_orders: orders of shared samples that are averaged over, the one they were drawn in included.
        overrides: `section.key=value`, for every setting.
        limit: only so many problems, from the first on; None for all.
        take_over: take a run from a controller whose heartbeat is fresh.
        single_writer: write to a store that does not refuse to create what exists.
        json: print the comparison machine-readable on stdout.
    """

    problems: str
    recipes: tuple[Path, ...]
    strategies: tuple[str, ...]
    output: str
    baseline: str | None = None
    margin: float = 0.01
    num_orders: int = 30
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    take_over: bool = False
    single_writer: bool = False
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_problems(parser)
    text = "models, strategy options and grader: a file, or the name of a shipped one; may be repeated"
    parser.add_argument(
        "--recipe", dest="recipes", required=True, action="append", type=Path, metavar="R.toml", help=text
    )
    text = "[RECIPE@]STRATEGY[:key=value]..., separated by commas or spaces: best-of-n:num_samples=64 large@majority"
    add_strategies(parser, text, required=True)
    add_output(parser, "URI", "folder or s3://bucket/prefix; runs that are there are resumed or used")
    text = "the entry that the others are compared with (default: the first)"
    parser.add_argument("--baseline", metavar="a", help=text)
    text = "accuracy that may be lost against the baseline: .01 is one point (default)"
    parser.add_argument("--margin", type=number(at_least=0, below=1), metavar="X", help=text)
    text = "orders of shared samples to average over (default: 30)"
    parser.add_argument("--orders", dest="num_orders", type=positive, metavar="N", help=text)
    add_overrides(parser)
    add_limit(parser, "compare on the first N problems only")
    add_writer_arguments(parser, "a run")
    add_json(parser, "print the comparison machine-readable on stdout")


COMMAND = Command(
    name="compare",
    help="Compare strategies on the same problems: accuracy against tokens and FLOPs.",
    add_arguments=_add_arguments,
    options=partial(options_of, CompareOptions),
)
