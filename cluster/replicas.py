"""Handles: Ray actors behind the protocols of `records` and `actors`.

Whatever Ray says of a process that is gone becomes `ReplicaDied`; a named failure that the actor raised comes out as
itself; anything else is a bug or a broken configuration and comes out as Ray shows it.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from cluster.channel import Address, Channel, ChannelLost
from records.failure import Failure, NoNode, ReplicaDied
from records.replica import Collected, ReplicaInfo

CallT = TypeVar("CallT")
ResultT = TypeVar("ResultT")
T = TypeVar("T")

_log = logging.getLogger(__name__)
CONNECT_S = 10.0
"""How long a connection to a replica's process may take to come about."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

LOADING_S = 5.0
"""A process that dies after it has worked on `hello` for this long died of it; before, it was still coming up."""

RESTART_POLL_S = 0.5
"""Ray restarts a replica by itself; this is how often we look whether it is there again."""


async def answer(reference: Awaitable[T]) -> T:
    """Wait for a remote call; failures come out under their own names."""
    try:
        return await reference
    except RayTaskError as error:
        if isinstance(error.cause, Failure):
            raise error.cause from error
        raise
    except RayActorError as error:
        raise ReplicaDied(cause_of_death(error)) from error
    except RayError as error:  # a lost reply, or one that cannot be read
        raise ReplicaDied(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error


class RayReplica(Generic[CallT, ResultT]):
    """One generator or PRM actor, from the controller's side. Travels to other processes; keeps no state there.

    Args:
        replica_id: its name; the same for every process that stands behind it.
        actor: which Ray restarts when its process dies.
        start_timeout_s: how long `hello` waits for an engine.
    """

    def __init__(self, replica_id: str, actor: ActorHandle, *, start_timeout_s: float) -> None:
        self.replica_id = replica_id
        self._actor = actor
        self._start_timeout_s = start_timeout_s
        self._process_gone = False
        self._incarnation: str | None = None
        self._gone: str | None = None
        self._line = ReplicaLine(replica_id, actor)

    async def place(self) -> None:
        """See `ReplicaHandle`."""
        deadline_s = time.monotonic() + self._start_timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await answer(self._actor.placed.remote())
            except TimeoutError:
                break
            except ReplicaDied as died:
                if not isinstance(died.__cause__, ActorUnavailableError):
                    raise
            else:
                return
            await asyncio.sleep(RESTART_POLL_S)
        raise NoNode(f"no node had room for {self.replica_id} in {self._start_timeout_s:.0f} s")

    async def hello(self) -> ReplicaInfo:
        """See `Replica`; waits through a restart, but not through one death after another while the model loads."""
        deadline_s = time.monotonic() + self._start_timeout_s
        cause = "it is still loading"
        while (left_s := deadline_s - time.monotonic()) > 0:
            asked_s = time.monotonic()
            try:
                async with asyncio.timeout(left_s):  # wait_for loses a cancellation that comes with the answer
                    info: ReplicaInfo = await answer(self._actor.hello.remote())
            except TimeoutError:
                break
            except ReplicaDied as died:
                if not isinstance(died.__cause__, ActorUnavailableError) or time.monotonic() - asked_s > LOADING_S:
                    raise
                cause = str(died)
            else:
                if info.incarnation != self._gone:
                    self._incarnation = info.incarnation
                    return info
                ray.kill(self._actor, no_restart=False)  # declared dead, and yet it answers
            await asyncio.sleep(RESTART_POLL_S)
        raise ReplicaDied(f"{self.replica_id} was not up after {self._start_timeout_s:.0f} s: {cause}")

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[CallT]) -> None:
        """See `Replica`."""
        await self._travel("submit", incarnation, epoch, calls)

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[ResultT]:
        """See `Replica`."""
        collected: Collected[ResultT] = await self._travel("collect", incarnation, epoch, acked, max_wait_s)
        return collected

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica`."""
        await self._travel("cancel", incarnation, epoch, keys)

    async def check_health(self, deadline_s: float) -> None:
        """See `Replica`."""
        await self._call("check_health", deadline_s)

    async def close(self) -> None:
        """See `Replica`."""
        await self._call("close")

    async def replace(self) -> None:
        """See `ReplicaHandle`: Ray replaces a dead process by itself; one that only hangs is killed here."""
        if not self._process_gone:
            ray.kill(self._actor, no_restart=False)
        self._gone, self._process_gone = self._incarnation, False

    def node_died(self) -> None:
        """See `ReplicaHandle`: Ray starts the replica elsewhere, and nobody is to kill that one."""
        self._process_gone = True

    def dismiss(self) -> None:
        """See `ElasticHandle`."""
        ray.kill(self._actor, no_restart=True)

    def let_go(self) -> None:
        """See `ReplicaHandle`."""
        self._line.close()

    async def _travel(self, method: str, incarnation: str, *args: Any) -> Any:
        """By the channel; where that is lost, over Ray, which knows whether the process still lives."""
        with self._noticing_death():
            try:
                channel = await self._line.channel(incarnation)
                if channel is not None:
                    return await getattr(channel, method)(incarnation, *args)
            except ChannelLost:
                pass
            return await answer(self._actor.call.remote(method, incarnation, *args))

    async def _call(self, method: str, *args: Any) -> Any:
        with self._noticing_death():
            return await answer(self._actor.call.remote(method, *args))

    @contextmanager
    def _noticing_death(self) -> Iterator[None]:
        try:
            yield
        except ReplicaDied as died:
            self._process_gone = isinstance(died.__cause__, RayActorError)
            raise


class ReplicaLine:
    """The channel to one replica, made when it is first used, and again when it was lost. It does not travel.

    A replica's process that cannot be reached by a connection (ports that are closed between nodes) is spoken to over
    Ray, which is slower, for as long as it lives.
    """

    def __init__(self, replica_id: str, actor: ActorHandle) -> None:
        self._replica_id, self._actor = replica_id, actor
        self._incarnation: str | None = None
        self._channel: Channel | None = None
        self._one_at_a_time = asyncio.Lock()

    async def channel(self, incarnation: str) -> Channel | None:
        """The channel to this incarnation; None where Ray has to do.

        Raises:
            ReplicaDied: the process is gone.
        """
        async with self._one_at_a_time:
            known = self._incarnation == incarnation
            if not known or (self._channel is not None and self._channel.lost):
                self.close()
                address = await answer(self._actor.channel.remote())
                self._channel = None if address is None else await self._connect(address)
                self._incarnation = incarnation
            return self._channel

    async def _connect(self, address: Address) -> Channel | None:
        try:
            return await Channel.connect(address, CONNECT_S)
        except ChannelLost as lost:
            _log.warning("%s: no connection to %s; Ray carries its calls, more slowly", self._replica_id, lost)
            return None

    def close(self) -> None:
        """End the connection; the next call makes another one."""
        if self._channel is not None:
            self._channel.close()
        self._channel = self._incarnation = None

    def __reduce__(self) -> tuple[type["ReplicaLine"], tuple[str, ActorHandle]]:
        return ReplicaLine, (self._replica_id, self._actor)


def cause_of_death(error: RayActorError) -> str:
    """What Ray says of an actor that is gone, without its advice: first line, and the exception where there was one."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    raised = lines[-1] if "Error" in lines[-1] and len(lines) > 1 else ""
    return f"{lines[0].rstrip('.')}: {raised}" if raised else lines[0]
