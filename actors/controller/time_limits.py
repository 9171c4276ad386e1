"""A run's limits in time: its deadline, and its caps on what the time of its replicas comes to."""

import asyncio
from collections.abc import Callable

from actors.controller.settings import RunSettings, RunSoFar
from records.usage import Usage
from scaling.budget.time_caps import HeldCost, TimeCaps, replica_seconds
from scaling.scheduler.counts import Counts

CHECK_INTERVAL_S = 0.25
"""Between two looks."""


class TimeLimits:
    """Those of one controller.

    Args:
        settings: of the run.
        so_far: of earlier epochs.
        counts: of what replicas have delivered: how long the end will take is read off the longest calls.
        usage: of the replicas, up to now.
        clock: seconds, monotonic.
        on_reached: called once, with the limit that is reached, in words.
    """

    def __init__(
        self,
        settings: RunSettings,
        so_far: RunSoFar,
        *,
        counts: Counts,
        usage: Callable[[], Usage],
        clock: Callable[[], float],
        on_reached: Callable[[str], None],
    ) -> None:
        self._deadline_s = settings.deadline_s
        self._ends_s = None if settings.deadline_s is None else clock() + settings.deadline_s
        self._caps = TimeCaps(
            rates=settings.rates,
            total_usd=settings.total_usd,
            total_gpu_seconds=settings.total_gpu_seconds,
            before_s=replica_seconds(so_far.usages),
        )
        self._counts, self._usage, self._clock, self._on_reached = counts, usage, clock, on_reached

    def held(self) -> HeldCost:
        """What the replicas' time has come to in the whole run."""
        return self._caps.held(self._usage())

    async def run(self) -> None:
        """Look, until a limit is reached; at once over where there is none."""
        limits = (self._ends_s, self._caps.total_usd, self._caps.total_gpu_seconds)
        while any(limit is not None for limit in limits):
            reached = self._reached()
            if reached is not None:
                self._on_reached(reached)
                return
            await asyncio.sleep(CHECK_INTERVAL_S)

    def _reached(self) -> str | None:
        if self._ends_s is not None and self._clock() >= self._ends_s:
            return f"the deadline of {self._deadline_s:g} s has passed"
        drain_s = self._counts.longest_sample_s + self._counts.longest_score_s
        return self._caps.reached(self._usage(), drain_s)
