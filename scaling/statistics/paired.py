"""Two runs on the same problems: who is right more often, what each costs, and on which problems they differ.

    compared = compare_paired(Pairs(...))
    compared.accuracy_difference          second minus first, with a 95% interval over problems
    compared.mcnemar_p                    exact, of the problems that only one of them gets right

Everything is paired: what makes a problem hard or long for both runs drops out. A problem without a verdict in one run
counts in no accuracy, and one of which a run does not know a cost counts in no number of that cost. The order in which
problems come decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from scaling.arrays import Bools, Floats
from scaling.statistics.accuracy import accuracy_interval
from scaling.statistics.bootstrap import MOST_LEFT_OUT, IntervalEstimate, divide, estimated, resampled_sums
from scaling.statistics.paired_rows import Change, ChangedProblem, CostDifference, PairedComparison, SideAccuracy
from scaling.statistics.shares import difference_bounds


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two runs, on P problems.

    Attributes:
        label: its name.
        correct: [P], 1 right, 0 wrong, NaN not graded.
        answers: [P], as extracted; None where it states none.
        costs: name -> [P]; NaN where not known. Both sides have the same names.
    """

    label: str
    correct: Floats
    answers: Sequence[str | None]
    costs: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pairs:
    """P problems that both runs have a row of.

    Attributes:
        problem_ids: [P], distinct.
        references: [P], answer keys.
        first: the run that the other one is measured against.
        second: the other one.
        left_out: why another problem that some run has a row of is none of the P -> how many.
    """

    problem_ids: Sequence[str]
    references: Sequence[str | None]
    first: Side
    second: Side
    left_out: Mapping[str, int]


def mcnemar_p(right_to_wrong: int, wrong_to_right: int) -> float:
    """Two-sided exact McNemar test: the binomial test of a fair coin on the problems that changed; 1 without any.

    Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
    Psychometrika 12 (1947), 153-157; exact rather than by chi-squared, because few problems may change.

    Raises:
        ValueError: a count is below 0.
    """
    if min(right_to_wrong, wrong_to_right) < 0:
        raise ValueError(f"counts must not be below 0, got {right_to_wrong} and {wrong_to_right}")
    changed = right_to_wrong + wrong_to_right
    return float(binomtest(wrong_to_right, changed, 0.5).pvalue) if changed else 1.0


def compare_paired(pairs: Pairs, *, num_resamples: int = 2000, seed: int = 0) -> PairedComparison:
    """Compare two runs; differences are second minus first.

    Args:
        pairs: what both know of the same problems.
        num_resamples: of the bootstrap; 0: no intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: lengths or names of costs differ, or an id repeats.
    """
    _check(pairs)
    problem_ids, first, second = pairs.problem_ids, pairs.first, pairs.second
    order = np.array(sorted(range(len(problem_ids)), key=problem_ids.__getitem__), dtype=np.int64)
    correct = np.stack([first.correct, second.correct])[:, order]
    costs = {name: np.stack([first.costs[name], second.costs[name]])[:, order] for name in first.costs}
    differences = _differences([correct, *costs.values()], num_resamples, seed)
    graded = ~np.isnan(correct).any(axis=0)
    lost, gained = (graded & (correct[0] == was) & (correct[1] == 1 - was) for was in (1, 0))
    missing = np.isnan(correct)
    return PairedComparison(
        first=_accuracy(first.label, correct[0, graded]),
        second=_accuracy(second.label, correct[1, graded]),
        num_problems=len(problem_ids),
        num_graded=int(graded.sum()),
        left_out=dict(pairs.left_out),
        ungraded={
            "first": int((missing[0] & ~missing[1]).sum()),
            "second": int((missing[1] & ~missing[0]).sum()),
            "both": int(missing.all(axis=0).sum()),
        },
        both_right=int((correct == 1).all(axis=0).sum()),
        both_wrong=int((correct == 0).all(axis=0).sum()),
        right_to_wrong=int(lost.sum()),
        wrong_to_right=int(gained.sum()),
        accuracy_difference=_accuracy_difference(differences[0].difference, (correct[1] - correct[0])[graded]),
        mcnemar_p=mcnemar_p(int(lost.sum()), int(gained.sum())) if graded.any() else None,
        costs=tuple(_cost(name, found) for name, found in zip(costs, differences[1:], strict=True)),
        changed=tuple(
            _changed(pairs, at, change)
            for mask, change in ((lost, Change.RIGHT_TO_WRONG), (gained, Change.WRONG_TO_RIGHT))
            for at in order[mask].tolist()
        ),
        num_resamples=num_resamples,
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class _Difference:
    num_problems: int
    means: tuple[float | None, float | None]
    difference: IntervalEstimate
    ratio: IntervalEstimate


def _differences(columns: Sequence[Floats], num_resamples: int, seed: int) -> list[_Difference]:
    """Of each column [2, P], first and second; all on the same resamples of the problems."""
    known: list[Bools] = [np.asarray(~np.isnan(column).any(axis=0)) for column in columns]
    sums = np.stack([_sums(column, mask) for column, mask in zip(columns, known, strict=True)], axis=1)  # [P, C, 3]
    resampled = resampled_sums(sums.reshape(len(sums), 3 * len(columns)), num_resamples, seed)
    resampled = resampled.reshape(num_resamples, len(columns), 3)
    return [
        _difference(
            sums[:, at], resampled[:, at], num_problems=int(mask.sum()), num_in_ratio=int((sums[:, at, 1] != 0).sum())
        )
        for at, mask in enumerate(known)
    ]


def _sums(column: Floats, known: Bools) -> Floats:
    """What each problem contributes, [P, 3]: second minus first, first, one; zeros where a side is not known.

    The excess is summed rather than both sides: equals then differ by exactly 0, whatever the order of summation.
    """
    ones = np.ones(len(known))
    return np.where(known, np.stack([column[1] - column[0], column[0], ones]), 0.0).T


def _difference(sums: Floats, resampled: Floats, *, num_problems: int, num_in_ratio: int) -> _Difference:
    """From what each problem contributes, [P, 3], and what each resample comes to, [R, 3]."""
    whole = sums.sum(axis=0)
    excess, first, count = whole
    left_out = whole - sums if len(sums) <= MOST_LEFT_OUT else None
    ratio, ratios = (1.0 + divide(totals[:, 0], totals[:, 1]) for totals in (whole[np.newaxis], resampled))
    mean, means = (divide(totals[:, 0], totals[:, 2]) for totals in (whole[np.newaxis], resampled))
    return _Difference(
        num_problems,
        (float(first / count), float((first + excess) / count)) if num_problems else (None, None),
        estimated(
            float(mean[0]), means, num_problems, None if left_out is None else divide(left_out[:, 0], left_out[:, 2])
        ),
        estimated(
            float(ratio[0]),
            ratios,
            num_in_ratio,
            None if left_out is None else 1.0 + divide(left_out[:, 0], left_out[:, 1]),
        ),
    )


def _accuracy_difference(found: IntervalEstimate, differences: Floats) -> IntervalEstimate:
    """With the interval of shares, which holds on few problems too; none where no intervals were asked for."""
    bounds = None if found.lower is None else difference_bounds(differences)
    return found if bounds is None else IntervalEstimate(found.value, *bounds)


def _changed(pairs: Pairs, at: int, change: Change) -> ChangedProblem:
    return ChangedProblem(
        problem_id=pairs.problem_ids[at],
        change=change,
        first_answer=pairs.first.answers[at],
        second_answer=pairs.second.answers[at],
        reference=pairs.references[at],
    )


def _cost(name: str, found: _Difference) -> CostDifference:
    first, second = found.means
    return CostDifference(
        name=name,
        num_problems=found.num_problems,
        first=first,
        second=second,
        difference=found.difference,
        ratio=found.ratio,
    )


def _accuracy(label: str, correct: Floats) -> SideAccuracy:
    num_correct = int(correct.sum())
    lower, upper = accuracy_interval(num_correct, len(correct)) or (None, None)
    accuracy = num_correct / len(correct) if len(correct) else None
    return SideAccuracy(label=label, num_correct=num_correct, accuracy=accuracy, lower=lower, upper=upper)


def _check(pairs: Pairs) -> None:
    count, first, second = len(pairs.problem_ids), pairs.first, pairs.second
    if len(set(pairs.problem_ids)) != count:
        raise ValueError("problem ids repeat")
    if list(first.costs) != list(second.costs):
        raise ValueError(f"the runs' costs differ: {', '.join(first.costs)}; {', '.join(second.costs)}")
    lengths = {"references": len(pairs.references)}
    for side in (first, second):
        lengths |= {f"{side.label}: {name}": len(values) for name, values in side.costs.items()}
        lengths |= {f"{side.label}: correct": len(side.correct), f"{side.label}: answers": len(side.answers)}
    if wrong := [f"{name} has {length}" for name, length in lengths.items() if length != count]:
        raise ValueError(f"there are {count} problems, but {', '.join(wrong)}")
