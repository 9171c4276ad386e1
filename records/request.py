"""What a strategy asks for and what it gets: requests and replies.

A reply is delivered whole and in child order (parents as given, then samples), however its parts arrived. Every request
and its reply is a row of the `requests` table, so a new strategy object can be fed the recorded replies.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from records.path import Path


class Until(StrEnum):
    """Where the sampling of a child ends (always also at the end of the answer)."""

    STEP = "step"
    TOKENS = "tokens"
    END = "end"


class Scoring(StrEnum):
    """Which nodes of a sampled child the PRM scores, as soon as that child exists."""

    NONE = "none"
    LEAF = "leaf"
    STEPS = "steps"


class ReplyKind(StrEnum):
    """How much of a request was granted."""

    FULL = "full"
    REDUCED = "reduced"
    """The budget cut some children short or left them out."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    """No child was granted: conclude with what there is."""
    FAILED = "failed"
    """The engines could not serve it; the problem ends as failed and the strategy is not resumed."""


@dataclass(frozen=True, slots=True)
class Expand:
    """Sample continuations of given paths.

    Attributes:
        parents: (path, num_samples) pairs; the children come back in this order.
        until: where each child ends.
        max_tokens: most tokens of one child; with `Until.TOKENS` the number asked for.
        scoring: what the PRM scores.
        greedy: the likeliest token always, instead of the run's sampling.
        worth: expected gain per expected token; under a cap, what is worth most is sampled first. None: nobody ranks
            it. It decides when something is sampled, never what, so it is no part of the request's hash.
    """

    parents: tuple[tuple[Path, int], ...]
    until: Until
    max_tokens: int
    scoring: Scoring = Scoring.NONE
    greedy: bool = False
    worth: float | None = None

    def __post_init__(self) -> None:
        """Refuse a worth that cannot be ranked.

        Raises:
            ValueError: it is not a number.
        """
        if self.worth is not None and math.isnan(self.worth):
            raise ValueError("worth is NaN: it cannot be ranked")


@dataclass(frozen=True, slots=True)
class Score:
    """Ask the PRM for its view of given paths."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request.

    Attributes:
        kind: how much was granted.
        paths: for `Expand` one leaf per granted child, in child order; for `Score` the same paths with scores.
    """

    kind: ReplyKind
    paths: tuple[Path, ...]
