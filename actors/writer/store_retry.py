"""Patience with a store that is out: the same waits, and the same end, wherever a run asks it for something."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from records.failure import Damaged, StoreFailed

T = TypeVar("T")

RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Waits between tries; the last one is repeated."""

OUTAGE_S = 300.0
"""A store that is out for longer ends the run, which the same command resumes: idle engines cost money."""


class StoreRetry:
    """The failures in a row of one thing that a store is asked for.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._num_failures = 0

    def wait_s(self, failed: StoreFailed) -> float:
        """Note one more failure; how long to wait before the next try.

        Raises:
            StoreFailed: this one, once the store is out for too long, or where what it holds is damaged.
        """
        if isinstance(failed, Damaged):
            raise failed
        now_s = self._clock()
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s > OUTAGE_S:
            raise failed
        self._num_failures += 1
        return RETRY_S[min(self._num_failures, len(RETRY_S)) - 1]

    def end(self) -> None:
        """The store has answered."""
        self._since_s, self._num_failures = None, 0


async def patiently(ask: Callable[[], Awaitable[T]], note: Callable[[str], None]) -> T:
    """Ask a store until it answers, for `OUTAGE_S` at most.

    Args:
        ask: safe to repeat.
        note: tells the user.
    """
    retry = StoreRetry()
    while True:
        try:
            return await ask()
        except StoreFailed as failed:
            await asyncio.sleep(_tell_and_wait_s(retry, failed, note))


def patiently_blocking(ask: Callable[[], T], note: Callable[[str], None]) -> T:
    """`patiently` outside an event loop."""
    retry = StoreRetry()
    while True:
        try:
            return ask()
        except StoreFailed as failed:
            time.sleep(_tell_and_wait_s(retry, failed, note))


def _tell_and_wait_s(retry: StoreRetry, failed: StoreFailed, note: Callable[[str], None]) -> float:
    wait_s = retry.wait_s(failed)
    note(f"the store does not answer ({failed}); trying again in {wait_s:g} s")
    return wait_s
