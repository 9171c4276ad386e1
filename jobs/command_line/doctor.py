"""`parsimony doctor`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial

from jobs.command_line.common import Command, add_json, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """`parsimony doctor`.

    Attributes:
        json: print what was found machine-readable on stdout.
    """

    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser, "print what was found machine-readable on stdout")


COMMAND = Command(
    name="doctor",
    help="Look at what this machine has for a run, and what does not fit; starts nothing.",
    add_arguments=_add_arguments,
    options=partial(options_of, DoctorOptions),
)
