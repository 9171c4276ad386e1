"""From the work of a run to time, money and energy on so many replicas, at the speed that a pilot had.

    wall = start-ups + max over roles (work / speed / replicas) / overlap

Roles work side by side, so the one with most to do decides; `overlap` is the share of the pilot's time in which its
busiest role was busy, which the rest (waiting for each other, grading, ends) takes from every run alike. Speed is per
second with something in flight: a small pilot ends with small batches, so large runs are a little faster than this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from records.usage import Role, Usage
from scaling.arrays import Floats

WATT_SECONDS_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a pilot was.

    Attributes:
        tokens_per_s: role -> computed (not cached) tokens per replica and second with calls in flight; roles in use.
        startup_s: from the launch of replicas to the first call.
        overlap: above 0, at most 1.
    """

    tokens_per_s: Mapping[Role, float]
    startup_s: float
    overlap: float


@dataclass(frozen=True, slots=True)
class Power:
    """What one replica draws, all its devices together; watts."""

    busy_watts: float
    idle_watts: float


def speed_of(usages: Sequence[Usage], tokens: Mapping[Role, float]) -> Speed:
    """The speed of a pilot that computed so many tokens in these epochs, whose numbers of replicas may differ.

    Raises:
        ValueError: nothing was done, or in no time.
    """
    busy = {role: sum(usage.busy_s(role) for usage in usages) for role in tokens if tokens[role] > 0}
    there_s = {role: sum(_num_replicas(usage, role) * usage.elapsed_s for usage in usages) for role in busy}
    if not busy or not all(busy.values()) or not all(there_s.values()):
        raise ValueError("a pilot that computed nothing, or in no time, says nothing about speed")
    startup_s = max(replica.held_s - usage.elapsed_s for usage in usages for replica in usage.replicas)
    overlap = max(busy[role] / there_s[role] for role in busy)
    return Speed({role: tokens[role] / busy[role] for role in busy}, startup_s, min(1.0, overlap))


def busy_s(work: Mapping[Role, Floats], speed: Speed) -> dict[Role, Floats]:
    """Replica-seconds with something to do, by role; `work` in computed tokens, [R] each."""
    return {role: work[role] / speed.tokens_per_s[role] for role in speed.tokens_per_s}


def wall_s(
    work: Mapping[Role, Floats], speed: Speed, num_replicas: Mapping[Role, int], *, num_starts: int = 1
) -> Floats:
    """Seconds from the launch to the end, [R], with so many starts of the replicas on the way."""
    busy = busy_s(work, speed)
    longest = np.max([busy[role] / num_replicas[role] for role in busy], axis=0)
    return np.asarray(num_starts * speed.startup_s + longest / speed.overlap)


def kwh(held_s: Mapping[Role, Floats], busy: Mapping[Role, Floats], power: Mapping[Role, Power]) -> Floats:
    """Energy of the replicas' devices, [R]: busy and idle time at their own power."""
    total = np.zeros(())
    for role in held_s:
        working_s = np.minimum(busy.get(role, np.zeros(())), held_s[role])
        watt_s = working_s * power[role].busy_watts + (held_s[role] - working_s) * power[role].idle_watts
        total = total + watt_s / WATT_SECONDS_PER_KWH
    return np.asarray(total)


def _num_replicas(usage: Usage, role: Role) -> int:
    return sum(replica.role == role for replica in usage.replicas)
