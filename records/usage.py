"""What a run held and used of its replicas, as its controller counts it; every commit carries it.

Numbers are cumulative within one epoch, so what happened between two commits of an epoch is their difference.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["generator", "prm"]

MAX_USAGES = 200
"""Points that are kept of an epoch: every checkpoint has them all, and a month of commits has many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaUsage:
    """One replica in one epoch so far.

    Attributes:
        name: of the replica.
        role: "generator" or "prm".
        held_s: seconds that the run has held it, from its launch on, start-up, idle time and restarts included.
        busy_s: of those, with at least one call in flight.
        call_s: call-seconds: the integral of the calls in flight; over `busy_s` it is their mean number.
    """

    name: str
    role: str
    held_s: float
    busy_s: float
    call_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """All replicas of a run, `elapsed_s` seconds after its controller began."""

    elapsed_s: float
    replicas: tuple[ReplicaUsage, ...]

    def held_s(self, role: Role) -> float:
        """Replica-seconds held by a role."""
        return sum(replica.held_s for replica in self.replicas if replica.role == role)

    def busy_s(self, role: Role) -> float:
        """Replica-seconds in which a role had something to do."""
        return sum(replica.busy_s for replica in self.replicas if replica.role == role)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePoint:
    """The usage as of one commit."""

    epoch: int
    created_at: str
    usage: Usage


def last_by_epoch(points: Iterable[UsagePoint]) -> dict[int, Usage]:
    """What each epoch came to, by number; `points` are in order."""
    return {point.epoch: point.usage for point in points}


def add_usage(points: list[UsagePoint], point: UsagePoint) -> None:
    """Add an epoch's next point; above `MAX_USAGES` of the epoch, the one that is closest to its neighbours goes.

    Numbers are cumulative: with fewer points the course is coarser, and what it comes to is the same. Only the last of
    an epoch tells replica from replica; those before it say what each role came to, which is all of their course.
    """
    if points and points[-1].epoch == point.epoch:
        points[-1] = replace(points[-1], usage=_by_role(points[-1].usage))
    points.append(point)
    first = next(place for place, one in enumerate(points) if one.epoch == point.epoch)
    if len(points) - first <= MAX_USAGES:
        return
    said_s = [one.usage.elapsed_s for one in points[first:]]
    inner = range(1, len(said_s) - 1)
    del points[first + min(inner, key=lambda place: said_s[place + 1] - said_s[place - 1])]


def _by_role(usage: Usage) -> Usage:
    """One replica for all of a role."""
    roles = dict.fromkeys(replica.role for replica in usage.replicas)
    return Usage(
        elapsed_s=usage.elapsed_s,
        replicas=tuple(
            ReplicaUsage(
                name=role,
                role=role,
                held_s=sum(replica.held_s for replica in usage.replicas if replica.role == role),
                busy_s=sum(replica.busy_s for replica in usage.replicas if replica.role == role),
                call_s=sum(replica.call_s for replica in usage.replicas if replica.role == role),
            )
            for role in roles
        ),
    )
