"""Engines on simulated time: a batch of calls that all gain a token at the same time, at a rate that its size decides.

    accept --> queue --a slot is free--> prefill (the engine does nothing else) --> batch --last token--> done

Between two changes of the batch nothing happens, so there is one timer per engine, however many calls there are:
`level` is the number of tokens that a call in the batch since the beginning would have, and a heap holds at which level
each one ends. What an engine has sampled it holds: when KV blocks are evicted is not the subject here.
"""

import asyncio
import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.simulation.rates import EngineRates
from benchmarks.simulation.texts import CHARACTERS_PER_TOKEN, Lengths, judge, say
from records.calls import (
    NOTHING_SAMPLED,
    CallFailed,
    SampleCall,
    Sampled,
    SampledStep,
    SampleResult,
    ScoreCall,
    Scored,
)
from records.path import FinishReason
from records.request import Until

PRM_CALL_S = 0.002
"""What a call to a PRM takes beside its tokens."""
_BLOCK_TOKENS = 16
"""Of a prefix that is held, the last tokens that fill no block are computed again."""
_HELD_QUESTIONS = 4096
"""Prefixes that came with a call and are remembered; what an engine sampled itself it holds."""


class Occupation:
    """How many slots were in use, over time.

    Attributes:
        slot_s: slots in use, summed over the seconds.
        busy_s: seconds in which there was any.
        spent_s: processor time that simulating this engine took, which is not the controller's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.slot_s = self.busy_s = self.spent_s = 0.0
        self.num_running = 0
        self._loop, self._since_s = loop, loop.time()

    def count(self, num_running: int) -> None:
        """From now on so many are in use."""
        passed_s, self._since_s = self._loop.time() - self._since_s, self._loop.time()
        self.slot_s += passed_s * self.num_running
        self.busy_s += passed_s if self.num_running else 0.0
        self.num_running = num_running


class SimulatedGenerator:
    """A generator's engine.

    Args:
        loop: with the clock.
        rates: of the engine.
        num_slots: calls in its batch at most.
        lengths: of what it says.
        done: told of every finished sample.

    Attributes:
        used: how much of it was.
        num_tokens: sampled so far.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rates: EngineRates,
        num_slots: int,
        lengths: Lengths,
        done: Callable[[SampleResult], None],
    ) -> None:
        self.used, self.num_tokens = Occupation(loop), 0
        self._loop, self._num_slots, self._lengths, self._done = loop, num_slots, lengths, done
        self._token_s, self._prefill = rates.by_batch(num_slots), rates.prefill_tokens_per_s
        self._queue: deque[tuple[float, SampleCall]] = deque()
        self._batch: list[tuple[float, int, Any]] = []
        self._order = itertools.count()
        self._level, self._level_at_s = 0.0, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._held: set[str] = set()

    def accept(self, calls: Sequence[SampleCall]) -> None:
        """Queue calls, and begin those for which there is a slot."""
        begun_s = time.process_time()
        now_s = self._loop.time()
        self._queue.extend((now_s, call) for call in calls)
        self._turn()
        self.used.spent_s += time.process_time() - begun_s

    def cancel(self, keys: Sequence[str]) -> None:
        """End calls early, with the tokens that they have by now."""
        begun_s = time.process_time()
        self._turn()
        wanted = set(keys)
        for _, call in [item for item in self._queue if item[1].key in wanted]:
            self._done(CallFailed(call.key, NOTHING_SAMPLED, retryable=False))
        self._queue = deque(item for item in self._queue if item[1].key not in wanted)
        ended = [item for item in self._batch if item[2][0].key in wanted]
        self._batch = [item for item in self._batch if item[2][0].key not in wanted]
        heapq.heapify(self._batch)
        for ends_at, _, (call, steps, *others) in ended:
            num_tokens = num_tokens_of(steps) - math.ceil(ends_at - self._level)
            if num_tokens <= 0:
                self._done(CallFailed(call.key, NOTHING_SAMPLED, retryable=False))
            else:
                self._finish((call, first_tokens(steps, num_tokens), *others), self._loop.time())
        self._turn()
        self.used.spent_s += time.process_time() - begun_s

    def _on_timer(self) -> None:
        begun_s = time.process_time()
        self._timer = None
        self._turn()
        self.used.spent_s += time.process_time() - begun_s

    def _turn(self) -> None:
        """Bring the batch up to now: who is through leaves, who waits comes in."""
        now_s = self._loop.time()
        if now_s > self._level_at_s:
            self._level += (now_s - self._level_at_s) / self._token_s[len(self._batch)]
            self._level_at_s = now_s
        while self._batch and self._batch[0][0] <= self._level + 1e-6:
            self._finish(heapq.heappop(self._batch)[2], now_s)
        while self._queue and len(self._batch) < self._num_slots:
            self._begin(*self._queue.popleft(), now_s)
        self.used.count(len(self._batch))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batch:
            left = self._batch[0][0] - self._level
            due_s = self._level_at_s + left * self._token_s[len(self._batch)]
            self._timer = self._loop.call_at(due_s, self._on_timer)

    def _begin(self, since_s: float, call: SampleCall, now_s: float) -> None:
        depth = depth_of(call)
        num_prompt = self._lengths.question + round(depth * self._lengths.step_median)
        held = call.prefix is None or call.prefix_id in self._held
        self._hold(call.prefix_id)
        cached = num_prompt // _BLOCK_TOKENS * _BLOCK_TOKENS if held else 0
        self._level_at_s = max(self._level_at_s, now_s) + (num_prompt - cached) / self._prefill
        steps = say(call, depth, self._lengths)
        ends_at = math.ceil(self._level - 1e-6) + num_tokens_of(steps)
        heapq.heappush(self._batch, (ends_at, next(self._order), (call, steps, num_prompt, cached, since_s, now_s)))

    def _hold(self, prefix_id: str) -> None:
        if len(self._held) >= _HELD_QUESTIONS:
            self._held.clear()
        self._held.add(prefix_id)

    def _finish(self, running: Any, now_s: float) -> None:
        call, steps, num_prompt, cached, since_s, begun_s = running
        self.num_tokens += num_tokens_of(steps)
        self._done(Sampled(call.key, steps, num_prompt, cached, begun_s - since_s, now_s - begun_s))


class SimulatedPrm:
    """A PRM's engine: calls one after another, each as long as the tokens that it has not seen take.

    Args:
        loop: with the clock.
        rates: of the engine.
        lengths: of the questions.
        done: told of every finished call.

    Attributes:
        used: how much of it was.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rates: EngineRates, lengths: Lengths, done: Callable[[Scored], None]
    ) -> None:
        self.used = Occupation(loop)
        self._loop, self._lengths, self._done = loop, lengths, done
        self._prefill = rates.prefill_tokens_per_s
        self._queue: deque[tuple[float, ScoreCall]] = deque()
        self._at_work: tuple[float, float, ScoreCall, int] | None = None
        self._held: set[str] = set()

    def accept(self, calls: Sequence[ScoreCall]) -> None:
        """Queue calls."""
        begun_s = time.process_time()
        now_s = self._loop.time()
        self._queue.extend((now_s, call) for call in calls)
        if self._at_work is None:
            self._next()
        self.used.spent_s += time.process_time() - begun_s

    def cancel(self, keys: Sequence[str]) -> None:
        """Nothing that is simulated cancels a score."""
        raise NotImplementedError("a simulated PRM cannot be asked to stop")

    def _next(self) -> None:
        if not self._queue:
            self.used.count(0)
            return
        since_s, call = self._queue.popleft()
        own = sum(len(step) for step in call.steps) // CHARACTERS_PER_TOKEN
        before = 0
        if call.prefix is not None and call.prefix_id not in self._held:
            before = self._lengths.question + sum(len(step) for step in call.prefix.steps) // CHARACTERS_PER_TOKEN
        if len(self._held) >= _HELD_QUESTIONS:
            self._held.clear()
        self._held.add(call.prefix_id)
        num_tokens = own + before + _BLOCK_TOKENS
        self._at_work = (since_s, self._loop.time(), call, num_tokens)
        self.used.count(1)
        self._loop.call_later(PRM_CALL_S + num_tokens / self._prefill, self._on_timer)

    def _on_timer(self) -> None:
        begun_s = time.process_time()
        if self._at_work is None:
            raise RuntimeError("a PRM that does nothing has finished")
        since_s, started_s, call, num_tokens = self._at_work
        self._at_work = None
        now_s = self._loop.time()
        self._done(Scored(call.key, judge(call), num_tokens, 0, False, started_s - since_s, now_s - started_s))
        self._next()
        self.used.spent_s += time.process_time() - begun_s


def depth_of(call: SampleCall) -> int:
    """Steps before the one that is asked for: one for each request of the problem after its first two, or none."""
    if call.until is Until.END:
        return 0
    return max(0, int(call.key.rsplit("/", 2)[1]) - 1)


def first_tokens(steps: tuple[SampledStep, ...], num_tokens: int) -> tuple[SampledStep, ...]:
    """What there is of some steps after so many tokens, at least one."""
    part: list[SampledStep] = []
    for step in steps:
        left = num_tokens - num_tokens_of(tuple(part))
        if left <= len(step.token_ids):
            text = step.text[: CHARACTERS_PER_TOKEN * left]
            return (*part, SampledStep(text, step.token_ids[:left], FinishReason.CANCELLED, -0.25 * left))
        part.append(step)
    return steps


def num_tokens_of(steps: tuple[SampledStep, ...]) -> int:
    """Tokens of some steps."""
    return sum(len(step.token_ids) for step in steps)
