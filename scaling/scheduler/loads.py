"""How loaded the replicas of one role are, and which one is the least loaded, at one price however many there are.

Replicas with room stand in two heaps, by their share of calls and by their number. A change marks its replica; whoever
asks puts the marked ones in again, and skips entries that are true no more.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

_SPARE_ENTRIES = 64
"""Entries that are true no more, beside two of each replica, before the heaps are made anew."""


@dataclass(slots=True)
class Load:
    """One replica: how many calls it takes, and which it has; `isolated`: its only call is to stay alone."""

    capacity: int
    keys: set[str] = field(default_factory=set)
    isolated: bool = False

    @property
    def room(self) -> bool:
        """Whether it takes another call."""
        return not self.isolated and len(self.keys) < self.capacity


class Loads:
    """The replicas that are up.

    Attributes:
        by_name: each; who changes one says so (`changed`).
        capacity: calls that all of them take at the same time.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, Load] = {}
        self.capacity = 0
        self._changed: set[str] = set()
        self._by_share: list[tuple[float, str]] = []
        self._by_number: list[tuple[int, str]] = []

    def up(self, name: str, capacity: int) -> None:
        """A replica takes so many calls."""
        self.down(name)
        self.by_name[name] = Load(capacity)
        self.capacity += capacity
        self._changed.add(name)

    def down(self, name: str) -> Load | None:
        """A replica takes none any more; what it had."""
        load = self.by_name.pop(name, None)
        self.capacity -= load.capacity if load is not None else 0
        return load

    def changed(self, name: str) -> None:
        """A replica's calls are others now."""
        self._changed.add(name)

    def with_room(self, *, closed: str | None = None) -> Iterator[tuple[str, Load]]:
        """All that take another call, `closed` not among them."""
        return ((name, load) for name, load in self.by_name.items() if load.room and name != closed)

    def least_loaded(self) -> str | None:
        """Of those with room the one with the smallest share of its calls, by name among equals."""
        self._settle()
        while self._by_share:
            share, name = self._by_share[0]
            load = self.by_name.get(name)
            if load is not None and load.room and len(load.keys) / load.capacity == share:
                return name
            heapq.heappop(self._by_share)
        return None

    def fewest_calls(self) -> int | None:
        """The smallest number of calls that one with room has."""
        self._settle()
        while self._by_number:
            number, name = self._by_number[0]
            load = self.by_name.get(name)
            if load is not None and load.room and len(load.keys) == number:
                return number
            heapq.heappop(self._by_number)
        return None

    def _settle(self) -> None:
        """Put what has changed into the heaps."""
        if not self._changed:
            return
        if max(len(self._by_share), len(self._by_number)) > 2 * len(self.by_name) + _SPARE_ENTRIES:
            self._by_share, self._by_number = [], []
            self._changed.update(self.by_name)
        for name in self._changed:
            load = self.by_name.get(name)
            if load is not None and load.room:
                heapq.heappush(self._by_share, (len(load.keys) / load.capacity, name))
                heapq.heappush(self._by_number, (len(load.keys), name))
        self._changed.clear()
