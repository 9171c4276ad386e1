"""Caps on what a run's replicas come to by the time that they are held: in USD and in GPU-seconds.

    spent = sum over epochs, replicas of held_s x (USD per second | GPUs)     start-up, idle time and restarts included

Time also passes while nothing is generated, and what is in flight when a cap is near still runs to its end. So a cap is
reached when what is spent and what the end will take (`drain_s`: of all replicas) come to it: nothing more is granted
then. What is spent in the end differs from the cap by as much as the end takes longer or shorter than that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from records.usage import Role, Usage
from scaling.metering import ROLES, ReplicaRate

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Held:
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
    before_s: Mapping[Role, float] = field(default_factory=dict)

    def held(self, usage: Usage) -> Held:
        """What the whole run has come to, `usage` being of the present epoch so far."""
        seconds = {role: self.before_s.get(role, 0.0) + usage.held_s(role) for role in ROLES}
        return self._held({role: held_s for role, held_s in seconds.items() if held_s > 0})

    def reached(self, usage: Usage, drain_s: float) -> str | None:
        """The cap that is reached, in words; None while none is.

        Args:
            usage: of the present epoch so far.
            drain_s: seconds that the end will take, once nothing more is granted.
        """
        spent = self.held(usage)
        drain = self._held({role: drain_s * sum(one.role == role for one in usage.replicas) for role in ROLES})
        caps = (
            (self.total_usd, spent.usd, drain.usd, "USD"),
            (self.total_gpu_seconds, spent.gpu_seconds, drain.gpu_seconds, "GPU-seconds"),
        )
        for cap, now, until_end, unit in caps:
            if cap is not None and now is not None and now + (until_end or 0.0) >= cap:
                return f"the cap of {cap:g} {unit} is reached: {now:.6g} are spent, and the end takes some more"
        return None

    def _held(self, seconds: Mapping[Role, float]) -> Held:
        """Of replica-seconds by role."""
        usd: float | None = 0.0
        gpu_seconds = 0.0
        for role, held_s in seconds.items():
            rate = self.rates.get(role)
            price = rate.usd_per_hour if rate is not None else None
            usd = None if usd is None or price is None else usd + held_s * price / SECONDS_PER_HOUR
            gpu_seconds += held_s * rate.num_gpus if rate is not None else 0.0
        return Held(usd, gpu_seconds if any(rate.num_gpus for rate in self.rates.values()) else None)


def replica_seconds(usages: Iterable[Usage]) -> dict[Role, float]:
    """Seconds for which replicas of each role were held, all together."""
    held = dict.fromkeys(ROLES, 0.0)
    for usage in usages:
        for role in ROLES:
            held[role] += usage.held_s(role)
    return held
