"""What a search wants done: tasks, before a replica is chosen and a budget is granted.

There are two for every scored step, so they are tuples: a frozen dataclass of as many fields takes three times as long.
"""

from dataclasses import dataclass
from typing import NamedTuple

from records.path import Path
from records.request import Until


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


@dataclass(frozen=True, slots=True)
class CompareTask:
    """Say which answers of a problem are the same, before a reply with them is delivered.

    Attributes:
        pairs: of answers, as extracted.
    """

    problem_id: str
    request: int
    pairs: tuple[tuple[str, str], ...]


Task = SampleTask | ScoreTask | CompareTask
