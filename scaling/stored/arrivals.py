"""Which of several samples is finished next, where nobody sampled them now: all grow at one token a tick.

    clock 0   a: 5 tokens, b: 3 tokens, c: 9 tokens      b arrives at 3, a at 5
    clock 5   d: 2 tokens is begun                       d arrives at 7; c, if it is cancelled then, has 7 tokens

It is what engines with room for all of them do, as far as a step of theirs takes as long for one sample as for another.
Of samples that finish at once the one that was begun first arrives first.
"""

import heapq
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Arrivals(Generic[_T]):
    """Samples under way.

    >>> arrivals = Arrivals[str]()
    >>> for name, num_tokens in (("a", 5), ("b", 3), ("c", 9)):
    ...     arrivals.begin(name, num_tokens)
    >>> arrivals.next(), arrivals.next()
    ('b', 'a')
    >>> arrivals.begin("d", 2)
    >>> arrivals.next(), arrivals.cancel()
    ('d', [('c', 7)])
    """

    def __init__(self) -> None:
        self._clock = 0
        self._num_begun = 0
        self._under_way: list[tuple[int, int, int, _T]] = []  # arrives at, number, begun at, what

    def __len__(self) -> int:
        """Number of samples under way."""
        return len(self._under_way)

    def begin(self, sample: _T, num_tokens: int) -> None:
        """A sample of so many tokens grows from now on."""
        self._num_begun += 1
        heapq.heappush(self._under_way, (self._clock + num_tokens, self._num_begun, self._clock, sample))

    def next(self) -> _T | None:
        """The sample that is finished next; None where none is under way."""
        if not self._under_way:
            return None
        self._clock, _, _, sample = heapq.heappop(self._under_way)
        return sample

    def take(self, sample: _T) -> None:
        """A certain one is finished, as somebody has recorded: not before its own tokens were there."""
        at = next(index for index, under_way in enumerate(self._under_way) if under_way[3] == sample)
        finished, *_ = self._under_way.pop(at)
        heapq.heapify(self._under_way)
        self._clock = max(self._clock, finished)

    def cancel(self) -> list[tuple[_T, int]]:
        """End what is under way; what each sample has come to, in the order in which they were begun."""
        left, self._under_way = sorted(self._under_way, key=lambda one: one[1]), []
        return [(sample, min(self._clock, finished) - begun) for finished, _, begun, sample in left]
