"""Caps on what a run's replicas come to by the time that they are held: in USD and in GPU-seconds.

    spent = sum over epochs, replicas of held_s x (USD per second | GPUs)     start-up, idle time and restarts included

Time also passes while nothing is generated, and what is in flight when a cap is near still runs to its end. So a cap is
reached when what is spent and what the end will take (`drain_s`: of all replicas) come to it: nothing more is granted
then. What is spent in the end differs from the cap by as much as the end takes longer or shorter than that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from records.usage import Role, Usage
from scaling.budget.metering import ROLES, ReplicaRate, cost_of


@dataclass(frozen=True, slots=True)
class HeldCost:
    """What replicas have come to; None where nobody knows: without a price, or without a GPU."""

    usd: float | None
    gpu_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCaps:
    """The caps of one run.

    Attributes:
        rates: of a replica of each role in use; what earlier epochs held counts at these too.
        total_usd: cap of the whole run; None for none.
        total_gpu_seconds: likewise.
        before_s: replica-seconds of earlier epochs (`replica_seconds`).
    """

    rates: Mapping[Role, ReplicaRate]
    total_usd: float | None = None
    total_gpu_seconds: float | None = None
    before_s: Mapping[Role, float] = field(default_factory=lambda: dict.fromkeys(ROLES, 0.0))

    def held(self, usage: Usage) -> HeldCost:
        """What the whole run has come to, `usage` being of the present epoch so far."""
        gpu_seconds, usd = cost_of({role: self.before_s[role] + usage.held_s(role) for role in ROLES}, self.rates)
        return HeldCost(usd, gpu_seconds)

    def reached(self, usage: Usage, drain_s: float) -> str | None:
        """The cap that is reached, in words; None while none is.

        Args:
            usage: of the present epoch so far.
            drain_s: seconds that the end will take, once nothing more is granted.
        """
        spent = self.held(usage)
        num_replicas = {role: sum(one.role == role for one in usage.replicas) for role in ROLES}
        gpu_seconds, usd = cost_of({role: drain_s * num_replicas[role] for role in ROLES}, self.rates)
        caps = (
            (self.total_usd, spent.usd, usd, "USD"),
            (self.total_gpu_seconds, spent.gpu_seconds, gpu_seconds, "GPU-seconds"),
        )
        for cap, now, until_end, unit in caps:
            if cap is not None and now is not None and now + (until_end or 0.0) >= cap:
                return f"the cap of {cap:g} {unit} is reached: {now:.6g} are spent, and the end takes some more"
        return None


def replica_seconds(usages: Iterable[Usage]) -> dict[Role, float]:
    """Seconds for which replicas of each role were held, all together."""
    known = tuple(usages)
    return {role: sum(usage.held_s(role) for usage in known) for role in ROLES}
