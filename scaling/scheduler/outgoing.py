"""What the scheduler's shell has to send."""

from dataclasses import dataclass, field

from records.calls import SampleCall, ScoreCall


@dataclass(slots=True)
class Outgoing:
    """Calls and cancelled keys by replica, and whether the ledger waits for a higher ceiling."""

    samples: dict[str, list[SampleCall]] = field(default_factory=dict)
    scores: dict[str, list[ScoreCall]] = field(default_factory=dict)
    cancelled_samples: dict[str, list[str]] = field(default_factory=dict)
    cancelled_scores: dict[str, list[str]] = field(default_factory=dict)
    wants_lease: bool = False
