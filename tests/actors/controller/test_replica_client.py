"""The line to a replica ends when its controller ends, whatever happens to the replica at that very moment."""

import asyncio

import pytest

from actors.controller.replica_client import HealthCheck, ReplicaClient
from records.failure import ReplicaDied
from records.replica import ReplicaInfo


class DyingReplica:
    """Its polls wait for `died`; it can be replaced, and comes up again."""

    def __init__(self) -> None:
        self.replica_id = "generator-0"
        self.died = asyncio.Event()

    async def hello(self) -> ReplicaInfo:
        return ReplicaInfo("one", "generator", "fake", None, "", 1, 100, 1, "cpu")

    async def submit(self, incarnation, epoch, calls) -> None:
        raise AssertionError("nothing was sent")

    async def collect(self, incarnation, epoch, acked, max_wait_s):
        await self.died.wait()
        self.died.clear()
        raise ReplicaDied("gone")

    async def cancel(self, incarnation, epoch, keys) -> None:
        raise AssertionError("nothing was cancelled")

    async def check_health(self, deadline_s: float) -> None: ...

    async def close(self) -> None: ...

    async def place(self) -> None: ...

    def node_died(self) -> None: ...

    async def replace(self) -> None: ...

    def let_go(self) -> None: ...


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_link_ends_although_its_replica_dies_in_the_same_moment(turns):
    """A task group with a failed task raises that failure, and forgets that it was cancelled too."""
    replica = DyingReplica()
    client = ReplicaClient(
        replica,
        epoch=1,
        on_up=lambda name, info: None,
        on_down=lambda name, cause: None,
        on_results=lambda name, results: None,
        health=HealthCheck(),
    )
    task = asyncio.create_task(client.run())
    await asyncio.sleep(0.01)
    replica.died.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=30.0)
    try:
        assert done
        assert task.cancelled()
    finally:
        task.cancel()
