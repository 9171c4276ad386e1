"""What the page says of the PRM in this run: reliability, Brier score, calibration error, coverage."""

from collections.abc import Callable, Sequence
from typing import Any

from jobs.reporting.graded_samples import Witness, chosen_outcomes, finished_outcomes, root_outcomes
from jobs.reporting.plots import Table, reliability_diagram
from scaling.calibration.within_run import ScoreCheck, check_scores
from scaling.statistics.bootstrap import IntervalEstimate

_KINDS = {
    "bare question": root_outcomes,
    "finished samples": finished_outcomes,
    "chosen path": chosen_outcomes,
}
_NUMBERS: dict[str, Callable[[ScoreCheck], IntervalEstimate | None]] = {
    "Right": lambda check: check.observed,
    "Brier": lambda check: check.brier,
    "Brier above chance": lambda check: check.brier_above_floor,
    "ECE": lambda check: check.calibration_error,
    "Bias": lambda check: check.signed_error,
    "AUC": lambda check: check.auc,
    "Coverage: below the interval": lambda check: check.coverage.below if check.coverage else None,
    "Coverage: within": lambda check: check.coverage.within if check.coverage else None,
    "Coverage: above": lambda check: check.coverage.above if check.coverage else None,
}
NOTES = """\
Bare question: the score before anything was sampled, against the share of right ones among the problem's \
whole samples. Only where a run draws such samples.
Finished samples: the score of each sample that came to its end, against its own verdict.
Chosen path: the score of the path that the strategy chose, against the verdict of its answer. A path is \
chosen because its score is high, so it scores too high even where the PRM is calibrated.
Brier: mean squared error of the score; above chance: less what a perfect score would still have. ECE: \
expected calibration error over ten bins, biased upwards where rows are few. Bias: score minus outcome. AUC: \
chance that a right outcome scores above a wrong one.
Coverage: how often the observed share of right samples lies within the PRM's lower and upper quantile, below \
or above. It holds the chance of few samples too, so it may lie below the interval's own level.\
"""
"""A line each."""


def score_checks(witnesses: Sequence[Witness], seed: int) -> dict[str, ScoreCheck]:
    """Kind of score -> check; of those that the run has."""
    found = {name: outcomes(witnesses) for name, outcomes in _KINDS.items()}
    return {name: check_scores(outcomes, seed=seed) for name, outcomes in found.items() if outcomes}


def prm_section(checks: dict[str, ScoreCheck], why_ungraded: str | None, num_sampled: int | None) -> dict[str, Any]:
    """What the template's section names.

    Args:
        checks: of `score_checks`.
        why_ungraded: why samples have no verdicts; None where they have.
        num_sampled: problems that the numbers are of, where these are not all.
    """
    notes = NOTES.splitlines()
    if num_sampled is not None:
        notes.insert(0, f"From a seeded sample of {num_sampled:,} problems.")
    if why_ungraded is not None:
        notes.insert(0, f"Single samples have no verdicts: {why_ungraded}.")
    if all(check.coverage is None for check in checks.values()):
        notes.append("No coverage here: the PRM gives one number and no interval, or no question has several samples.")
    return {
        "reliability": reliability_diagram(checks) if checks else None,
        "prm_table": _table(checks),
        "prm_notes": notes,
        "why_no_prm": "No score can be held against an outcome: the run has no PRM scores, or no verdicts.",
    }


def _table(checks: dict[str, ScoreCheck]) -> Table:
    """A column for each kind of score; numbers that no kind has are left out."""
    lines: list[tuple[str, ...]] = [
        ("Rows", *(f"{check.num_rows:,}" for check in checks.values())),
        ("Problems", *(f"{check.num_problems:,}" for check in checks.values())),
    ]
    for name, number in _NUMBERS.items():
        found = [number(check) for check in checks.values()]
        if any(estimate is not None and estimate.value is not None for estimate in found):
            lines.append((name, *(said(estimate) for estimate in found)))
    headings = ("Number", *(name.capitalize() for name in checks))
    return Table("Scores against outcomes, with 95% intervals over problems", headings, tuple(lines))


def said(number: IntervalEstimate | None) -> str:
    """A number and its interval."""
    if number is None or number.value is None:
        return "unknown"
    if number.lower is None or number.upper is None:
        return f"{number.value:.3f}"
    return f"{number.value:.3f} ({number.lower:.3f} to {number.upper:.3f})"
