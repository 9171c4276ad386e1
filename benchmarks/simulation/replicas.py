"""A replica on simulated time, as the controller sees one: messages take a while, and results come as they pile up."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from records.replica import Collected, ReplicaInfo

_CallT = TypeVar("_CallT")
_ResultT = TypeVar("_ResultT")
CallT_contra = TypeVar("CallT_contra", contravariant=True)


class Accepting(Protocol[CallT_contra]):
    """What takes calls."""

    def accept(self, calls: Sequence[CallT_contra]) -> None:
        """Begin with them, or queue them."""
        ...

    def cancel(self, keys: Sequence[str]) -> None:
        """End these early; each has a result."""
        ...


class SimulatedReplica(Generic[_CallT, _ResultT]):
    """See `ReplicaHandle`.

    Args:
        replica_id: its name.
        num_slots: what it says of its batch.
        message_s: how long a message is on its way, each way.
        engine: made with what is to be told of results.
    """

    def __init__(
        self,
        replica_id: str,
        num_slots: int,
        message_s: float,
        engine: Callable[[Callable[[_ResultT], None]], Accepting[_CallT]],
    ) -> None:
        self.replica_id = replica_id
        self._num_slots, self._message_s = num_slots, message_s
        self._results: list[_ResultT] = []
        self._some = asyncio.Event()
        self._last = 0
        self._engine = engine(self._done)

    def _done(self, result: _ResultT) -> None:
        self._results.append(result)
        self._some.set()

    async def hello(self) -> ReplicaInfo:
        """See `Replica`."""
        role = self.replica_id.partition("-")[0]
        return ReplicaInfo(self.replica_id, role, "simulated", None, "", 8_000_000_000, 32_768, self._num_slots, "gpu")

    async def place(self) -> None:
        """See `ReplicaHandle`."""

    def node_died(self) -> None:
        """See `ReplicaHandle`."""

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[_CallT]) -> None:
        """See `Replica`."""
        await asyncio.sleep(self._message_s)
        self._engine.accept(list(calls))

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[_ResultT]:
        """See `Replica`: what is finished while the answer is on its way comes with the next one."""
        await self._some.wait()
        self._some.clear()
        results, self._results = tuple(self._results), []
        self._last += len(results)
        await asyncio.sleep(self._message_s)
        return Collected(self._last, results)

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica`."""
        await asyncio.sleep(self._message_s)
        self._engine.cancel(keys)

    async def check_health(self, deadline_s: float) -> None:
        """See `Replica`: it always is well."""

    async def close(self) -> None:
        """See `Replica`."""

    def let_go(self) -> None:
        """See `ReplicaHandle`."""

    async def replace(self) -> None:
        """See `ReplicaHandle`."""
