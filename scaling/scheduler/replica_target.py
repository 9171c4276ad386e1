"""How many replicas of a role a run should have, between a least and a most number, from the work that waits for them.

    work      calls that wait or are in flight, and those that problems not yet begun will ask for, but no more than
              what is left of the budget can pay
    more      as many as the work fills, once those that are up have been full for `GROW_S`, and only if the work would
              keep them busy for longer than `PAYS` times what a replica takes to come up
    fewer     as many as the work fills to `SPARE_SHARE`, once fewer would have done for `SHRINK_S`

Between the two nothing changes, so that a queue that comes and goes starts and ends no engine (hysteresis). In the tail
of a run nothing is to come, and the number falls with the calls in flight.
"""

import math
from dataclasses import dataclass

GROW_S = 10.0
"""A queue that is gone sooner needs no other engine."""
SHRINK_S = 30.0
"""Work that comes back sooner finds its engines loaded."""
PAYS = 2.0
SPARE_SHARE = 0.75
FULL_SHARE = 0.9
"""Of its capacity, that makes a role full: results are on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the replicas of a role have to do.

    Attributes:
        num_calls: that wait or are in flight.
        num_coming: that problems not yet begun will ask for, as far as the budget goes.
        capacity: calls that those that are up and take any do at the same time.
        num_open: of these replicas.
        left_s: how long all of it takes those that are up; None: not known yet.
        start_s: how long a replica takes to come up.
    """

    num_calls: int
    num_coming: float
    capacity: int
    num_open: int
    left_s: float | None
    start_s: float


class ReplicaTarget:
    """The number of one role.

    >>> target = ReplicaTarget(least=1, most=4)
    >>> busy = Work(num_calls=90, num_coming=500.0, capacity=64, num_open=1, left_s=None, start_s=60.0)
    >>> target.look(busy, now_s=0.0), target.look(busy, now_s=GROW_S)
    (1, 4)
    >>> tail = Work(num_calls=70, num_coming=0.0, capacity=256, num_open=4, left_s=20.0, start_s=60.0)
    >>> target.look(tail, now_s=20.0), target.look(tail, now_s=20.0 + SHRINK_S)
    (4, 2)

    Attributes:
        number: of replicas that should be up or coming.
    """

    def __init__(self, *, least: int, most: int) -> None:
        """Begin with the least.

        Raises:
            ValueError: there is no number between them, or the least is below 1.
        """
        if not 1 <= least <= most:
            raise ValueError(f"no number of replicas is between {least} and {most}")
        self.number = least
        self._least, self._most = least, most
        self._short_since_s: float | None = None
        self._spare_since_s: float | None = None

    def look(self, work: Work, *, now_s: float) -> int:
        """The number by now; to be asked every few seconds."""
        if not work.num_open:  # what one of them can do is not known
            return self.number
        each, calls = work.capacity / work.num_open, work.num_calls + work.num_coming
        needed, enough = self._filled(calls, each), self._filled(calls, each * SPARE_SHARE)
        full = work.num_calls >= FULL_SHARE * work.capacity
        pays = work.left_s is None or work.left_s > PAYS * work.start_s
        self._short_since_s = _since(self._short_since_s, needed > self.number and full and pays, now_s)
        self._spare_since_s = _since(self._spare_since_s, enough < self.number, now_s)
        if self._short_since_s is not None and now_s - self._short_since_s >= GROW_S:
            self.number, self._short_since_s = needed, None
        elif self._spare_since_s is not None and now_s - self._spare_since_s >= SHRINK_S:
            self.number, self._spare_since_s = enough, None
        return self.number

    def _filled(self, num_calls: float, each: float) -> int:
        """How many so many calls fill, within the bounds."""
        if num_calls >= self._most * each:
            return self._most
        return max(self._least, math.ceil(num_calls / each))


def _since(before_s: float | None, holds: bool, now_s: float) -> float | None:
    """Since when something holds without a break; None: it does not."""
    if not holds:
        return None
    return now_s if before_s is None else before_s
