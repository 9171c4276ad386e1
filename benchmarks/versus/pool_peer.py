"""What the peers that we imitate ourselves have in common: a process of their own, and the pass made of its answer."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from benchmarks.versus.job import Job
from benchmarks.versus.passes import Pass, Tokens
from benchmarks.versus.processes import be_as_polite_as_replicas
from benchmarks.versus.watch import cpu_seconds
from examples.arithmetic.common import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the process answers to a list of questions; times in seconds since 1970."""

    first_s: float
    last_s: float
    solutions: Sequence[str | None]
    errors: Sequence[str]
    tokens: Tokens


def start_pool(load: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """A process in which `load` runs first; nothing of the caller's Ray, threads and sockets is there."""
    return ProcessPoolExecutor(
        max_workers=1, mp_context=get_context("spawn"), initializer=_begin, initargs=(load, arguments)
    )


class PoolSide(ABC):
    """Implements `Side` for a peer in such a process, whose requests have no seed.

    Args:
        job: what all sides do.
        pool: the process.
    """

    def __init__(self, job: Job, pool: ProcessPoolExecutor) -> None:
        self._job = job
        self._pool = pool

    def warm_up(self) -> None:
        """See `Side.warm_up`."""
        self._pass(self._job.warm_up_problems)

    def run(self, seed: int) -> Pass:
        """See `Side.run`."""
        return self._pass(self._job.problems)

    @abstractmethod
    def _pass(self, problems: Sequence[Problem]) -> Pass:
        """Do these problems."""


def timed_pass(job: Job, questions: Sequence[str], answer: Callable[[], Answered]) -> tuple[Pass, Answered]:
    """The pass that `answer` makes."""
    with job.watch.core_use() as use:
        started_s = time.time()
        answered = answer()
        accuracy = job.accuracy(answered.solutions)
        ended_s = time.time()
    measured = Pass(
        seconds=answered.last_s - answered.first_s,
        whole_seconds=ended_s - started_s,
        problems=len(questions),
        failed=len(answered.errors),
        accuracy=accuracy,
        tokens=answered.tokens,
        cpu_seconds=cpu_seconds(use, answered.first_s, answered.last_s, of_peer=True),
    )
    return measured, answered


def _begin(load: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.dup2(2, 1)  # vLLM logs to stdout, which is for the result
    be_as_polite_as_replicas()
    load(*arguments)
