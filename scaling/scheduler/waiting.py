"""The tasks of one role that are not in flight, in the order of their rank, and for which replica they wait.

    add --> ordinary --its prefix is held where all is full--> of that holder --it has room, or another idles--> gone
    add --> suspects

While engines are full, a slot that becomes free is taken by a task whose prefix is held there, not by the first of all:
a path that moves is computed again from its first token. Entries of tasks that were sent, dropped or put elsewhere
meanwhile are skipped when they come up.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

SUSPECT_DEATHS = 2
"""Replica deaths after which a task is isolated; innocent bystanders of two crashes are common, of three are not."""


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

_Entry = tuple[tuple[bool, Rank], str]
"""Of a waiting task: its rank, after those that were in flight before, and its key."""

_Heap = list[_Entry]


@dataclass(slots=True)
class Item(Generic[TaskT]):
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
        """It travels alone."""
        return self.num_deaths >= SUSPECT_DEATHS

    @property
    def patient(self) -> bool:
        """It may wait for a certain replica: it holds nothing that others wait for, and no priority ranks it."""
        return not self.num_sends and not self.rank[0]


class Waiting(Generic[TaskT]):
    """The waiting ones among `items`, by key, which somebody else keeps."""

    def __init__(self, items: Mapping[str, Item[TaskT]]) -> None:
        self._items = items
        self._ordinary: _Heap = []
        self._suspects: _Heap = []
        self._deferred: _Heap = []
        self._of_holder: dict[str, _Heap] = {}
        self._with_room: dict[str, None] = {}  # in the order in which they had room again

    def add(self, item: Item[TaskT]) -> None:
        """A task waits from now on."""
        item.entry = ((item.num_sends == 0, item.rank), item.task.key)
        heapq.heappush(self._suspects if item.suspect else self._ordinary, item.entry)

    def suspect(self) -> Item[TaskT] | None:
        """The first that has to travel alone."""
        return self._head(self._suspects)

    def first(self) -> Item[TaskT] | None:
        """The first of the others that waits for no certain replica."""
        return self._head(self._ordinary)

    def any(self) -> Item[TaskT] | None:
        """One of all."""
        return self.suspect() or self.first() or self.deferred()

    def defer(self, holder: str) -> None:
        """The first waits for the holder of its prefix from now on."""
        entry = heapq.heappop(self._ordinary)
        heapq.heappush(self._of_holder.setdefault(holder, []), entry)
        heapq.heappush(self._deferred, entry)

    def deferred(self) -> Item[TaskT] | None:
        """The first that waits for a certain replica, whichever that is."""
        return self._head(self._deferred)

    def has_room(self, holder: str) -> None:
        """A replica may take another call."""
        if holder in self._of_holder:
            self._with_room[holder] = None

    def has_none(self, holder: str) -> None:
        """It takes none."""
        del self._with_room[holder]

    def of_holders(self) -> Iterator[tuple[Item[TaskT], str]]:
        """Of each replica that may have room the first that waits for it."""
        for holder in list(self._with_room):
            item = self._head(self._of_holder[holder])
            if item is not None:
                yield item, holder
            else:
                del self._with_room[holder], self._of_holder[holder]

    def holder_down(self, holder: str) -> None:
        """A replica is gone: what waits for it waits for any."""
        self._with_room.pop(holder, None)
        for entry in self._of_holder.pop(holder, ()):
            if self._current(entry):
                heapq.heappush(self._ordinary, entry)

    def _head(self, heap: _Heap) -> Item[TaskT] | None:
        while heap:
            if self._current(heap[0]):
                return self._items[heap[0][1]]
            heapq.heappop(heap)
        return None

    def _current(self, entry: _Entry) -> bool:
        item = self._items.get(entry[1])
        return item is not None and item.entry is entry
