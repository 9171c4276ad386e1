"""How loaded the replicas of one role are, and which one is the least loaded, at one price however many there are.

Replicas with room stand in two orders, by their share of calls and by their number. A change marks its replica; whoever
asks puts the marked ones in again, and skips entries that are true no more.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_SPARE_ENTRIES = 64
"""Entries that are true no more, beside one of each replica, before a heap is made anew."""


@dataclass(slots=True)
class Load:
    """One replica: how many calls it takes, and which it has.

    `isolated`: its only call is to stay alone; `closed`: it ends those that it has, and gets no others.
    """

    capacity: int
    keys: set[str] = field(default_factory=set)
    isolated: bool = False
    closed: bool = False

    @property
    def room(self) -> bool:
        """Whether it takes another call."""
        return not (self.isolated or self.closed) and len(self.keys) < self.capacity


class _Order:
    """The replicas with room in the order of a number of theirs, by name among equals."""

    def __init__(self, by_name: dict[str, Load], number_of: Callable[[Load], float]) -> None:
        self.changed: set[str] = set()
        self.heap: list[tuple[float, str]] = []
        self._by_name, self._number_of = by_name, number_of

    def first(self) -> tuple[float, str] | None:
        """The smallest number, and whose it is; None where none has room."""
        self._settle()
        heap = self.heap
        while heap:
            number, name = heap[0]
            load = self._by_name.get(name)
            if load is not None and load.room and self._number_of(load) == number:
                return heap[0]
            heapq.heappop(heap)
        return None

    def _settle(self) -> None:
        """Put what has changed into the heap."""
        if len(self.heap) > len(self._by_name) + _SPARE_ENTRIES:
            self.heap.clear()
            self.changed.update(self._by_name)
        for name in self.changed:
            load = self._by_name.get(name)
            if load is not None and load.room:
                heapq.heappush(self.heap, (self._number_of(load), name))
        self.changed.clear()


class Loads:
    """The replicas that are up.

    Attributes:
        by_name: each; who changes one says so (`changed`).
        capacity: calls that all of them take at the same time, closed ones left out.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, Load] = {}
        self.capacity = 0
        self._by_share = _Order(self.by_name, lambda load: len(load.keys) / load.capacity)
        self._by_number = _Order(self.by_name, lambda load: len(load.keys))

    def up(self, name: str, capacity: int) -> None:
        """A replica takes so many calls."""
        self.down(name)
        self.by_name[name] = Load(capacity)
        self.capacity += capacity
        self.changed(name)

    def down(self, name: str) -> Load | None:
        """A replica takes none any more; what it had."""
        self.close(name)
        return self.by_name.pop(name, None)

    def close(self, name: str) -> bool:
        """A replica gets no more calls; whether that is new."""
        return self._turn(name, closed=True)

    def open(self, name: str) -> bool:
        """A closed one gets calls again; whether that is new."""
        return self._turn(name, closed=False)

    def _turn(self, name: str, *, closed: bool) -> bool:
        load = self.by_name.get(name)
        if load is None or load.closed == closed:
            return False
        load.closed = closed
        self.capacity += -load.capacity if closed else load.capacity
        self.changed(name)
        return True

    def changed(self, name: str) -> None:
        """A replica's calls are others now."""
        self._by_share.changed.add(name)
        self._by_number.changed.add(name)

    def with_room(self, *, closed: str | None = None) -> Iterator[tuple[str, Load]]:
        """All that take another call, `closed` not among them."""
        return ((name, load) for name, load in self.by_name.items() if load.room and name != closed)

    def least_loaded(self) -> str | None:
        """Of those with room the one with the smallest share of its calls, by name among equals."""
        first = self._by_share.first()
        return None if first is None else first[1]

    def fewest_calls(self) -> float | None:
        """The smallest number of calls that one with room has."""
        first = self._by_number.first()
        return None if first is None else first[0]
