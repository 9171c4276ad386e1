"""`parsimony rollout`: its options and arguments, those of `score` among them."""

import argparse
from dataclasses import dataclass
from functools import partial

from jobs.command_line.common import Command, options_of, positive
from jobs.command_line.score import ScoreOptions, add_score_arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutOptions(ScoreOptions):
    """`parsimony rollout`.

    Attributes:
        num_trajectories: per problem; None for what the recipe says, or 8.
        num_continuations: per prefix; None likewise.
    """

    num_trajectories: int | None = None
    num_continuations: int | None = None


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_score_arguments(parser)
    text = "solutions per problem whose prefixes are counted (default: the recipe's, or 8)"
    parser.add_argument("--trajectories", dest="num_trajectories", type=positive, metavar="N", help=text)
    text = "continuations of each prefix (default: the recipe's, or 8)"
    parser.add_argument("--continuations", dest="num_continuations", type=positive, metavar="N", help=text)


COMMAND = Command(
    name="rollout",
    help="Count how often continuations of each prefix succeed: the data that a PRM is calibrated on.",
    add_arguments=_add_arguments,
    options=partial(options_of, RolloutOptions),
)
