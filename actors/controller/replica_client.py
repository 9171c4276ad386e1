"""One replica's line to the controller: sends calls in batches, collects results, notices death, asks for another.

place --> connect --> up --+-- sender:    everything queued since the last turn, in one call
   ^                       +-- collector: long poll; results are acknowledged with the next one
   |                       +-- health:    a canary, when nothing came back for a while
   |                       +-- node:      it was told that the replica's node is gone
   +----- replace <-- down: any of them met a `ReplicaFailed`
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Generic, Never, TypeVar

from actors.controller.protocols import ReplicaHandle
from actors.replicas.mailbox import Keyed
from records.calls import NOTHING_SAMPLED, CallFailed
from records.failure import Fenced, ReplicaDied, ReplicaFailed, StaleEpoch
from records.replica import ReplicaInfo

_CallT = TypeVar("_CallT", bound=Keyed)
_ResultT = TypeVar("_ResultT")

MAX_FAILED_STARTS = 5
"""Starts in a row without one result after which a replica is given up."""

MAX_BACKOFF_S = 30.0
"""Longest wait before a replica is started again."""

COLLECT_WAIT_S = 2.0
"""Length of one long poll: how old what is known of samples in flight may be."""

COLLECT_GRACE_S = 60.0
"""A poll that is this much overdue means that the replica's process hangs."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How a replica is watched.

    Attributes:
        interval_s: a replica that is silent for this long is asked for a sign of life.
        deadline_s: how long that may take.
        backoff_s: wait before the second start in a row without a result; it doubles with each.
    """

    interval_s: float = 30.0
    deadline_s: float = 120.0
    backoff_s: float = 2.0


class ReplicaClient(Generic[_CallT, _ResultT]):
    """Keeps one replica supplied for one epoch.

    Args:
        handle: the replica.
        epoch: the controller's; a replica that serves a newer one fences this controller off.
        on_up: called with what the replica says of itself, each time it has come up.
        on_down: called with the cause when it is gone; what it was sent has to be sent again.
        on_results: called with results, in any order.
        health: when to ask for a sign of life.
        check: what is wrong with a replica that has come up, a sentence each; it is not used then.
        on_placed: called when the replica has a node, before its model is loaded.

    Attributes:
        replica_id: of the replica.
        num_deaths: so far.
        flying_tokens: that the replica had generated, when it was last heard, for calls that have not ended.
        placed: it has a node.
        node_id: of the node that it was last up on; "" before, and while it comes up on another.
    """

    def __init__(
        self,
        handle: ReplicaHandle[_CallT, _ResultT],
        *,
        epoch: int,
        on_up: Callable[[str, ReplicaInfo], None],
        on_down: Callable[[str, str], None],
        on_results: Callable[[str, Sequence[_ResultT | CallFailed]], None],
        health: HealthCheck,
        check: Callable[[ReplicaInfo], Sequence[str]] = lambda _: (),
        on_placed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.replica_id = handle.replica_id
        self.num_deaths = 0
        self.flying_tokens = 0
        self.placed = False
        self.node_id = ""
        self._check_info, self._on_placed = check, on_placed
        self._node_gone: asyncio.Future[str] | None = None
        self._handle = handle
        self._epoch = epoch
        self._on_up, self._on_down, self._on_results = on_up, on_down, on_results
        self._health = health
        self._backoff_s = health.backoff_s
        self._outbox: list[_CallT] = []
        self._cancelled: list[str] = []
        self._wake = asyncio.Event()
        self._num_results = 0

    def send(self, calls: Sequence[_CallT]) -> None:
        """Queue calls for the next batch."""
        self._outbox += calls
        self._wake.set()

    def cancel(self, keys: Sequence[str]) -> None:
        """Queue cancellations for the next batch; each call has a result all the same."""
        self._cancelled += keys
        self._wake.set()

    def node_gone(self, cause: str) -> None:
        """The replica's node is dead, whatever it still says; nothing to do for a replica that is down."""
        if self._node_gone is not None and not self._node_gone.done():
            self._node_gone.set_result(cause)

    async def run(self) -> str:
        """Serve until cancelled; returns (with the cause) only after `MAX_FAILED_STARTS` lives without a result.

        Raises:
            NoNode: no node had room for it in time. It can be run again.
        """
        failed_starts = 0
        while True:
            before = self._num_results
            self.placed = False
            await self._place()
            cause = await self._one_life()
            self.num_deaths += 1
            failed_starts = 0 if self._num_results > before else failed_starts + 1
            self._outbox.clear()
            self._cancelled.clear()
            self._on_down(self.replica_id, cause)
            if failed_starts == MAX_FAILED_STARTS:
                return cause
            # What a dead process held (GPU memory above all) is not always free at once.
            await asyncio.sleep(min(MAX_BACKOFF_S, self._backoff_s * (2**failed_starts - 1)))
            await self._handle.replace()

    async def _place(self) -> None:
        try:
            await self._handle.place()
        except ReplicaDied:  # `hello` says of what
            return
        self.node_id = ""
        self._has_place()

    def _has_place(self) -> None:
        if not self.placed:
            self.placed = True
            self._on_placed(self.replica_id)

    async def _one_life(self) -> str:
        """From `hello` to the failure that ends it; what it was."""
        try:
            info = await self._handle.hello()
            if wrong := self._check_info(info):
                raise ReplicaDied("; ".join(wrong))
            self.node_id, self._node_gone = info.node_id, asyncio.get_running_loop().create_future()
            self._has_place()
            self._on_up(self.replica_id, info)
            loops = (
                self._send_loop(info.incarnation),
                self._collect_loop(info.incarnation),
                self._health_loop(),
                self._until_node_gone(self._node_gone),
            )
            await _first_failure(loops)
        except StaleEpoch as stale:
            raise Fenced(f"replica {self.replica_id} serves a newer controller: {stale}") from stale
        except ReplicaFailed as failed:
            return f"{type(failed).__name__}: {failed}"
        finally:
            self.flying_tokens = 0
            self._handle.let_go()

    async def _until_node_gone(self, gone: "asyncio.Future[str]") -> Never:
        cause = await gone
        self._handle.node_died()
        raise ReplicaDied(cause)

    async def _send_loop(self, incarnation: str) -> Never:
        while True:
            await self._wake.wait()
            self._wake.clear()
            calls, self._outbox = self._outbox, []
            keys, self._cancelled = self._cancelled, []
            dropped = set(keys)
            unsent = {call.key: CallFailed(call.key, NOTHING_SAMPLED, False) for call in calls if call.key in dropped}
            calls = [call for call in calls if call.key not in dropped]
            if unsent:  # the replica, which never hears of them, can have no last word
                self._on_results(self.replica_id, list(unsent.values()))
            if keys := [key for key in keys if key not in unsent]:
                await self._handle.cancel(incarnation, self._epoch, keys)
            if calls:
                await self._handle.submit(incarnation, self._epoch, calls)

    async def _collect_loop(self, incarnation: str) -> Never:
        acked = 0
        while True:
            try:
                async with asyncio.timeout(COLLECT_WAIT_S + COLLECT_GRACE_S):
                    collected = await self._handle.collect(incarnation, self._epoch, acked, COLLECT_WAIT_S)
            except TimeoutError:
                raise ReplicaDied(f"{self.replica_id} does not answer a poll") from None
            acked, self.flying_tokens = collected.last, collected.flying_tokens
            if collected.results:
                self._num_results += len(collected.results)
                self._on_results(self.replica_id, collected.results)

    async def _health_loop(self) -> Never:
        while True:
            seen = self._num_results
            await asyncio.sleep(self._health.interval_s)
            if self._num_results == seen:
                await self._check()

    async def _check(self) -> None:
        try:
            async with asyncio.timeout(self._health.deadline_s + COLLECT_GRACE_S):
                await self._handle.check_health(self._health.deadline_s)
        except TimeoutError:
            raise ReplicaDied(f"{self.replica_id} does not answer a health check") from None


async def _first_failure(loops: Sequence[Coroutine[None, None, Never]]) -> Never:
    """Run endless loops until one fails or this task is cancelled; the others are ended then.

    No task group: one that has a failure to tell forgets that it was cancelled too, and its task would go on for ever.
    """
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    failures = [failure for task in tasks if task in done and (failure := task.exception()) is not None]
    # Whoever is fenced off says so, whatever else happened.
    raise min(failures, key=lambda failure: not isinstance(failure, StaleEpoch))
