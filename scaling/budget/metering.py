"""Who used the time of the replicas: every second that a run holds a replica is some problem's.

A replica is held from when it has a node (`hold`) until that node is gone (`release`). It costs the same whether it
works or waits, so its time is shared out as it passes:

    the role has calls in flight            among those calls, evenly
    only the other role has                 among those: this one waits for them
    nobody has (start-up, grading, ends)    among all problems without a row, evenly

So the shares of all problems add up to what was held, once every problem has its row. Time passes in `advance`; what
happens in between happens at that moment. A change costs the same however many problems and replicas there are: time is
summed per call, and a problem takes the sum's growth when its own number of calls changes, a replica likewise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from records.usage import ReplicaUsage, Role, Usage

ROLES: tuple[Role, ...] = get_args(Role)
SECONDS_PER_HOUR = 3600

SecondsT = TypeVar("SecondsT", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Share:
    """A problem's part of the time that replicas were held, in replica-seconds."""

    generator_s: float
    prm_s: float


@dataclass(frozen=True, slots=True)
class ReplicaRate:
    """What one replica of a role is: its GPUs or its share of one, and its price in USD per hour (None: unknown)."""

    num_gpus: float
    usd_per_hour: float | None


def cost_of(
    seconds: Mapping[Role, SecondsT], rates: Mapping[Role, ReplicaRate]
) -> tuple[SecondsT | None, SecondsT | None]:
    """GPU-seconds and USD of so many replica-seconds by role: numbers, or arrays of one shape.

    GPU-seconds are None where no role has a GPU, USD where some role in use (those of `rates`) has no price.

    >>> held = {"generator": 3600.0, "prm": 1800.0}
    >>> cost_of(held, {"generator": ReplicaRate(num_gpus=1, usd_per_hour=4.0), "prm": ReplicaRate(1, 2.0)})
    (5400.0, 5.0)
    >>> cost_of(held, {"generator": ReplicaRate(num_gpus=0, usd_per_hour=4.0), "prm": ReplicaRate(0, None)})
    (None, None)
    """
    gpu_seconds = [seconds[role] * rate.num_gpus for role, rate in rates.items()]
    prices = {role: rate.usd_per_hour for role, rate in rates.items() if rate.usd_per_hour is not None}
    usd = [seconds[role] * price / SECONDS_PER_HOUR for role, price in prices.items()]
    has_gpus = any(rate.num_gpus for rate in rates.values())
    return reduce(add, gpu_seconds) if has_gpus else None, reduce(add, usd) if usd and len(usd) == len(rates) else None


@dataclass(slots=True)
class _Replica:
    role: Role
    since_s: float
    held: bool = False
    held_s: float = 0.0
    num_calls: int = 0
    busy_s: float = 0.0
    call_s: float = 0.0

    def advance(self, now_s: float) -> None:
        """Count the time since the last change."""
        passed_s, self.since_s = now_s - self.since_s, now_s
        self.held_s += passed_s if self.held else 0.0
        self.busy_s += passed_s if self.num_calls else 0.0
        self.call_s += passed_s * self.num_calls


@dataclass(slots=True)
class _Time:
    """A role's held replicas and calls, and its seconds: per own call, per call of any role, per problem left."""

    num_replicas: int = 0
    num_calls: int = 0
    per_own: float = 0.0
    per_other: float = 0.0
    per_problem: float = 0.0


@dataclass(slots=True)
class _Charge:
    """One problem's calls in flight of one role, and what it had been charged when they last changed."""

    since_own: float
    since_other: float
    num_calls: int = 0
    charged_s: float = 0.0


@dataclass(slots=True)
class _Account:
    """One problem: of each role, as of one moment."""

    as_of_s: float
    of: dict[Role, _Charge]


class Meter:
    """The replicas of one epoch and the problems that share them.

    >>> meter = Meter({"generator-0": "generator"}, num_problems=2)
    >>> meter.advance(4.0)  # nobody has a call: 2 s each
    >>> meter.change("first", "generator-0", +1)
    >>> meter.advance(10.0)  # 6 s for the first alone
    >>> meter.change("second", "generator-0", +1)
    >>> meter.advance(12.0)  # 1 s each
    >>> meter.close("first"), meter.close("second")
    (Share(generator_s=9.0, prm_s=0.0), Share(generator_s=3.0, prm_s=0.0))

    Args:
        replicas: name -> role, of those that are held; others come with `hold`.
        num_problems: that have no row yet.
        startup_s: seconds that these had been held before the meter began: each, or by name.
        now_s: when it begins.

    Attributes:
        now_s: up to here time has been shared out.
    """

    def __init__(
        self,
        replicas: Mapping[str, Role],
        *,
        num_problems: int,
        startup_s: float | Mapping[str, float] = 0.0,
        now_s: float = 0.0,
    ) -> None:
        self._replicas: dict[str, _Replica] = {}
        self._times = {role: _Time() for role in ROLES}
        self._num_left = num_problems
        self._began_s, self.now_s = now_s, now_s
        self._accounts: dict[str, _Account] = {}
        for name, role in replicas.items():
            self.hold(name, role)
            held_s = startup_s[name] if isinstance(startup_s, Mapping) else startup_s
            self._replicas[name].held_s = held_s
            self._times[role].per_problem += held_s / num_problems if num_problems else 0.0

    def hold(self, name: str, role: Role) -> None:
        """A replica has a node; nothing new for one that is held."""
        one = self._replicas.setdefault(name, _Replica(role, self.now_s))
        if not one.held:
            one.advance(self.now_s)
            one.held = True
            self._times[role].num_replicas += 1

    def release(self, name: str) -> None:
        """A replica has no node any more; nothing new for one that is not held."""
        one = self._replicas.get(name)
        if one is not None and one.held:
            one.advance(self.now_s)
            one.held = False
            self._times[one.role].num_replicas -= 1

    def advance(self, now_s: float) -> None:
        """Time passes up to `now_s`; a clock that goes back stands still."""
        passed_s = now_s - self.now_s
        if passed_s <= 0:
            return
        self.now_s = now_s
        self._share_out(passed_s)

    def change(self, problem_id: str, replica: str, num_calls: int) -> None:
        """A problem has so many calls more, or fewer, in flight at a replica."""
        account = self._accounts.get(problem_id)
        if account is None:
            account = self._accounts[problem_id] = self._opened()
        self._charge(account)
        there = self._replicas[replica]
        there.advance(self.now_s)
        there.num_calls += num_calls
        self._times[there.role].num_calls += num_calls
        account.of[there.role].num_calls += num_calls

    def share_so_far(self, problem_id: str) -> Share:
        """What a problem without a row has come to."""
        account = self._accounts.get(problem_id) or self._opened()
        self._charge(account)
        total = {role: account.of[role].charged_s + self._times[role].per_problem for role in ROLES}
        return Share(total["generator"], total["prm"])

    def close(self, problem_id: str) -> Share:
        """A problem gets its row: what it has come to, for good."""
        share = self.share_so_far(problem_id)
        self._accounts.pop(problem_id, None)
        self._num_left -= 1
        return share

    def usage(self) -> Usage:
        """What was held and used so far."""
        elapsed_s = self.now_s - self._began_s
        for one in self._replicas.values():
            one.advance(self.now_s)
        replicas = tuple(
            ReplicaUsage(name=name, role=one.role, held_s=one.held_s, busy_s=one.busy_s, call_s=one.call_s)
            for name, one in self._replicas.items()
        )
        return Usage(elapsed_s=elapsed_s, replicas=replicas)

    def _share_out(self, passed_s: float) -> None:
        total_calls = sum(time.num_calls for time in self._times.values())
        for time in self._times.values():
            held_s = passed_s * time.num_replicas
            if time.num_calls:
                time.per_own += held_s / time.num_calls
            elif total_calls:
                time.per_other += held_s / total_calls
            elif self._num_left:
                time.per_problem += held_s / self._num_left

    def _opened(self) -> _Account:
        return _Account(self.now_s, {role: _Charge(time.per_own, time.per_other) for role, time in self._times.items()})

    def _charge(self, account: _Account) -> None:
        """Charge what has passed; nothing has at the moment of the last charge."""
        if account.as_of_s == self.now_s:
            return
        account.as_of_s = self.now_s
        total_calls = sum(charge.num_calls for charge in account.of.values())
        for role, charge in account.of.items():
            time = self._times[role]
            own_s, other_s = time.per_own - charge.since_own, time.per_other - charge.since_other
            charge.charged_s += charge.num_calls * own_s + total_calls * other_s
            charge.since_own, charge.since_other = time.per_own, time.per_other
