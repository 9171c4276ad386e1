"""Handles: Ray actors behind the protocols of `records` and `actors`.

Whatever Ray says of a process that is gone becomes `ReplicaDied`; a named failure that the actor raised comes out as
itself; anything else is a bug or a broken configuration and comes out as Ray shows it.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Sequence
from typing import Any, Generic, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from records.failure import Failure, ReplicaDied
from records.replica import Collected, ReplicaInfo

CallT = TypeVar("CallT")
ResultT = TypeVar("ResultT")
T = TypeVar("T")

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

    async def hello(self) -> ReplicaInfo:
        """See `Replica`; waits through a restart, but not through one death after another while the model loads."""
        deadline_s = time.monotonic() + self._start_timeout_s
        cause = "it is still loading"
        while (left_s := deadline_s - time.monotonic()) > 0:
            asked_s = time.monotonic()
            try:
                async with asyncio.timeout(left_s):  # wait_for loses a cancellation that comes with the answer
                    info: ReplicaInfo = await answer(self._actor.call.remote("hello"))
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
        await self._call("submit", incarnation, epoch, calls)

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[ResultT]:
        """See `Replica`."""
        collected: Collected[ResultT] = await self._call("collect", incarnation, epoch, acked, max_wait_s)
        return collected

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica`."""
        await self._call("cancel", incarnation, epoch, keys)

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

    async def _call(self, method: str, *args: Any) -> Any:
        try:
            return await answer(self._actor.call.remote(method, *args))
        except ReplicaDied as died:
            self._process_gone = isinstance(died.__cause__, RayActorError)
            raise


def cause_of_death(error: RayActorError) -> str:
    """What Ray says of an actor that is gone, without its advice: first line, and the exception where there was one."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    raised = lines[-1] if "Error" in lines[-1] and len(lines) > 1 else ""
    return f"{lines[0].rstrip('.')}: {raised}" if raised else lines[0]
