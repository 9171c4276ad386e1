"""Samples that are looked at one by one while others are under way, for strategies that stop early.

    under way   `at_once` samples more than have been counted; one that is counted makes room for another
    counted     as they finish (`Look.ARRIVAL`), or in the order in which they were begun (`Look.ORDER`)
    enough      asked after each that is counted; then the rest is cancelled

Short samples finish first. So what is decided on those that have finished leans towards answers that take few tokens,
unless the decision cannot change with what is still to come. `Look.ORDER` corrects it: a sample that has finished waits
for all that were begun before it, so a decision is that of drawing one sample after the other, whatever arrives when.
It costs waiting for the longest of the first ones, and what the others have come to meanwhile.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from enum import StrEnum
from itertools import takewhile

from records.path import Path
from records.request import Deliver, Expand, Next, Reply, ReplyKind
from scaling.strategy import Request


class Look(StrEnum):
    """When a strategy looks at the samples that it has asked for."""

    WAVES = "waves"
    """When all of a wave are there."""
    ORDER = "order"
    """At each as soon as it and all that were begun before are there."""
    ARRIVAL = "arrival"
    """At each as soon as it is there."""


def as_they_finish(
    asked: Expand, *, num_samples: int, at_once: int, look: Look, enough: Callable[[Path, int], bool]
) -> Generator[Request, Reply, list[Path]]:
    """Draw samples until there are enough.

    Args:
        asked: for one sample.
        num_samples: most of them.
        at_once: how many are under way beside those that are counted.
        look: `ORDER` or `ARRIVAL`.
        enough: told of each sample that is counted, and how many more there may be: whether no other is needed.

    Returns:
        Those that were counted, in the order in which they were begun; where the budget has cut or denied some, all
        that came.
    """
    [(parent, _)] = asked.parents

    def more(number: int) -> Expand:
        return replace(asked, parents=((parent, number),), deliver=Deliver.EACH)

    num_begun = min(at_once, num_samples)
    reply = yield more(num_begun)
    request = reply.child_names[0][0] if reply.child_names else 0
    begun = [(request, child) for child in range(num_begun)]
    came: dict[tuple[int, int], Path] = {}
    counted: list[tuple[int, int]] = []
    while True:
        came |= dict(zip(reply.child_names, reply.paths, strict=True))
        ready = takewhile(came.__contains__, begun[len(counted) :]) if look is Look.ORDER else reply.child_names
        for name in tuple(ready):
            counted.append(name)
            if enough(came[name], num_samples - len(counted)):
                return [came[name] for name in sorted(counted)]
        request += 1  # of what is asked next
        if len(begun) < num_samples and len(begun) - len(counted) < at_once and reply.kind is ReplyKind.FULL:
            begun.append((request, 0))
            reply = yield more(1)
        elif reply.num_open:
            reply = yield Next()
        else:
            for name in sorted(came.keys() - set(counted)):  # one before it was denied
                counted.append(name)
                enough(came[name], num_samples - len(counted))
            return [came[name] for name in sorted(came)]
