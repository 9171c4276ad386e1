"""`parsimony check`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.command_line.common import Command, add_json, add_limit, add_overrides, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """`parsimony check`.

    Attributes:
        problems: JSON Lines, CSV or Parquet file, local or under s3://; None to grade or extract only.
        recipe: TOML file; None with `grade` or `extract`.
        overrides: `section.key=value`, in the order given.
        limit: look at the first so many problems only.
        grade: JSON Lines of answers and references, to be graded.
        extract: JSON Lines of solutions, whose answers are to be found.
        grader: kind that grades `grade`; None for the recipe's, or the default one.
        json: one JSON object per line of `grade` or `extract`, or one for the problems.
    """

    problems: str | None = None
    recipe: Path | None = None
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    grade: Path | None = None
    extract: Path | None = None
    grader: str | None = None
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    text = ".jsonl, .csv (also .gz) or .parquet; local or s3://"
    parser.add_argument("problems", metavar="PROBLEMS", nargs="?", help=text)
    text = "prompt, grader and extraction: a file, or the name of a shipped one"
    parser.add_argument("--recipe", type=Path, metavar="R.toml", help=text)
    add_overrides(parser)
    add_limit(parser, "check only the first N problems")
    text = "grade this .jsonl of `answer` and `reference`, and say how each was read"
    parser.add_argument("--grade", type=Path, metavar="FILE", help=text)
    text = "find the answers of this .jsonl of `solution`"
    parser.add_argument("--extract", type=Path, metavar="FILE", help=text)
    text = "grader of --grade: math-verify (default), exact, numeric, multiple-choice, module:function"
    parser.add_argument("--grader", metavar="KIND", help=text)
    add_json(parser, "print JSON: with --grade and --extract one object a line, which repeats its input")


COMMAND = Command(
    name="check",
    help="What a run would read, ask and grade, without loading a model; or grade answers by themselves.",
    add_arguments=_add_arguments,
    options=partial(options_of, CheckOptions),
)
