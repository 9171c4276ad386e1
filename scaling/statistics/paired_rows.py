"""What a comparison of two runs on the same problems came to. Null is unknown, never zero."""

from dataclasses import dataclass
from enum import StrEnum

from scaling.statistics.bootstrap import IntervalEstimate


class Change(StrEnum):
    """What became of a verdict from the first run to the second."""

    RIGHT_TO_WRONG = "right_to_wrong"
    WRONG_TO_RIGHT = "wrong_to_right"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideAccuracy:
    """What one run gets right of the problems that both have a verdict of.

    Attributes:
        label: of the run.
        num_correct: right ones.
        accuracy: share of them; null when nothing was graded.
        lower, upper: 95% Wilson interval; null likewise.
    """

    label: str
    num_correct: int
    accuracy: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostDifference:
    """One column of costs, over the problems of which both runs know it.

    Attributes:
        name: of the column.
        num_problems: of which both know it.
        first, second: means per problem; null where there is none.
        difference: second minus first, per problem.
        ratio: all of the second over all of the first.
    """

    name: str
    num_problems: int
    first: float | None
    second: float | None
    difference: IntervalEstimate
    ratio: IntervalEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedProblem:
    """A problem that only one of the runs gets right.

    Attributes:
        problem_id: of the input.
        change: from the first run to the second.
        first_answer, second_answer: as extracted; null where it states none.
        reference: the answer key.
    """

    problem_id: str
    change: Change
    first_answer: str | None
    second_answer: str | None
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """Two runs beside each other; differences are second minus first, and `dataclasses.asdict` is its JSON.

    Attributes:
        first, second: accuracies, over the `num_graded` problems.
        num_problems: that both runs have a row of, and neither failed.
        num_graded: of those, with a verdict in both.
        left_out: why a problem that some run has a row of is not among `num_problems` -> how many.
        ungraded: of `num_problems`, those without a verdict: "first", "second", "both" -> how many.
        both_right, both_wrong, right_to_wrong, wrong_to_right: of `num_graded`.
        accuracy_difference: with a bootstrap interval over problems; null when nothing was graded.
        mcnemar_p: two-sided exact p of the hypothesis that a change is as likely in one direction as in the other;
            1 where nothing changed, null when nothing was graded.
        costs: one for each column.
        changed: right to wrong first, then by problem id.
        num_resamples, seed: of the bootstrap.
    """

    first: SideAccuracy
    second: SideAccuracy
    num_problems: int
    num_graded: int
    left_out: dict[str, int]
    ungraded: dict[str, int]
    both_right: int
    both_wrong: int
    right_to_wrong: int
    wrong_to_right: int
    accuracy_difference: IntervalEstimate
    mcnemar_p: float | None
    costs: tuple[CostDifference, ...]
    changed: tuple[ChangedProblem, ...]
    num_resamples: int
    seed: int
