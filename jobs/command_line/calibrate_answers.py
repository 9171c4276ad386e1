"""`parsimony calibrate-answers`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.command_line.common import Command, add_json, add_overrides, add_run, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateAnswersOptions:
    """`parsimony calibrate-answers`.

    Attributes:
        run: folder or s3:// prefix of a run whose strategy draws whole samples.
        output: the file to write.
        overrides: `section.key=value` on the run's own recipe; a grader of the user's own has to be named here.
        json: print the report machine-readable on stdout.
    """

    run: str
    output: Path
    overrides: tuple[str, ...] = ()
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, "a run of whole samples, finished or not, with an answer key or without one")
    text = "file to write; a recipe names it as answer.model"
    parser.add_argument("--output", required=True, type=Path, metavar="FILE.json", help=text)
    add_overrides(parser)
    add_json(parser, "print the report machine-readable on stdout")


COMMAND = Command(
    name="calibrate-answers",
    help="Fit how likely an answer is to be right, given samples and scores, on the samples of a run.",
    add_arguments=_add_arguments,
    options=partial(options_of, CalibrateAnswersOptions),
)
