"""What a search wants done: tasks, before a replica is chosen and a budget is granted.

There are two for every scored step, so they are tuples: a frozen dataclass of as many fields takes three times as long.
"""

from dataclasses import dataclass
from typing import NamedTuple

from records.path import Path
from records.request import Expand, Score, Until
from scaling.search.texts import scored_text
from scaling.seeds import seed_for

ChildName = tuple[int, int]
"""Of a child within its problem: number of its request, then of the child."""


class SampleTask(NamedTuple):
    """Sample one child.

    Attributes:
        key: unique within the run: problem, request, child.
        parent: the path to continue.
        max_tokens: most tokens that the strategy wants; the ledger may grant fewer.
        seed: 63 bits, derived from names.
        temperature: of the sample, from the whole distribution; None: the run's sampling.
        top_logprobs: likeliest tokens per position to compute confidences over; 0: none.
        priority: of the request that it is for; the highest is sampled first. None: nobody ranks it.
        forced_text: put behind the parent before anything is sampled; empty: nothing is.
    """

    key: str
    problem_id: str
    request: int
    child: int
    parent: Path
    until: Until
    max_tokens: int
    seed: int
    temperature: float | None = None
    top_logprobs: int = 0
    priority: float | None = None
    forced_text: str = ""

    @property
    def name(self) -> ChildName:
        """Of the child."""
        return self.request, self.child


class ScoreTask(NamedTuple):
    """Score the steps that follow a path, or with no steps the path itself.

    Attributes:
        prefix: a path whose steps exist as nodes.
        steps: texts of the steps after it.
        every: one score per step; otherwise one, after the last.
    """

    key: str
    problem_id: str
    request: int
    child: int
    prefix: Path
    steps: tuple[str, ...]
    every: bool

    @property
    def name(self) -> ChildName:
        """Of the child or path."""
        return self.request, self.child


@dataclass(frozen=True, slots=True)
class CompareTask:
    """Say which answers of a problem are the same, before a reply with them is delivered.

    Attributes:
        pairs: of answers, as extracted.
    """

    problem_id: str
    request: int
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CancelTask:
    """End the sampling of some children that are needed no more: each has a last word, a result or that it is gone."""

    samples: tuple[SampleTask, ...]


ReplicaTask = SampleTask | ScoreTask
Task = ReplicaTask | CompareTask | CancelTask


def sample_tasks(request: Expand, problem_id: str, number: int, run_seed: int) -> list[SampleTask]:
    """One for each child of a problem's request of that number, in child order."""
    parents = [path for path, num_samples in request.parents for _ in range(num_samples)]
    return [
        SampleTask(
            key=f"{problem_id}/{number}/{child}",
            problem_id=problem_id,
            request=number,
            child=child,
            parent=parent,
            until=request.until,
            max_tokens=request.most_tokens(parent),
            seed=seed_for(run_seed, problem_id, number, child),
            temperature=request.temperature,
            top_logprobs=request.top_logprobs,
            priority=request.priority,
            forced_text=request.forced_text,
        )
        for child, parent in enumerate(parents)
    ]


def path_tasks(request: Score, problem_id: str, number: int, *, thoughts: bool) -> list[ScoreTask]:
    """One for each path that is to be scored; the PRM reads `thoughts` or not."""
    tasks = []
    for child, path in enumerate(request.paths):
        own = () if path.parent is None else (scored_text(path, thoughts=thoughts),)
        key = score_key(f"{problem_id}/{number}/{child}")
        tasks.append(ScoreTask(key, problem_id, number, child, path.parent or path, own, False))
    return tasks


def score_key(sample_key: str) -> str:
    """The key of the score of a child."""
    return f"{sample_key}/score"
