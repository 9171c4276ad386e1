"""`parsimony report`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial

from jobs.command_line.common import Command, add_json, add_run, number, options_of


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


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("other", metavar="RUN_B", nargs="?", help="a run on the same problems, compared with the first")
    text = "the page: a file, local or s3://bucket/key (default: report.html)"
    parser.add_argument("--output", metavar="FILE", help=text)
    text = "most that the page may take, in MB (default: 20)"
    parser.add_argument("--max-mb", type=number("a number", above=0), metavar="X", help=text)
    text = "put the search tree of this problem in, also of a run whose trees do not all fit; may be repeated"
    parser.add_argument("--problem", dest="problems", action="append", metavar="ID", help=text)
    add_json(parser)


COMMAND = Command(
    name="report",
    help="One self-contained HTML page of a run, finished or not; with RUN_B, the two compared.",
    add_arguments=_add_arguments,
    options=partial(options_of, ReportOptions),
)
