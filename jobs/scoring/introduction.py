"""From replicas that were asked for to a run that can begin.

A run begins once each role has a replica up, and every replica that the cluster has room for has come up or failed: all
that could be wrong with models and nodes is known then, before a token is spent. Replicas that no node has room for yet
wait for theirs in sight, and join the run when they come; so does one that failed while others of its role are up.

Room is what nodes have in all, for what is free is known only where it is given away. So a replica that got no node for
`PATIENCE_S`, while no other got one either, has none: somebody else's work is on it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from records.failure import ReplicaFailed
from records.nodes import Demand, Node
from records.progress import waiting_text
from records.replica import ReplicaInfo
from records.usage import Role
from scaling.placement.fit import num_fitting

TICK_S = 1.0
"""How often the caller hears from us while models are loaded."""

PATIENCE_S = 30.0
"""A node that is free gives its place away within seconds, also where processes start slowly."""


class Arrivals(NamedTuple):
    """How far it is.

    Attributes:
        num_ready: replicas that are up.
        num_waiting: replicas that no node has room for yet.
        waiting: what for, in words.
    """

    num_ready: int
    num_waiting: int
    waiting: str


class Introduction:
    """Waits for the replicas of one run.

    Args:
        handles: all that were asked for, each with its role.
        demands: what each takes, in the same order; None where they have no nodes (tests without Ray).
        look: the cluster's nodes.
        node_kinds: what nodes of a role are called.
        on_placed: told of each that has got a node, by name.

    Attributes:
        failures: what went wrong with those that did not come up, by name.
    """

    def __init__(
        self,
        handles: Sequence[tuple[Role, Any]],
        *,
        demands: Sequence[Demand] | None,
        look: Callable[[], Sequence[Node]],
        node_kinds: Mapping[Role, str],
        on_placed: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._on_placed = on_placed
        self._handles, self._demands, self._look, self._kinds = handles, demands, look, node_kinds
        self._roles: dict[str, Role] = {handle.replica_id: role for role, handle in handles}
        self._wanted = Counter(self._roles.values())
        self._infos: dict[str, ReplicaInfo] = {}
        self._placed: set[str] = set()
        self._moved_s = time.monotonic()
        self.failures: dict[str, ReplicaFailed] = {}

    async def wait(self, on_tick: Callable[[Arrivals], None]) -> tuple[ReplicaInfo, ...]:
        """Wait until the run can begin; what those that are up say of themselves, generators first.

        Args:
            on_tick: called every second or so.

        Raises:
            PreflightFailed: models that do not fit together, or whose golden example comes out wrong.
            ReplicaFailed: no replica of a role came up.
        """
        tasks = [asyncio.create_task(self._arrive(handle)) for _, handle in self._handles]
        try:
            while True:
                expected = self._expected()
                on_tick(self._arrivals(expected))
                for task in tasks:
                    if task.done():
                        task.result()  # raises what is nobody's own fault
                self._check_failures()
                if self._can_begin(expected):
                    return tuple(self._infos[name] for name in self._roles if name in self._infos)
                running = [task for task in tasks if not task.done()]
                await asyncio.wait(running, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _arrive(self, handle: Any) -> None:
        try:
            await handle.place()
            self._placed.add(handle.replica_id)
            self._moved_s = time.monotonic()
            self._on_placed(handle.replica_id)
            self._infos[handle.replica_id] = await handle.hello()
        except ReplicaFailed as failed:
            self.failures[handle.replica_id] = failed

    def _expected(self) -> Counter[Role]:
        """How many of each role the cluster has room for."""
        if self._demands is None:
            return self._wanted
        if time.monotonic() - self._moved_s > PATIENCE_S:
            return self._count(self._placed | self.failures.keys())
        fitting = num_fitting(self._demands, self._look())
        return Counter({role: min(fitting[role], number) for role, number in self._wanted.items()})

    def _count(self, names: Mapping[str, object] | set[str]) -> Counter[Role]:
        return Counter(self._roles[name] for name in names)

    def _can_begin(self, expected: Counter[Role]) -> bool:
        up, failed = self._count(self._infos), self._count(self.failures)
        return all(up[role] and up[role] + failed[role] >= expected[role] for role in self._wanted)

    def _check_failures(self) -> None:
        """A role whose replicas have all failed never comes up."""
        failed = self._count(self.failures)
        for name, failure in self.failures.items():
            if failed[self._roles[name]] == self._wanted[self._roles[name]]:
                raise failure

    def _arrivals(self, expected: Counter[Role]) -> Arrivals:
        up, placed = self._count(self._infos), self._count(self._placed)
        short = {role: max(0, number - max(expected[role], placed[role])) for role, number in self._wanted.items()}
        texts = [
            waiting_text(role, num_ready=up[role], num_wanted=self._wanted[role], kind=self._kinds.get(role, ""))
            for role, number in short.items()
            if number
        ]
        return Arrivals(len(self._infos), sum(short.values()), "; ".join(texts))
