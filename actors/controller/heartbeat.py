"""Tells the writer, again and again, that the controller lives and how far it is."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict

from actors.controller.protocols import RunWriter
from actors.writer.store_retry import StoreRetry
from records.failure import StoreFailed
from records.progress import Progress
from records.usage import Usage


async def heartbeats(
    writer: RunWriter, snapshot: Callable[[], tuple[Progress, Usage]], *, every_s: float, clock: Callable[[], float]
) -> None:
    """Beat until cancelled.

    Args:
        writer: of the run.
        snapshot: how far the run is, and what its replicas were used for.
        every_s: seconds between two beats.
        clock: seconds from anywhere, monotonic.

    Raises:
        StoreFailed: the store has been out for too long.
    """
    retry = StoreRetry(clock)
    while True:
        try:
            progress, usage = snapshot()
            await writer.heartbeat(asdict(progress), usage)
            retry.end()
        except StoreFailed as failed:
            retry.wait_s(failed)  # raises when it has lasted too long; the next try is the next heartbeat
        await asyncio.sleep(every_s)
