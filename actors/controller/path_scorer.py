"""Many paths scored by PRM replicas, each once, outside of any run: whatever dies or fails, every call comes to an end.

    groups --as many as there is room for--> dispatcher <--results, deaths-- clients <--> PRM replicas

Calls come in groups (the paths of one problem); a group goes in order, and to one replica as long as that is not far
ahead of the others, so that a path finds the one before it in the prefix cache. What a dead replica had not answered is
sent again, and a call that kills its replicas fails alone, as in a run: by the same `scaling.scheduler.dispatch`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from actors.controller.replica_client import HealthCheck, ReplicaClient
from actors.controller.settings import PrmHandle
from records.calls import CallFailed, ScoreCall, Scored, ScoreResult
from records.failure import ReplicaDied
from records.replica import ReplicaInfo
from scaling.scheduler.dispatch import Dispatcher
from scaling.scheduler.retries import MAX_ATTEMPTS

EPOCH = 1
"""The replicas are ours alone, so there is no other."""

_PrmClient = ReplicaClient[ScoreCall, ScoreResult]


@dataclass(slots=True)
class _Group:
    """`home`: the replica that was sent its last call."""

    home: str | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    call: ScoreCall
    group: _Group

    @property
    def key(self) -> str:
        return self.call.key

    @property
    def problem_id(self) -> str:
        return self.call.key


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
        prms: Sequence[PrmHandle],
        *,
        on_scored: Callable[[ScoreCall, Scored], None],
        on_failed: Callable[[ScoreCall, str], None],
        health: HealthCheck | None = None,
    ) -> None:
        self._on_scored, self._on_failed = on_scored, on_failed
        self._clients: dict[str, _PrmClient] = {
            prm.replica_id: ReplicaClient(
                prm,
                epoch=EPOCH,
                on_up=self._up,
                on_down=self._down,
                on_results=self._results,
                health=health or HealthCheck(),
            )
            for prm in prms
        }
        self._calls: Dispatcher[_Task] = Dispatcher(lambda task: task.group.home, lambda *_: None)
        self._groups: Iterator[tuple[int, Sequence[ScoreCall]]] = iter(())
        self._num_refusals: defaultdict[str, int] = defaultdict(int)
        self._done = asyncio.Event()

    async def score(self, groups: Iterator[Sequence[ScoreCall]]) -> None:
        """Until all calls have come to an end; keys are unique, and every call carries its prefix.

        Raises:
            ReplicaFailed: all replicas were given up.
        """
        self._groups = enumerate(groups)
        waiting = [asyncio.create_task(self._done.wait())]
        lives = [asyncio.create_task(client.run()) for client in self._clients.values()]
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
        self._calls.replica_up(replica, info.max_concurrency)
        self._send()

    def _down(self, replica: str, cause: str) -> None:
        for task in self._calls.replica_down(replica):
            self._on_failed(task.call, f"killed its PRM repeatedly: {cause}")
        self._send()

    def _results(self, replica: str, results: Sequence[ScoreResult]) -> None:
        for result in results:
            task = self._calls.flying(result.key, replica)
            if task is None:
                continue
            if isinstance(result, Scored):
                self._calls.settle(task.key)
                self._on_scored(task.call, result)
            else:
                self._refused(task, result)
        self._send()

    def _refused(self, task: _Task, result: object) -> None:
        self._num_refusals[task.key] += 1
        final = isinstance(result, CallFailed) and not result.retryable
        if final or self._num_refusals[task.key] == MAX_ATTEMPTS:
            self._calls.settle(task.key)
            error = result.error if isinstance(result, CallFailed) else "its prefix was not kept"
            self._on_failed(task.call, error)
        else:
            self._calls.retry(task.key)

    def _send(self) -> None:
        """Supply every replica that is up; notice the end."""
        outgoing: defaultdict[str, list[ScoreCall]] = defaultdict(list)
        self._take_groups()
        while (following := self._calls.peek()) is not None:
            task, replica = following
            task.group.home = replica
            outgoing[replica].append(replace(task.call, key=self._calls.take(task.key, replica)))
            self._take_groups()
        for replica, calls in outgoing.items():
            self._clients[replica].send(calls)
        if self._calls.capacity and not self._calls.num_waiting and not self._calls.num_in_flight:
            self._done.set()

    def _take_groups(self) -> None:
        """As many as keep every replica supplied; none while none is up."""
        while self._calls.num_waiting + self._calls.num_in_flight < self._calls.capacity:
            following = next(self._groups, None)
            if following is None:
                return
            number, calls = following
            group = _Group()
            for place, call in enumerate(calls):
                self._calls.push(_Task(call, group), (0.0, number, 0, place))
