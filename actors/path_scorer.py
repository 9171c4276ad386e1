"""Many paths scored by PRM replicas, each once, outside of any run: whatever dies or fails, every call comes to an end.

Calls come in groups (the paths of one problem); a group stays on one replica and goes in order, so that a path finds
the one before it in the prefix cache. What a dead replica had not answered is sent again; a call that has seen
`SUSPECT_DEATHS` of them travels alone, and after one more it has failed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from actors.link import HealthCheck, ReplicaLink
from actors.run_settings import Prm
from records.calls import CallFailed, ScoreCall, Scored, ScoreResult
from records.failure import ReplicaDied
from records.replica import ReplicaInfo

CALLS_PER_SLOT = 2
"""Calls in flight for each that an engine works on."""
SUSPECT_DEATHS = 2
MAX_ATTEMPTS = 3
"""Of a call that an engine refuses and says may go better another time."""
EPOCH = 1
"""The replicas are ours alone, so there is no other."""

PrmLink = ReplicaLink[ScoreCall, ScoreResult]


@dataclass(slots=True)
class Item:
    """A call and what it has met; it is sent under a new key each time, because a replica runs a key only once."""

    call: ScoreCall
    num_sent: int = 0
    num_deaths: int = 0
    num_refusals: int = 0

    @property
    def is_suspect(self) -> bool:
        """Replicas may have died of it."""
        return self.num_deaths >= SUSPECT_DEATHS

    def to_send(self) -> ScoreCall:
        """The call as it is sent now."""
        self.num_sent += 1
        return replace(self.call, key=f"{self.call.key}/{self.num_sent}")


class PathScorer:
    """Works groups of calls off.

    Args:
        prms: at least one replica.
        on_scored: given each call with its scores.
        on_failed: given each call that has no scores, and why.
        health: when a silent replica is asked for a sign of life.
    """

    def __init__(
        self,
        prms: Sequence[Prm],
        *,
        on_scored: Callable[[ScoreCall, Scored], None],
        on_failed: Callable[[ScoreCall, str], None],
        health: HealthCheck | None = None,
    ) -> None:
        self._on_scored, self._on_failed = on_scored, on_failed
        self._links: dict[str, PrmLink] = {
            prm.replica_id: ReplicaLink(
                prm,
                epoch=EPOCH,
                on_up=self._up,
                on_down=self._down,
                on_results=self._results,
                health=health or HealthCheck(),
            )
            for prm in prms
        }
        self._groups: Iterator[Sequence[ScoreCall]] = iter(())
        self._again: deque[Item] = deque()
        self._begun: dict[str, deque[Item]] = {}
        self._in_flight: dict[str, dict[str, Item]] = {}
        self._limits: dict[str, int] = {}
        self._done = asyncio.Event()

    async def score(self, groups: Iterator[Sequence[ScoreCall]]) -> None:
        """Until all calls have come to an end; keys are unique, and every call carries its prefix.

        Raises:
            ReplicaFailed: all replicas were given up.
        """
        self._groups = groups
        waiting = [asyncio.create_task(self._done.wait())]
        lives = [asyncio.create_task(link.run()) for link in self._links.values()]
        try:
            while not self._done.is_set():
                alive = [life for life in lives if not life.done()]
                if not alive:
                    raise ReplicaDied(f"every PRM replica was given up: {lives[-1].result()}")
                await asyncio.wait([*waiting, *alive], return_when=asyncio.FIRST_COMPLETED)
                for life in lives:
                    if life.done() and not life.cancelled() and (error := life.exception()) is not None:
                        raise error
        finally:
            for task in (*waiting, *lives):
                task.cancel()
            await asyncio.gather(*waiting, *lives, return_exceptions=True)

    def _up(self, replica: str, info: ReplicaInfo) -> None:
        self._limits[replica] = CALLS_PER_SLOT * info.max_concurrency
        self._in_flight[replica] = {}
        self._fill(replica)

    def _down(self, replica: str, cause: str) -> None:
        self._limits.pop(replica, None)
        for item in self._in_flight.pop(replica, {}).values():
            item.num_deaths += 1
            if item.num_deaths > SUSPECT_DEATHS:
                self._on_failed(item.call, f"{item.num_deaths} replicas died of it, at last: {cause}")
            else:
                self._again.append(item)
        self._again.extend(self._begun.pop(replica, ()))
        self._look()

    def _results(self, replica: str, results: Sequence[ScoreResult]) -> None:
        for result in results:
            item = self._in_flight[replica].pop(result.key, None)
            if item is None:
                continue
            if isinstance(result, Scored):
                self._on_scored(item.call, result)
                continue
            item.num_refusals += 1
            final = isinstance(result, CallFailed) and not result.retryable
            if final or item.num_refusals == MAX_ATTEMPTS:
                self._on_failed(
                    item.call, result.error if isinstance(result, CallFailed) else "its prefix was not kept"
                )
            else:
                self._again.append(item)
        self._look()

    def _look(self) -> None:
        """Supply every replica that is up; notice the end."""
        for replica in list(self._limits):
            self._fill(replica)

    def _fill(self, replica: str) -> None:
        flying, limit = self._in_flight[replica], self._limits[replica]
        sent: list[ScoreCall] = []
        while len(flying) < limit and not any(item.is_suspect for item in flying.values()):
            item = self._next(replica)
            if item is None:
                break
            if item.is_suspect and flying:
                self._again.appendleft(item)  # it waits until the replica is empty
                break
            call = item.to_send()
            flying[call.key] = item
            sent.append(call)
        if sent:
            self._links[replica].send(sent)
        elif not any(self._in_flight.values()) and not self._again and not any(self._begun.values()):
            self._done.set()

    def _next(self, replica: str) -> Item | None:
        begun = self._begun.setdefault(replica, deque())
        while not begun:
            if self._again:
                return self._again.popleft()
            group = next(self._groups, None)
            if group is None:
                return None
            begun.extend(Item(call) for call in group)
        return begun.popleft()
