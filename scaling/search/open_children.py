"""Children that are delivered one by one: which are still to come, which have arrived, and how the rest is cancelled.

    add --> open --> arrived, in that order --> taken, one for each reply of the strategy's
              |         |
              +---end---+--> last words: sampled in part, or too late for a reply; or gone: nothing was sampled of it

A child is in one of these places. Its name (request, child) says what is sampled of it; when it arrives says nothing
but its place in the queue. After `end` all that were open have a last word, and nothing is taken any more.
"""

from collections import deque
from collections.abc import Iterable
from operator import attrgetter

from records.path import Path
from records.request import Reply, ReplyKind
from scaling.search.slot import Slot
from scaling.search.tasks import ChildName, SampleTask


class OpenChildren:
    """Those of one search.

    Attributes:
        cut: the budget has ended or denied one of them; until there are none again.
        ending: nobody waits for them; some have not had their last word.
        num_delivered: since there were none.
    """

    def __init__(self) -> None:
        self.cut = False
        self.ending = False
        self.num_delivered = 0
        self._slots: dict[ChildName, Slot] = {}
        self._unsent: dict[ChildName, SampleTask] = {}
        self._arrived: deque[Slot] = deque()

    def __len__(self) -> int:
        """Those that may still be delivered, or that have not had their last word."""
        return len(self._slots) + len(self._arrived)

    def __contains__(self, name: object) -> bool:
        """Whether a child is still to come."""
        return name in self._slots

    def __getitem__(self, name: ChildName) -> Slot:
        """A child that is still to come."""
        return self._slots[name]

    def parents(self) -> dict[int, Path]:
        """What the children that are still to come continue, by node."""
        tasks = (slot.task for slot in self._slots.values())
        return {task.parent.node_id: task.parent for task in tasks if isinstance(task, SampleTask)}

    def add(self, slots: Iterable[Slot]) -> None:
        """Open some children; nobody has been told to sample them yet."""
        if not self:
            self.drop()
        for slot in slots:
            if isinstance(slot.task, SampleTask):
                self._slots[slot.task.name] = slot
                self._unsent[slot.task.name] = slot.task

    def to_send(self) -> list[SampleTask]:
        """What has to be sampled and was not asked for before."""
        tasks, self._unsent = list(self._unsent.values()), {}
        return tasks

    def arrived(self, name: ChildName) -> None:
        """All parts of a child are there, or none will come: it was denied, or after `end` cancelled."""
        slot = self._slots.pop(name)
        if slot.sampled is not None and slot.sampled.steps:
            self._arrived.append(slot)
        if not self.ending:
            self.cut |= slot.cut

    def heard(self, reply: Reply) -> None:
        """Another process has given this reply before."""
        for name in reply.child_names:
            del self._slots[name], self._unsent[name]
            self.num_delivered += 1
        self.cut |= reply.kind is not ReplyKind.FULL
        if not reply.num_open:  # what is left was denied
            self._slots.clear()
            self._unsent.clear()

    def take(self) -> Slot | None:
        """The next to be delivered; None where none has arrived."""
        if not self._arrived:
            return None
        self.num_delivered += 1
        return self._arrived.popleft()

    def end(self) -> list[SampleTask]:
        """Nobody waits any more; the tasks to be cancelled. What was never sent is gone."""
        self.ending = True
        for name in self._unsent:
            del self._slots[name]
        self._unsent.clear()
        return [slot.task for slot in self._slots.values() if isinstance(slot.task, SampleTask)]

    def last_words(self) -> list[Slot] | None:
        """After `end` those of which something was sampled, by name; None while some have not had their last word."""
        return None if self._slots else sorted(self._arrived, key=attrgetter("name"))

    def drop(self) -> list[Slot]:
        """Forget all, whatever is still to come; those of which something was sampled, in the order of their names."""
        found = [*self._arrived, *(slot for slot in self._slots.values() if slot.sampled is not None)]
        self.cut = self.ending = False
        self.num_delivered = 0
        self._slots, self._unsent, self._arrived = {}, {}, deque()
        return sorted(found, key=attrgetter("name"))
