"""Which task goes to which replica, and what happens when a replica dies.

    push --> waiting --next--> in flight --settle--> gone
                ^                  |
                +---- replica down-+

Every pushed task is in exactly one of these places until it is settled or dropped. Waiting tasks leave in order of
their rank, those that were in flight before ahead of all others (they hold a part of the budget that others may wait
for), to the replica that holds their prefix unless that one is far ahead, otherwise to the least loaded. Where it is
full they wait for it, as long as no replica runs short and no priority ranks them (`scaling.scheduler.waiting`). A task
that has seen `SUSPECT_DEATHS` deaths is a suspect: it travels alone after that, to a replica that is emptied for it,
one at a time, and if possible to one that has not died under it. Another death, not all of the same replica while there
are others, and it is the culprit: a broken replica is no proof against the work that it happens to get.

A replica can be closed: it ends what it has, and what would have waited for it waits for any.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Generic

from records.calls import SampleCall, ScoreCall
from scaling.scheduler.loads import Load, Loads
from scaling.scheduler.waiting import Item, Rank, TaskT, Waiting
from scaling.search.tasks import CompareTask

OVERCOMMIT = 1.25
"""Calls given to a replica per slot of its engine, so that its batch stays full between two round trips."""


BUSY = 0.9
"""Share of its capacity below which a replica takes calls whose prefix another one holds, and computes it anew: its
engine's slots are full above 1 / `OVERCOMMIT`, and some calls have to lie ready until others come."""

SHED = 0.25
"""Share of its capacity by which a replica may be ahead of the least loaded one before prefixes no longer attract."""


OnFlight = Callable[[str, str, int], None]
"""Told of a problem, a replica, and how many calls more (or fewer) of the one are in flight at the other."""


class Dispatcher(Generic[TaskT]):
    """The tasks and replicas of one role.

    Args:
        prefer: the replica that holds a task's prefix, if any.
        on_flight: told of every change.
    """

    def __init__(self, prefer: Callable[[TaskT], str | None], on_flight: OnFlight) -> None:
        self._prefer = prefer
        self._on_flight = on_flight
        self._items: dict[str, Item[TaskT]] = {}
        self._waiting = Waiting(self._items)
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

    @property
    def num_open(self) -> int:
        """Replicas that are up and not closed: those that `capacity` is of."""
        return sum(not load.closed for load in self._loads.by_name.values())

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
        self._waiting.holder_down(replica)
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
            self._waiting.add(item)
        return culprits

    def close(self, replica: str) -> bool:
        """A replica that is up ends what it has and gets nothing more; whether that is new."""
        closed = self._loads.close(replica)
        if closed:
            self._waiting.holder_down(replica)
        return closed

    def open(self, replica: str) -> bool:
        """A closed replica gets calls again; whether that is new."""
        return self._loads.open(replica)

    def push(self, task: TaskT, rank: Rank) -> None:
        """Put a task among the waiting ones."""
        if task.key in self._items:
            raise ValueError(f"task {task.key} is already here")
        item = self._items[task.key] = Item(task, rank)
        self._waiting.add(item)

    def peek(self) -> tuple[TaskT, str] | None:
        """The next task and the replica that would take it; None when none waits or none has room."""
        suspect, drain = self._waiting.suspect(), None
        if suspect is not None and self._loads.by_name:
            drain = self._to_empty(suspect)
            if not self._loads.by_name[drain].keys:
                return suspect.task, drain
        return self._for_holder(drain) or self._for_any(drain) or self._for_idle(drain)

    def _for_holder(self, drain: str | None) -> tuple[TaskT, str] | None:
        """What has waited for a replica that has room again; nothing before what was in flight once."""
        first = self._waiting.first()
        if first is not None and first.num_sends:
            return None
        for item, holder in self._waiting.of_holders():
            if not self._loads.by_name[holder].room:
                self._waiting.has_none(holder)
            elif holder != drain:
                return item.task, holder
        return None

    def _for_any(self, drain: str | None) -> tuple[TaskT, str] | None:
        """The first that is not to wait for the holder of its prefix."""
        while (item := self._waiting.first()) is not None:
            holder = self._prefer(item.task) if drain is None and item.patient else None
            load = None if holder is None else self._loads.by_name.get(holder)
            if holder is None or load is None or load.closed or load.room or self._idle() is not None:
                replica = self._choose(item, closed=drain)
                return None if replica is None else (item.task, replica)
            self._waiting.defer(holder)
        return None

    def _for_idle(self, drain: str | None) -> tuple[TaskT, str] | None:
        """The first that waits for another replica, where one would stand idle."""
        idle, item = self._idle(), self._waiting.deferred()
        return None if idle is None or item is None or idle == drain else (item.task, idle)

    def _idle(self) -> str | None:
        """The least loaded replica if it runs short of calls."""
        name = self._loads.least_loaded()
        load = None if name is None else self._loads.by_name[name]
        return name if load is not None and len(load.keys) < BUSY * load.capacity else None

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
        item = self._waiting.any()
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
        self._waiting.add(item)

    def recall(self, key: str) -> tuple[str, str] | None:
        """Forget a task that waits (None); of one in flight, whose last word is awaited, its replica and its call."""
        item = self._items[key]
        if item.replica is not None:
            return item.replica, item.call_key
        self._forget(key)
        return None

    def waits(self, key: str) -> bool:
        """Whether a task is here and not in flight."""
        item = self._items.get(key)
        return item is not None and item.replica is None

    def __contains__(self, key: object) -> bool:
        """Whether a task is here: waiting or in flight."""
        return key in self._items

    def __getitem__(self, key: str) -> TaskT:
        """A task that is here."""
        return self._items[key].task

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

    def _release(self, item: Item[TaskT], key: str) -> None:
        if item.replica is None:
            return
        load = self._loads.by_name[item.replica]
        load.keys.discard(key)
        load.isolated = load.isolated and bool(load.keys)
        self._loads.changed(item.replica)
        self._waiting.has_room(item.replica)
        self._on_flight(item.task.problem_id, item.replica, -1)
        item.replica = None
        self._num_in_flight -= 1

    def _to_empty(self, suspect: Item[TaskT]) -> str:
        """The replica that a suspect is for: open, one that has not died under it, the emptiest of these."""
        loads = self._loads.by_name
        return min(loads, key=lambda name: (loads[name].closed, name in suspect.died_on, len(loads[name].keys), name))

    def _choose(self, item: Item[TaskT], *, closed: str | None) -> str | None:
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
