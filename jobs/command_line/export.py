"""`parsimony export`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial

from jobs.command_line.common import Command, add_json, add_output, add_run, number, options_of, positive

LAYOUT_NAMES = ("preference", "stepwise", "distillation", "paths")
FORMATS = ("parquet", "jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """`parsimony export`. What only some layouts know is None where it was not given.

    Attributes:
        run: folder or s3:// prefix of the run.
        layout: one of `jobs.exporting.layouts.LAYOUTS`.
        output: file to write, local or under s3://.
        format: "parquet" or "jsonl"; None: by the output's suffix.
        chat: prompts and completions as messages (preference, distillation).
        num_pairs: most pairs of one problem (preference); None: 1.
        threshold: share of right continuations above which a step counts as right (stepwise); None: 0.
        only_correct: the best-scored right path, not the run's answer (distillation).
        grader: kind that grades answers which nobody graded; None: the run's own, unless that is code.
        json: print a machine-readable summary on stdout.
    """

    run: str
    layout: str
    output: str
    format: str | None = None
    chat: bool = False
    num_pairs: int | None = None
    threshold: float | None = None
    only_correct: bool = False
    grader: str | None = None
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    text = (
        "preference: right paths against wrong ones (TRL's DPO, reward); stepwise: a label for each step (TRL's PRM); "
        "distillation: the best path of each problem (TRL's SFT); paths: everything, one row per finished path"
    )
    parser.add_argument("--layout", required=True, choices=LAYOUT_NAMES, help=text)
    add_output(parser, "URI", "file to write, local or s3://bucket/key")
    text = "default: by the suffix of the output, .parquet or .jsonl"
    parser.add_argument("--format", choices=FORMATS, help=text)
    text = "prompts and completions as messages (preference, distillation)"
    parser.add_argument("--chat", action="store_true", help=text)
    text = "most pairs of one problem (preference; default: 1)"
    parser.add_argument("--pairs-per-problem", dest="num_pairs", type=positive, metavar="N", help=text)
    text = "a step is right where more than this share of its continuations is (stepwise, of rollouts; default: 0)"
    parser.add_argument("--threshold", type=number(at_least=0, below=1), metavar="X", help=text)
    text = "the best-scored right path, not that of the run's answer (distillation)"
    parser.add_argument("--only-correct", action="store_true", help=text)
    text = "grader of answers that the run did not choose (default: the run's own; one that is code has to be named)"
    parser.add_argument("--grader", metavar="KIND", help=text)
    add_json(parser)


COMMAND = Command(
    name="export",
    help="Write paths with scores and outcomes as training data, in the layouts that TRL reads.",
    add_arguments=_add_arguments,
    options=partial(options_of, ExportOptions),
)
