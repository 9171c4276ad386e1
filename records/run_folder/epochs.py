"""Epochs: one controller's rule over a run, and the lease file that says who has it.

    _epochs/N.json   created if absent --> heartbeat_at, progress, usage replaced every few seconds --> released_at set

The lease only keeps people from taking a live run over by accident. What keeps the data right is the fence in the
commit log: a controller whose lease was taken while it slept finds a higher epoch at its next commit, and stops.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from records.usage import Usage


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a run.

    Attributes:
        host: its name.
        machine: identity of the boot and process namespace, in which `pid` means something; "" where unknown.
        pid: process id.
        process_start: clock ticks from boot to the start of the process, because ids are used again; None if unknown.
    """

    host: str
    machine: str
    pid: int
    process_start: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One epoch.

    Attributes:
        epoch: from 1.
        writer: token of the writer that holds it.
        started_at: UTC, ISO 8601, by the holder's clock; likewise `heartbeat_at`, `released_at`.
        released_at: set by a clean stop; null until then.
        progress: what the controller last said of itself, as JSON, for `parsimony status`.
        usage: of its replicas, likewise: what they were held for between its last commit and its death is known by it.
    """

    epoch: int
    writer: str
    owner: Owner
    started_at: str
    heartbeat_at: str
    released_at: str | None = None
    progress: dict[str, object] = field(default_factory=dict)
    usage: Usage | None = None

    def __post_init__(self) -> None:
        """Refuse times that are not ISO 8601 with a zone."""
        for moment in (self.started_at, self.heartbeat_at, self.released_at):
            if moment is not None and datetime.fromisoformat(moment).tzinfo is None:
                raise ValueError(f"{moment} has no time zone")

    def age_s(self, now_s: float) -> float:
        """Seconds since the last heartbeat; negative if the holder's clock runs ahead of ours."""
        return now_s - datetime.fromisoformat(self.heartbeat_at).timestamp()


def utc(now_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds")
