"""`parsimony calibrate-risk`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.command_line.common import Command, add_json, add_overrides, add_run, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateRiskOptions:
    """`parsimony calibrate-risk`.

    Attributes:
        run: folder or s3:// prefix of a run with answer keys.
        output: the file to write.
        overrides: `section.key=value` on the run's own recipe, where another one is to be calibrated on what it stored.
        stopping: also choose where sampling stops; of strategies with a threshold for that.
        json: print what was seen machine-readable on stdout.
    """

    run: str
    output: Path
    overrides: tuple[str, ...] = ()
    stopping: bool = False
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, "a run with answer keys, on problems like those to come, that nothing was fitted or chosen on")
    text = "file to write; a recipe names it as answer.risk, beside answer.target_error"
    parser.add_argument("--output", required=True, type=Path, metavar="FILE.json", help=text)
    add_overrides(parser)
    text = "choose the strategy's own threshold too, so that sampling stops where an answer is stood by (sequential)"
    parser.add_argument("--stopping", action="store_true", default=None, help=text)
    add_json(parser, "print what thresholds came to machine-readable on stdout")


COMMAND = Command(
    name="calibrate-risk",
    help="See how often answers are wrong, by how sure they are, so that a recipe can name the risk it wants.",
    add_arguments=_add_arguments,
    options=partial(options_of, CalibrateRiskOptions),
)
