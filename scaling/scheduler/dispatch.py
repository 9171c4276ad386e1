"""Which task goes to which replica, and what happens when a replica dies.

    push --> waiting --next--> in flight --settle--> gone
                ^                  |
                +---- replica down-+

Every pushed task is in exactly one of these places until it is settled or dropped. Waiting tasks leave in order of
their rank, those that were in flight before ahead of all others (they hold a part of the budget that others may wait
for), to the replica that holds their prefix unless that one is full or far ahead, otherwise to the least loaded. A task
that has seen `SUSPECT_DEATHS` deaths is a suspect: it travels alone after that, to a replica that is emptied for it,
one at a time, and if possible to one that has not died under it. Another death, not all of the same replica while there
are others, and it is the culprit: a broken replica is no proof against the work that it happens to get.
"""

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from records.calls import SampleCall, ScoreCall
from scaling.scheduler.loads import Load, Loads
from scaling.search.tasks import CompareTask

SUSPECT_DEATHS = 2
"""Replica deaths after which a task is isolated; innocent bystanders of two crashes are common, of three are not."""

OVERCOMMIT = 1.25
"""Calls given to a replica per slot of its engine, so that its batch stays full between two round trips."""


SHED = 0.25
"""Share of its capacity by which a replica may be ahead of the least loaded one before prefixes no longer attract."""


class HasKey(Protocol):
    """What a task needs to be dispatched."""

    @property
    def key(self) -> str: ...
    @property
    def problem_id(self) -> str: ...


TaskT = TypeVar("TaskT", bound=HasKey)
Rank = tuple[float, int, int, int]
"""(-priority, admission order of the problem, request, child): the highest priority goes first; among equals and where
nothing is ranked (priority 0), what was begun first is finished first."""


OnFlight = Callable[[str, str, int], None]
"""Told of a problem, a replica, and how many calls more (or fewer) of the one are in flight at the other."""

_Entry = tuple[tuple[bool, Rank], str]
"""Of a waiting task: its rank, after those that were in flight before, and its key."""

_Heap = list[_Entry]


@dataclass(slots=True)
class _Item(Generic[TaskT]):
    """A task and where it is.

    Attributes:
        entry: its place among the waiting; None in flight.
        call_key: of its last call: another one for each sending, because a replica ignores a key that it knows, and old
            answers must not count.
    """

    task: TaskT
    rank: Rank
    num_deaths: int = 0
    died_on: frozenset[str] = frozenset()
    replica: str | None = None
    num_sends: int = 0
    entry: _Entry | None = None
    call_key: str = ""

    @property
    def suspect(self) -> bool:
        return self.num_deaths >= SUSPECT_DEATHS


class Dispatcher(Generic[TaskT]):
    """The tasks and replicas of one role.

    Args:
        prefer: the replica that holds a task's prefix, if any.
        on_flight: told of every change.
    """

    def __init__(self, prefer: Callable[[TaskT], str | None], on_flight: OnFlight) -> None:
        self._prefer = prefer
        self._on_flight = on_flight
        self._items: dict[str, _Item[TaskT]] = {}
        self._ordinary: _Heap = []
        self._suspects: _Heap = []
        self._loads = Loads()
        self._num_in_flight = 0

    @property
    def num_waiting(self) -> int:
        """Tasks not yet sent."""
        return len(self._items) - self._num_in_flight

    @property
    def num_in_flight(self) -> int:
        """Tasks sent and not settled."""
        return self._num_in_flight

    @property
    def capacity(self) -> int:
        """Tasks that the replicas that are up take at the same time."""
        return self._loads.capacity

    def load(self, replica: str) -> int:
        """Tasks in flight on a replica; 0 for one that is down."""
        load = self._loads.by_name.get(replica)
        return 0 if load is None else len(load.keys)

    def replica_up(self, replica: str, num_slots: int) -> None:
        """A replica is ready for calls."""
        self._loads.up(replica, max(1, int(num_slots * OVERCOMMIT)))

    def replica_down(self, replica: str) -> list[TaskT]:
        """A replica is gone: its tasks wait again, but for the culprits, which are dropped and returned."""
        load = self._loads.down(replica)
        culprits = []
        for key in sorted(load.keys) if load else ():
            item = self._items[key]
            self._num_in_flight -= 1
            self._on_flight(item.task.problem_id, replica, -1)
            item.died_on |= {replica}
            if item.suspect and (len(item.died_on) > 1 or not self._loads.by_name):
                del self._items[key]
                culprits.append(item.task)
                continue
            item.num_deaths += 1
            item.replica = None
            self._wait(item)
        return culprits

    def push(self, task: TaskT, rank: Rank) -> None:
        """Put a task among the waiting ones."""
        if task.key in self._items:
            raise ValueError(f"task {task.key} is already here")
        item = self._items[task.key] = _Item(task, rank)
        self._wait(item)

    def peek(self) -> tuple[TaskT, str] | None:
        """The next task and the replica that would take it; None when none waits or none has room."""
        suspect, drain = self._head(self._suspects), None
        if suspect is not None and self._loads.by_name:
            drain = self._to_empty(suspect)
            if not self._loads.by_name[drain].keys:
                return suspect.task, drain
        item = self._head(self._ordinary)
        replica = None if item is None else self._choose(item, closed=drain)
        return None if item is None or replica is None else (item.task, replica)

    def take(self, key: str, replica: str) -> str:
        """Send a task that `peek` showed to the replica that it named; the key of the call."""
        item, load = self._items[key], self._loads.by_name[replica]
        item.replica, item.entry = replica, None
        item.num_sends += 1
        item.call_key = f"{key}~{item.num_sends}"
        load.keys.add(key)
        load.isolated = item.suspect
        self._loads.changed(replica)
        self._num_in_flight += 1
        self._on_flight(item.task.problem_id, replica, 1)
        return item.call_key

    def refuse(self) -> TaskT | None:
        """Drop the next waiting task (the budget has nothing for it); None when none waits."""
        item = self._head(self._suspects) or self._head(self._ordinary)
        return None if item is None else self._items.pop(item.task.key).task

    def flying(self, call_key: str, replica: str) -> TaskT | None:
        """The task of a call in flight on `replica`; None for an answer that nobody waits for any more."""
        item = self._items.get(call_key.rpartition("~")[0])
        if item is None or item.replica != replica or item.call_key != call_key:
            return None
        return item.task

    def settle(self, key: str) -> None:
        """Take out a task whose result has come."""
        self._forget(key)

    def retry(self, key: str) -> None:
        """A task in flight has to be sent again (its replica lives, its answer was of no use)."""
        item = self._items[key]
        self._release(item, key)
        self._wait(item)

    def drop(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Forget these tasks wherever they are; the calls in flight, by replica, for cancelling."""
        in_flight: dict[str, list[str]] = {}
        for key in keys:
            item = self._items.get(key)
            if item is None:
                continue
            if item.replica is not None:
                in_flight.setdefault(item.replica, []).append(item.call_key)
            self._forget(key)
        return in_flight

    def _forget(self, key: str) -> None:
        item = self._items.pop(key)
        self._release(item, key)

    def _release(self, item: _Item[TaskT], key: str) -> None:
        if item.replica is None:
            return
        load = self._loads.by_name[item.replica]
        load.keys.discard(key)
        load.isolated = load.isolated and bool(load.keys)
        self._loads.changed(item.replica)
        self._on_flight(item.task.problem_id, item.replica, -1)
        item.replica = None
        self._num_in_flight -= 1

    def _wait(self, item: _Item[TaskT]) -> None:
        item.entry = ((item.num_sends == 0, item.rank), item.task.key)
        heapq.heappush(self._suspects if item.suspect else self._ordinary, item.entry)

    def _head(self, heap: _Heap) -> _Item[TaskT] | None:
        """The first that waits; entries whose task was sent, dropped or has become suspect meanwhile are skipped."""
        while heap:
            item = self._items.get(heap[0][1])
            if item is not None and item.entry is heap[0]:
                return item
            heapq.heappop(heap)
        return None

    def _to_empty(self, suspect: _Item[TaskT]) -> str:
        """The replica that a suspect is for: one that has not died under it, the emptiest of these."""
        loads = self._loads.by_name
        return min(loads, key=lambda name: (name in suspect.died_on, len(loads[name].keys), name))

    def _choose(self, item: _Item[TaskT], *, closed: str | None) -> str | None:
        if closed is not None or item.died_on:  # seldom, so there is no order for it
            return scanned(self._loads.with_room(closed=closed), self._prefer(item.task), item.died_on)
        preferred = self._prefer(item.task)
        load = self._loads.by_name.get(preferred) if preferred is not None else None
        if load is not None and load.room:
            ahead, near = len(load.keys), SHED * load.capacity
            if ahead <= near or ahead - (self._loads.fewest_calls() or 0) <= near:
                return preferred
        return self._loads.least_loaded()


def scanned(open_loads: Iterable[tuple[str, Load]], preferred: str | None, died_on: Collection[str]) -> str | None:
    """The replica for a task, found by looking at all with room: its prefix' one, or else the least loaded.

    One that is ahead of another by more than its share `SHED` attracts no more, and one that has died under the task is
    the last to get it again.
    """
    loads = dict(open_loads)
    if preferred in loads and preferred not in died_on:
        ahead = len(loads[preferred].keys) - min(len(load.keys) for load in loads.values())
        if ahead <= SHED * loads[preferred].capacity:
            return preferred
    return min(
        loads,
        key=lambda name: (name in died_on, len(loads[name].keys) / loads[name].capacity, name),
        default=None,
    )


@dataclass(slots=True)
class Outgoing:
    """Calls and cancelled keys by replica, what to compare, and whether the ledger waits for a higher ceiling."""

    samples: dict[str, list[SampleCall]] = field(default_factory=dict)
    scores: dict[str, list[ScoreCall]] = field(default_factory=dict)
    cancelled_samples: dict[str, list[str]] = field(default_factory=dict)
    cancelled_scores: dict[str, list[str]] = field(default_factory=dict)
    comparisons: list[CompareTask] = field(default_factory=list)
    wants_lease: bool = False
