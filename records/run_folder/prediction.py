"""`_estimate.json`: what `parsimony estimate` said that a run would take, beside what it did take later."""

from dataclasses import dataclass

ESTIMATE = "_estimate.json"
"""Its name in a run. Only a run that was a pilot has one."""


@dataclass(frozen=True, slots=True)
class Range:
    """A predicted number and its interval."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What all problems of a run were predicted to take; what is unknown is null.

    Attributes:
        created_at: UTC, ISO 8601.
        confidence: of the intervals.
        pilot_problems: that it was learnt from; they are part of the run.
        num_problems: of the input.
        num_generators: replicas that times and money are for; `num_prms` alike.
        tokens: kind ("generated", "prompt", "cached", "pruned", "prm", "prm_cached") -> tokens of all rows.
        flops: of all rows.
        wall_seconds: in which replicas are held: from their launch to the end, for the pilot and for the others.
        generator_seconds: replica-seconds held; `prm_seconds` alike.
        gpu_seconds: of those; null on CPUs.
        usd: null without a price.
        kwh: of the devices that replicas run on, without the machines around them; null where they are unknown.
        accuracy: share of right answers; null where nothing could be graded.
    """

    created_at: str
    confidence: float
    pilot_problems: int
    num_problems: int
    num_generators: int
    num_prms: int
    tokens: dict[str, Range]
    flops: Range
    wall_seconds: Range
    generator_seconds: Range
    prm_seconds: Range
    gpu_seconds: Range | None
    usd: Range | None
    kwh: Range | None
    accuracy: Range | None
