"""Replicas that answer at once and cost next to nothing: what is left is what the controller's side takes.

A generator's sample is as many steps of `STEP_TOKENS` tokens as its call asks for: one until the tenth request of its
problem, which ends it, or `WHOLE_STEPS` at once. Results come `BATCH` at a time, about what a real collect brings.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from records.calls import SampleCall, Sampled, SampledStep, ScoreCall, Scored
from records.path import FinishReason, PrmScore
from records.replica import Collected, ReplicaInfo
from records.request import Until

STEP_TOKENS = 17
MAX_STEPS = 10
WHOLE_STEPS = 4
BATCH = 7
SLOTS = 64

_CallT = TypeVar("_CallT")
_ResultT = TypeVar("_ResultT")


def sample(call: SampleCall) -> Sampled:
    """A sample whose content hangs on its seed; one in a few answers is the same as another."""
    number = WHOLE_STEPS if call.until is Until.END else 1
    ends = call.until is Until.END or int(call.key.split("/")[1]) >= MAX_STEPS
    reasons = [FinishReason.SEPARATOR] * (number - 1) + [FinishReason.EOS if ends else FinishReason.SEPARATOR]
    steps = tuple(_step(call.seed >> place, reason) for place, reason in enumerate(reasons))
    return Sampled(call.key, steps, prompt_tokens=100, cached_tokens=96, queued_s=0.01, run_s=0.2)


def _step(seed: int, reason: FinishReason) -> SampledStep:
    """One step of `STEP_TOKENS` tokens."""
    text = f"Then {seed % 97} times {seed % 89} is {seed % 8633}, so the sum grows."
    text += f" The answer is \\boxed{{{seed % 5}}}." if reason is FinishReason.EOS else "\n\n"
    first = seed % 150_000
    return SampledStep(text, tuple(range(first, first + STEP_TOKENS)), reason, -8.25)


def score(call: ScoreCall) -> Scored:
    """One score for each that was asked for, drawn from the key."""
    median = hash(call.key) % 1000 / 1000
    scores = (PrmScore(median / 2, median, (1 + median) / 2),) * (len(call.steps) if call.every and call.steps else 1)
    return Scored(call.key, scores, prm_tokens=120, cached_tokens=100, truncated=False, queued_s=0.01, run_s=0.1)


class InstantReplica(Generic[_CallT, _ResultT]):
    """A replica of either role, as the controller sees one.

    Attributes:
        spent_s: processor time of its own, which is not the controller's.
    """

    def __init__(self, replica_id: str, answer: Callable[[_CallT], _ResultT]) -> None:
        self.replica_id = replica_id
        self.spent_s = 0.0
        self._answer = answer
        self._results: deque[_ResultT] = deque()
        self._some = asyncio.Event()
        self._last = 0

    async def hello(self) -> ReplicaInfo:
        """See `Replica`."""
        role = self.replica_id.partition("-")[0]
        return ReplicaInfo(self.replica_id, role, "instant", None, "", 1_000_000, 4096, SLOTS, "cpu")

    async def place(self) -> None:
        """See `ReplicaHandle`."""

    def node_died(self) -> None:
        """See `ReplicaHandle`."""

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[_CallT]) -> None:
        """See `Replica`: every call is answered here."""
        begun_s = time.process_time()
        self._results.extend(map(self._answer, calls))
        self._some.set()
        self.spent_s += time.process_time() - begun_s

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[_ResultT]:
        """See `Replica`."""
        if not self._results:
            self._some.clear()
            await self._some.wait()
        else:
            await asyncio.sleep(0)
        results = tuple(self._results.popleft() for _ in range(min(BATCH, len(self._results))))
        self._last += len(results)
        return Collected(self._last, results)

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica`: there is nothing left to cancel."""

    async def check_health(self, deadline_s: float) -> None:
        """See `Replica`."""

    async def close(self) -> None:
        """See `Replica`."""

    def let_go(self) -> None:
        """See `ReplicaHandle`."""

    async def replace(self) -> None:
        """See `ReplicaHandle`."""
