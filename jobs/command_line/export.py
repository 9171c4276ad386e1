"""The arguments of `parsimony export`."""

import argparse

from jobs.command_line.common import positive, share
from jobs.command_line.options import ExportOptions

LAYOUT_NAMES = ("preference", "stepwise", "distillation", "paths")
FORMATS = ("parquet", "jsonl")


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("run", metavar="RUN", help="folder or s3://bucket/prefix of a run, finished or not")
    text = (
        "preference: right paths against wrong ones (TRL's DPO, reward); stepwise: a label for each step (TRL's PRM); "
        "distillation: the best path of each problem (TRL's SFT); paths: everything, one row per finished path"
    )
    parser.add_argument("--layout", required=True, choices=LAYOUT_NAMES, help=text)
    parser.add_argument("--output", required=True, metavar="URI", help="file to write, local or s3://bucket/key")
    text = "default: by the suffix of the output, .parquet or .jsonl"
    parser.add_argument("--format", choices=FORMATS, help=text)
    text = "prompts and completions as messages (preference, distillation)"
    parser.add_argument("--chat", action="store_true", help=text)
    text = "most pairs of one problem (preference; default: 1)"
    parser.add_argument("--pairs-per-problem", dest="num_pairs", type=positive, metavar="N", help=text)
    text = "a step is right where more than this share of its continuations is (stepwise, of rollouts; default: 0)"
    parser.add_argument("--threshold", type=share, metavar="X", help=text)
    text = "the best-scored right path, not that of the run's answer (distillation)"
    parser.add_argument("--only-correct", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print a machine-readable summary on stdout")


def export_options(arguments: argparse.Namespace) -> ExportOptions:
    """From parsed arguments."""
    return ExportOptions(
        run=arguments.run,
        layout=arguments.layout,
        output=arguments.output,
        format=arguments.format,
        chat=arguments.chat,
        num_pairs=arguments.num_pairs,
        threshold=arguments.threshold,
        only_correct=arguments.only_correct,
        json=arguments.json,
    )
