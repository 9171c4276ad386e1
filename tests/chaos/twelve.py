"""Twelve schedules that are always the same, for scripted engines: each kind of victim at least once."""

from pathlib import Path

from tests.chaos.schedules import (
    CONTROLLER,
    DRIVER,
    EVERYTHING,
    GCS,
    GENERATOR,
    GRADER,
    PRM,
    RAYLET,
    WRITE,
    WRITER,
    Moment,
    Schedule,
    Strike,
)  # fmt: skip
from tests.chaos.trial import Undisturbed, carry_out
from tests.chaos.workloads import named

TWELVE: dict[str, tuple[tuple[Strike, ...], ...]] = {
    "beam": (
        (Strike(DRIVER, "kill", Moment("commit", 3)),),
        (Strike(CONTROLLER, "kill", Moment("part", 4, after=True)), Strike(GRADER, "kill", Moment(share=0.3))),
        (Strike(WRITER, "kill", Moment("commit", 2, after=True)), Strike(PRM, "kill", Moment(share=0.5))),
        (Strike(GENERATOR, "kill", Moment(share=0.4)), Strike(WRITE, "lose", Moment("commit", 3))),
        (Strike(EVERYTHING, "take over", Moment(share=0.4)),),
        (Strike(WRITER, "kill", Moment("lease", after=True)), Strike(WRITER, "kill", Moment("success"))),
    ),
    "samples": (
        (Strike(RAYLET, "kill", Moment(share=0.5)),),
        (Strike(EVERYTHING, "kill", Moment("part", 3)),),
    ),
    "decided": (
        (
            Strike(DRIVER, "kill", Moment(share=0.4)),
            Strike(WRITE, "lose", Moment("lease")),
            Strike(WRITE, "fail", Moment("part", 2)),
            Strike(WRITE, "lose", Moment("success", after=True)),
        ),
    ),
    "marginal": (
        (Strike(GCS, "kill", Moment(share=0.5)),),
        (Strike(CONTROLLER, "freeze", Moment(share=0.3), 2.0), Strike(GENERATOR, "hang", Moment(share=0.6))),
        (Strike(CONTROLLER, "kill", Moment(share=0.2)), Strike(CONTROLLER, "kill", Moment(share=0.6))),
    ),
}
"""By workload. Every second one loses and delays replies beside its strikes."""


def cases(*workloads: str) -> list[tuple[str, int]]:
    """Those of some workloads, by workload and number."""
    return [(name, number) for name in workloads for number in range(len(TWELVE[name]))]


def check(workload: str, number: int, reference: Undisturbed, folder: Path) -> None:
    """Nothing is lost, nothing is there twice, nothing stays behind, and every strike was carried out."""
    schedule = Schedule(
        number + 1,
        named(workload),
        "scripted",
        "local",
        TWELVE[workload][number],
        lost_replies=0.02 if number % 2 else 0.0,
        late_replies=0.05 if number % 2 else 0.0,
    )
    outcome = carry_out(schedule, reference, None, folder)
    assert not outcome.wrong, outcome
    assert not outcome.missed, outcome
    assert outcome.looks > 0
