"""Samples that are looked at one by one while others are under way, for strategies that stop early.

    under way   `at_once` samples more than have been counted; one that is counted makes room for another. Or as many as
                the votes so far leave open
    grown       step by step where they are asked for so: the next step of each as soon as its last is there
    counted     as they finish (`Look.ARRIVAL`), or in the order in which they were begun (`Look.ORDER`)
    enough      asked after each that is counted; then the rest is cancelled

Short samples finish first. So what is decided on those that have finished leans towards answers that take few tokens,
unless the decision cannot change with what is still to come. `Look.ORDER` corrects it: a sample that has finished waits
for all that were begun before it, so a decision is that of drawing one sample after the other, whatever arrives when.
It costs waiting for the longest of the first ones, and what the others have come to meanwhile.
"""

from collections.abc import Callable, Generator, Iterable
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
    asked: Expand,
    *,
    num_samples: int,
    at_once: int | Callable[[int], int],
    look: Look,
    enough: Callable[[Path, int], bool],
    goes_on: Callable[[Path], bool] = lambda _: False,
) -> Generator[Request, Reply, list[Path]]:
    """Draw samples until there are enough.

    Args:
        asked: for one sample, or for one step of it.
        num_samples: most of them.
        at_once: how many are under way beside those that are counted; a function is told how many may still be counted.
        look: `ORDER` or `ARRIVAL`.
        enough: told of each sample that is counted, and how many more there may be: whether no other is needed.
        goes_on: whether a sample has another step, asked for as the one before was.

    Returns:
        Those that were counted, in the order in which they were begun; where the budget has cut or denied some, all
        that came, each as far as it came.
    """
    [(root, _)] = asked.parents
    wanted = at_once if callable(at_once) else lambda _: at_once
    num_begun = min(wanted(num_samples), num_samples)
    reply = yield _each(asked, [(root, num_begun)])
    request = reply.child_names[0][0] if reply.child_names else 0
    sample_of = {(request, child): child for child in range(num_begun)}
    reached: dict[int, Path] = {}
    ended: set[int] = set()
    counted: list[int] = []
    while True:
        granted = reply.kind is ReplyKind.FULL
        came = [sample_of.pop(name) for name in reply.child_names]
        reached |= zip(came, reply.paths, strict=True)
        growing = [sample for sample in came if granted and goes_on(reached[sample])]
        ending = [sample for sample in came if sample not in growing]
        ended.update(ending)
        in_turn = takewhile(ended.__contains__, range(len(counted), num_begun))
        for sample in tuple(in_turn if look is Look.ORDER else ending):
            counted.append(sample)
            if enough(reached[sample], num_samples - len(counted)):
                return [reached[counts] for counts in sorted(counted)]
        beginning = range(
            num_begun, min(num_samples, len(counted) + wanted(num_samples - len(counted))) if granted else num_begun
        )
        num_begun += len(beginning)
        request += 1  # of what is asked next
        sample_of |= {(request, child): sample for child, sample in enumerate([*growing, *beginning])}
        if growing or beginning:
            new = [(root, len(beginning))] if beginning else []
            reply = yield _each(asked, [*((reached[sample], 1) for sample in growing), *new])
        elif reply.num_open:
            reply = yield Next()
        else:
            for sample in sorted(reached.keys() - set(counted)):  # one before it was denied
                counted.append(sample)
                enough(reached[sample], num_samples - len(counted))
            return [reached[sample] for sample in sorted(reached)]


def _each(asked: Expand, parents: Iterable[tuple[Path, int]]) -> Expand:
    return replace(asked, parents=tuple(parents), deliver=Deliver.EACH)
