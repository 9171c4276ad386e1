"""`parsimony score`: its options and arguments."""

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
    add_recipe,
    add_writer_arguments,
    options_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """`parsimony score`.

    Attributes:
        problems: JSON Lines, CSV or Parquet file, local or under s3://.
        recipe: TOML file.
        output: folder or s3:// prefix of the run; one that is there is resumed.
        overrides: `section.key=value`, in the order given.
        limit: score only so many problems, from the first on; None for all.
        take_over: take the run from a controller whose heartbeat is fresh.
        single_writer: write to a store that does not refuse to create what exists.
        json: print a machine-readable summary on stdout.
    """

    problems: str
    recipe: Path
    output: str
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    take_over: bool = False
    single_writer: bool = False
    json: bool = False


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them; `rollout` takes them too."""
    add_problems(parser)
    add_recipe(parser, "models, strategy and caps:")
    add_output(parser, "RUN", "folder or s3://bucket/prefix; one that is there is resumed")
    add_overrides(parser)
    add_limit(parser, "score only the first N problems")
    add_writer_arguments(parser, "the run")
    add_json(parser)


COMMAND = Command(
    name="score",
    help="Score a problem set; the same RUN again resumes it.",
    add_arguments=add_score_arguments,
    options=partial(options_of, ScoreOptions),
)
