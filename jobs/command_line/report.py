"""The arguments of `parsimony report`."""

import argparse
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """`parsimony report`.

    Attributes:
        run: folder or s3:// prefix of a run, finished or not.
        other: of a run to compare it with, problem by problem; None for none.
        output: file to write, local or under s3://.
        max_mb: most that it may take, in millions of bytes.
        problems: ids of problems whose search trees must be in it.
        json: print a machine-readable summary on stdout.
    """

    run: str
    other: str | None = None
    output: str = "report.html"
    max_mb: float = 20.0
    problems: tuple[str, ...] = ()
    json: bool = False


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("run", metavar="RUN", help="folder or s3://bucket/prefix of a run, finished or not")
    parser.add_argument("other", metavar="RUN_B", nargs="?", help="a run on the same problems, compared with the first")
    text = "the page: a file, local or s3://bucket/key (default: report.html)"
    parser.add_argument("--output", default="report.html", metavar="FILE", help=text)
    text = "most that the page may take, in MB (default: 20)"
    parser.add_argument("--max-mb", type=_above_zero, default=20.0, metavar="X", help=text)
    parser.add_argument(
        "--problem",
        dest="problems",
        action="append",
        default=[],
        metavar="ID",
        help="put the search tree of this problem in, also of a run whose trees do not all fit; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print a machine-readable summary on stdout")


def report_options(arguments: argparse.Namespace) -> ReportOptions:
    """From parsed arguments."""
    return ReportOptions(
        run=arguments.run,
        other=arguments.other,
        output=arguments.output,
        max_mb=arguments.max_mb,
        problems=tuple(arguments.problems),
        json=arguments.json,
    )


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value
