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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from records.calls import SampleCall, ScoreCall
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

_Heap = list[tuple[tuple[bool, Rank], str]]


@dataclass(slots=True)
class _Item(Generic[TaskT]):
    task: TaskT
    rank: Rank
    num_deaths: int = 0
    died_on: set[str] = field(default_factory=set)
    replica: str | None = None
    num_sends: int = 0

    @property
    def call_key(self) -> str:
        """Another one for each sending: a replica ignores a key that it knows, and old answers must not count."""
        return f"{self.task.key}~{self.num_sends}"

    @property
    def urgency(self) -> tuple[bool, Rank]:
        """Sort key of a waiting task: its rank, after those that were in flight before."""
        return (self.num_sends == 0, self.rank)

    @property
    def suspect(self) -> bool:
        return self.num_deaths >= SUSPECT_DEATHS


@dataclass(slots=True)
class _Load:
    capacity: int
    keys: set[str] = field(default_factory=set)
    isolated: bool = False

    @property
    def room(self) -> bool:
        return not self.isolated and len(self.keys) < self.capacity


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
        self._loads: dict[str, _Load] = {}
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
        return sum(load.capacity for load in self._loads.values())

    def load(self, replica: str) -> int:
        """Tasks in flight on a replica; 0 for one that is down."""
        return len(self._loads[replica].keys) if replica in self._loads else 0

    def replica_up(self, replica: str, num_slots: int) -> None:
        """A replica is ready for calls."""
        self._loads[replica] = _Load(max(1, int(num_slots * OVERCOMMIT)))

    def replica_down(self, replica: str) -> list[TaskT]:
        """A replica is gone: its tasks wait again, but for the culprits, which are dropped and returned."""
        load = self._loads.pop(replica, None)
        culprits = []
        for key in sorted(load.keys) if load else ():
            item = self._items[key]
            self._num_in_flight -= 1
            self._on_flight(item.task.problem_id, replica, -1)
            item.died_on.add(replica)
            if item.suspect and (len(item.died_on) > 1 or not self._loads):
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
        self._items[task.key] = _Item(task, rank)
        self._wait(self._items[task.key])

    def peek(self) -> tuple[TaskT, str] | None:
        """The next task and the replica that would take it; None when none waits or none has room."""
        suspect, drain = self._head(self._suspects), None
        if suspect is not None and self._loads:
            drain = self._to_empty(suspect)
            if not self._loads[drain].keys:
                return suspect.task, drain
        item = self._head(self._ordinary)
        replica = None if item is None else self._choose(item, closed=drain)
        return None if item is None or replica is None else (item.task, replica)

    def take(self, key: str, replica: str) -> str:
        """Send a task that `peek` showed to the replica that it named; the key of the call."""
        item, load = self._items[key], self._loads[replica]
        item.replica = replica
        item.num_sends += 1
        load.keys.add(key)
        load.isolated = item.suspect
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
        load = self._loads[item.replica]
        load.keys.discard(key)
        load.isolated = load.isolated and bool(load.keys)
        self._on_flight(item.task.problem_id, item.replica, -1)
        item.replica = None
        self._num_in_flight -= 1

    def _wait(self, item: _Item[TaskT]) -> None:
        heapq.heappush(self._suspects if item.suspect else self._ordinary, (item.urgency, item.task.key))

    def _head(self, heap: _Heap) -> _Item[TaskT] | None:
        """The first that waits; entries whose task was sent, dropped or has become suspect meanwhile are skipped."""
        while heap:
            urgency, key = heap[0]
            item = self._items.get(key)
            current = item is not None and item.replica is None and item.urgency == urgency
            if item is not None and current and item.suspect == (heap is self._suspects):
                return item
            heapq.heappop(heap)
        return None

    def _to_empty(self, suspect: _Item[TaskT]) -> str:
        """The replica that a suspect is for: one that has not died under it, the emptiest of these."""
        return min(self._loads, key=lambda name: (name in suspect.died_on, len(self._loads[name].keys), name))

    def _choose(self, item: _Item[TaskT], *, closed: str | None) -> str | None:
        open_loads = {name: load for name, load in self._loads.items() if load.room and name != closed}
        preferred = self._prefer(item.task)
        if preferred in open_loads and preferred not in item.died_on:
            ahead = len(open_loads[preferred].keys) - min(len(load.keys) for load in open_loads.values())
            if ahead <= SHED * open_loads[preferred].capacity:
                return preferred
        return min(
            open_loads,
            key=lambda name: (name in item.died_on, len(open_loads[name].keys) / open_loads[name].capacity, name),
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
