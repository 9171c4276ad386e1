"""The contract of a strategy: a generator that yields requests, receives replies, and returns its choice.

A strategy never touches an engine, a clock, a random source or a network, so it is tested in microseconds and can be
fed recorded replies. When a reply is not `FULL`, the budget has run out, nothing more will be granted, and the strategy
concludes with what it has; `Score` requests are still served then.

Children that are asked for one by one (`Deliver.EACH`) come in the order in which they finish, which is journalled. A
strategy that goes on to a request that is delivered whole, or returns, ends those that are open: they are cancelled.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from records.path import Path, PrmScore
from records.request import Expand, Next, Reply, Score


@dataclass(frozen=True, slots=True)
class PrefixTrials:
    """A prefix and what was sampled from it.

    Attributes:
        path: the prefix.
        num_trajectories: trajectories that pass through it.
        continuations: leaves, to be graded; of a finished prefix itself.
    """

    path: Path
    num_trajectories: int
    continuations: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy concludes.

    Attributes:
        path: the chosen path; None when no path was sampled.
        answer: its final answer; None when it has none.
        candidates: the paths that competed to the end; what was sampled beside them counts as pruned.
        prefixes: whose success is to be counted, as rows of `rollouts`; of no strategy but that.
        answer_p: that the answer is right, given all that was sampled; None: as sure as the PRM is of the path.
    """

    path: Path | None
    answer: str | None
    candidates: tuple[Path, ...]
    prefixes: tuple[PrefixTrials, ...] = ()
    answer_p: PrmScore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """Bounds on one sample, in tokens of the generator.

    Attributes:
        max_tokens: of a whole sample. A step begun below it may end above it by less than `max_step_tokens`.
        max_step_tokens: of one step.
        max_thought_tokens: of a path whose thought is one step, up to the end of that step; None: thoughts have steps
            like answers.
    """

    max_tokens: int
    max_step_tokens: int
    max_thought_tokens: int | None = None


Request = Expand | Score | Next
Strategy = Generator[Request, Reply, Choice]
StrategyFactory = Callable[[Path], Strategy]
"""Begins a search at the root of one problem."""
