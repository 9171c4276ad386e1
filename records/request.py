"""What a strategy asks for and what it gets: requests and replies.

A reply is delivered whole and in child order (parents as given, then samples), however its parts arrived, unless a
request asks for its children one by one:

    Expand(deliver=EACH) --> reply with the child that finishes first --> Next() --> the one after it --> ...
                                    return, or any request that is delivered whole: the rest is cancelled

Every request and its reply is a row of the `requests` table, so a new strategy object can be fed the recorded replies,
in the order in which they came.
"""

import math
from dataclasses import InitVar, dataclass
from enum import StrEnum
from typing import TypeGuard

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


class Deliver(StrEnum):
    """When the strategy gets the children of a request."""

    WHOLE = "whole"
    """All at once, in child order."""
    EACH = "each"
    """One by one, as they finish: the reply to `Expand`, and to each `Next` after it, has one of them."""


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
        temperature: of this request's samples, from the whole distribution; 0 is greedy. None: as the run's.
        top_logprobs: k above 0 makes the generator say how sure it was: confidences over the k likeliest tokens, and
            log-probabilities under the distribution drawn from. At most `generator.max_logprobs`.
        max_path_tokens: most tokens of a whole path; a child gets what its parent has left of it, at least 1, and never
            more than `max_tokens`. None: only `max_tokens` bounds a child.
        max_thought_tokens: with `Until.STEP`, where a thought is one step: most tokens of a path with it, for children
            of the question and of paths within a thought, in the place of `max_tokens`. None: thoughts have steps like
            answers.
        priority: under a cap, what has the highest is sampled first (in vLLM the lowest goes first); strategies say the
            expected gain per expected token. None: nobody ranks it. It decides when something is sampled, never what,
            so it is no part of the request's hash. The column of `requests` is `worth`.
        worth: the same under its old name, for strategies written before.
        forced_text: put behind each parent before anything is sampled, in the generator's tokens: a step of its own
            (`FinishReason.FORCED`) at the head of each child. Its tokens are read, not sampled, so they are prompt, and
            neither `max_tokens` nor a cap counts them. What it asks for is a probe: an answer to be looked at. Where
            its parent goes on without it, it is none of the problem's samples (`scaling.search.probes`).
        deliver: when the strategy gets the children. Those of an `EACH` are open until they were delivered; another
            `EACH` adds to them, and its reply has whichever of all of them finishes first.
    """

    parents: tuple[tuple[Path, int], ...]
    until: Until
    max_tokens: int
    scoring: Scoring = Scoring.NONE
    temperature: float | None = None
    top_logprobs: int = 0
    max_path_tokens: int | None = None
    priority: float | None = None
    worth: InitVar[float | None] = None
    forced_text: str = ""
    deliver: Deliver = Deliver.WHOLE
    max_thought_tokens: int | None = None

    def __post_init__(self, worth: float | None) -> None:
        """Refuse a priority that cannot be ranked.

        Raises:
            ValueError: it is not a number.
        """
        if worth is not None:
            object.__setattr__(self, "priority", worth)
        if self.priority is not None and math.isnan(self.priority):
            raise ValueError("priority is NaN: it cannot be ranked")

    def most_tokens(self, parent: Path) -> int:
        """Most tokens that one child of `parent` may take."""
        most = self.max_tokens
        if self.max_thought_tokens is not None and (parent.parent is None or parent.thinking):
            most = max(1, self.max_thought_tokens - parent.num_tokens)
        if self.max_path_tokens is None:
            return most
        return max(1, min(most, self.max_path_tokens - parent.num_tokens))


@dataclass(frozen=True, slots=True)
class Score:
    """Ask the PRM for its view of given paths."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Next:
    """Wait for the next of the children that are open (`Deliver.EACH`); where none is, the reply is empty at once."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request.

    Attributes:
        kind: how much was granted. Of one child among several it says whether the budget has cut or denied any so far;
            those that are open still come.
        paths: for `Expand` one leaf per granted child, in child order; for `Score` the same paths with scores. For
            `Deliver.EACH` and `Next` one leaf, or none where no open child will come.
        child_names: for `EACH` and `Next` what each leaf is called: number of its request within the problem, then of
            the child within that. Sorted by it, leaves stand as they would if they had been delivered whole.
        num_open: children that may still be delivered after this one.
    """

    kind: ReplyKind
    paths: tuple[Path, ...]
    child_names: tuple[tuple[int, int], ...] = ()
    num_open: int = 0


def is_each(request: object) -> TypeGuard[Expand | Next]:
    """Whether its reply has the next of the children that are open."""
    return isinstance(request, Next) or (isinstance(request, Expand) and request.deliver is Deliver.EACH)
