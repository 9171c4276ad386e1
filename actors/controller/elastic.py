"""A run whose number of replicas follows its work: asks for more, lets go what is not needed, every few seconds.

    work of a role --> ReplicaTarget --> more: launched, and in the fleet at once; it waits for a node like any other
                                     --> fewer: those without a node first, then the least busy: closed for new calls,
                                         ended once its last call has come back

What this process has launched ends with it, however it ends, and so does what was asked for and has no node yet: the
cluster ends the actors of a process that is gone.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from actors.controller.fleet import Fleet
from actors.controller.protocols import ElasticHandle
from records.progress import ROLE_PLURALS
from records.usage import Role
from scaling.scheduler.dispatch import Dispatcher
from scaling.scheduler.replica_target import ReplicaTarget, Work
from scaling.scheduler.scheduler import Scheduler

FOLLOW_S = 2.0
"""Between two looks."""
START_S = 60.0
"""What a replica is taken to need until it is up, before any has been seen to come up."""
UNKNOWN_SAMPLES = 8.0
"""Expansions of a problem, before any has concluded."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How many replicas of a role there may be.

    Attributes:
        least: that are there from the beginning.
        most: at a time.
        launch: starts replicas of the given `numbers`; may be called in the controller's process.
    """

    least: int
    most: int
    launch: Callable[..., Sequence[ElasticHandle[Any, Any]]]


@dataclass(slots=True)
class _Role:
    role: Role
    growth: Growth
    dispatcher: Dispatcher[Any]
    target: ReplicaTarget
    numbers: "count[int]"
    start_s: float
    handles: dict[str, ElasticHandle[Any, Any]] = field(default_factory=dict)  # those that were added, and are wanted
    asked_s: dict[str, float] = field(default_factory=dict)
    leaving: dict[str, ElasticHandle[Any, Any]] = field(default_factory=dict)


class Elastic:
    """Of one controller.

    Args:
        growth: of the roles whose number is not fixed.
        fleet: of the run.
        scheduler: of the run.
        num_unbegun: problems that have not been begun.
        num_concluded: problems that have, in this epoch, come to their end.
        note: says something to the user.
        clock: seconds, monotonic.
        start_s: what the replicas that are there took to come up; 0: nobody knows.
    """

    def __init__(
        self,
        growth: Mapping[Role, Growth],
        *,
        fleet: Fleet,
        scheduler: Scheduler,
        num_unbegun: Callable[[], int],
        num_concluded: Callable[[], int],
        note: Callable[[str], None],
        clock: Callable[[], float],
        start_s: float = 0.0,
    ) -> None:
        self._fleet, self._scheduler, self._note, self._clock = fleet, scheduler, note, clock
        self._num_unbegun, self._num_concluded = num_unbegun, num_concluded
        self._began_s = clock()
        dispatchers: Mapping[Role, Dispatcher[Any]] = {"generator": scheduler.samples, "prm": scheduler.scores}
        self._roles = [
            _Role(
                role,
                one,
                dispatchers[role],
                ReplicaTarget(least=one.least, most=one.most),
                count(one.least),
                start_s or START_S,
            )
            for role, one in growth.items()
        ]

    async def run(self) -> None:
        """Look, and follow, until cancelled; at once over where nothing can change."""
        while self._roles:
            await asyncio.sleep(FOLLOW_S)
            for role in self._roles:
                await self._follow(role)

    async def _follow(self, role: _Role) -> None:
        if not self._fleet.serving:  # the run is at its end, and waits for its last commit
            return
        now_s = self._clock()
        for name in [name for name in role.asked_s if self._fleet.is_up(name)]:
            role.start_s = now_s - role.asked_s.pop(name)
        before = role.target.number
        wanted = role.target.look(self._work(role, now_s), now_s=now_s)
        if wanted != before:
            self._note(f"{wanted} {ROLE_PLURALS[role.role]} are wanted now, {before} were")
        extra = wanted - role.growth.least
        self._keep_leaving(role, extra)
        while len(role.handles) < extra:
            self._add(role, now_s)
        while len(role.handles) > extra:
            self._let_go(role)
        await self._end_idle(role)

    def _keep_leaving(self, role: _Role, extra: int) -> None:
        """One that is about to go is there again."""
        while role.leaving and len(role.handles) < extra:
            name, handle = role.leaving.popitem()
            role.handles[name] = handle
            self._fleet.reopen(name)

    def _add(self, role: _Role, now_s: float) -> None:
        [handle] = role.growth.launch(numbers=(next(role.numbers),))
        role.handles[handle.replica_id], role.asked_s[handle.replica_id] = handle, now_s
        self._fleet.add(role.role, handle)

    def _let_go(self, role: _Role) -> None:
        load = role.dispatcher.load
        name = min(role.handles, key=lambda name: (self._fleet.is_up(name), load(name), -role.asked_s.get(name, 0.0)))
        role.leaving[name] = role.handles.pop(name)
        self._fleet.close(name)

    async def _end_idle(self, role: _Role) -> None:
        for name in [name for name in role.leaving if not role.dispatcher.load(name)]:
            handle = role.leaving.pop(name)
            role.asked_s.pop(name, None)
            await self._fleet.remove(name)
            handle.dismiss()

    def _work(self, role: _Role, now_s: float) -> Work:
        dispatcher, generates = role.dispatcher, role.role == "generator"
        num_waiting, num_coming = float(dispatcher.num_waiting), 0.0
        if generates:
            payable = self._num_payable()
            num_waiting = min(num_waiting, payable)
            num_coming = min(self._num_coming(), payable - num_waiting)
        num_calls = int(num_waiting) + dispatcher.num_in_flight
        num_done, passed_s = self._scheduler.counts.samples, now_s - self._began_s
        return Work(
            num_calls=num_calls,
            num_coming=num_coming,
            capacity=dispatcher.capacity,
            num_open=dispatcher.num_open,
            left_s=(num_calls + num_coming) * passed_s / num_done if generates and num_done else None,
            start_s=role.start_s,
        )

    def _num_coming(self) -> float:
        """Expansions that problems not yet begun will ask for, as those did that have concluded."""
        num_concluded = self._num_concluded()
        return self._num_unbegun() * (
            self._scheduler.counts.samples / num_concluded if num_concluded else UNKNOWN_SAMPLES
        )

    def _num_payable(self) -> float:
        """Expansions that the budget left can pay; none under a cap before one is known to have cost something."""
        counts, left = self._scheduler.counts, self._scheduler.ledger.remaining_tokens
        if left is None:
            return math.inf
        return max(0, left) * counts.samples / counts.generated_tokens if counts.generated_tokens else 0.0
