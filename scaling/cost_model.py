"""From the work of a run to time, money and energy on so many replicas, at the speed that a pilot had.

    wall = start-ups + max over roles (work / speed / replicas) / overlap

Roles work side by side, so the one with most to do decides; `overlap` is the share of the pilot's time in which its
busiest role was busy, which the rest (waiting for each other, grading, ends) takes from every run alike. Speed is per
second with something in flight: a small pilot ends with small batches, so large runs are a little faster than this.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from records.usage import Role, Usage
from scaling.calibration import Floats

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


def speed_of(usage: Usage, tokens: Mapping[Role, float]) -> Speed:
    """The speed of a pilot that computed so many tokens in one epoch.

    Raises:
        ValueError: nothing was done in no time.
    """
    busy_s = {role: usage.busy_s(role) for role in tokens if tokens[role] > 0}
    if usage.elapsed_s <= 0 or not all(busy_s.values()):
        raise ValueError("a pilot that took no time says nothing about speed")
    held_s = max(replica.held_s for replica in usage.replicas)
    overlap = max(busy_s[role] / (_num_replicas(usage, role) * usage.elapsed_s) for role in busy_s)
    return Speed(
        {role: tokens[role] / busy_s[role] for role in busy_s}, held_s - usage.elapsed_s, min(1.0, max(overlap, 1e-9))
    )


def added(usages: list[Usage]) -> Usage:
    """Several epochs of the same replicas as one; start-ups count once, as their mean."""
    replicas = []
    for name in {replica.name: None for usage in usages for replica in usage.replicas}:
        same = [(usage, one) for usage in usages for one in usage.replicas if one.name == name]
        startup_s = sum(one.held_s - usage.elapsed_s for usage, one in same) / len(same)
        whole = same[0][1]
        replicas.append(
            type(whole)(
                name=name,
                role=whole.role,
                held_s=startup_s + sum(usage.elapsed_s for usage, _ in same),
                busy_s=sum(one.busy_s for _, one in same),
                call_s=sum(one.call_s for _, one in same),
            )
        )
    return Usage(elapsed_s=sum(usage.elapsed_s for usage in usages), replicas=tuple(replicas))


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
    for role, seconds in busy.items():
        working_s = np.minimum(seconds, held_s[role])
        watt_s = working_s * power[role].busy_watts + (held_s[role] - working_s) * power[role].idle_watts
        total = total + watt_s / WATT_SECONDS_PER_KWH
    return np.asarray(total)


def replicas_for(work: Mapping[Role, float], speed: Speed, total: int) -> dict[Role, int]:
    """How `total` replicas are best divided among the roles in use: the split with the shortest time.

    Each role gets at least one, so `total` is at least the number of roles.
    """
    busy = {
        role: float(seconds) for role, seconds in busy_s({k: np.asarray(v) for k, v in work.items()}, speed).items()
    }
    counts: dict[Role, int] = dict.fromkeys(busy, 1)
    for _ in range(total - len(counts)):
        slowest = max(busy, key=lambda role: busy[role] / counts[role])
        counts[slowest] += 1
    return counts


def _num_replicas(usage: Usage, role: Role) -> int:
    return sum(replica.role == role for replica in usage.replicas)
