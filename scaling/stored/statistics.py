"""What a replayed setting came to, beside the run that it was replayed on, on the problems that are known in both.

Problems whose decisions left the stored tree are not a random choice of problems: they are often the hard ones. So
accuracy on the known ones stands beside the run's on the same problems, and beside what it would be if all unknown ones
were wrong, or right.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from scaling.arrays import Bools, Floats
from scaling.statistics.bootstrap import IntervalEstimate, draw_resamples, estimate, ratio_of_totals
from scaling.statistics.shares import mean_difference, mean_share

_NUM_RESAMPLES = 2000
UNKNOWN = IntervalEstimate(None, None, None)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Decided:
    """A setting, or the run itself, on P problems; arrays are [P], NaN where something is not known.

    Attributes:
        correct: 1 right, 0 wrong; a share where several orders were played.
        covered: a right answer is among the samples.
        abstained: it does not stand by the answer; NaN too where it never abstains.
        num_samples: taken.
        num_steps: of them.
        generated_tokens: likewise all kinds of tokens after it.
        thinking_tokens: of the generated ones; NaN where the run tells no thoughts.
        flops: of generator and PRM.
    """

    correct: Floats
    covered: Floats
    abstained: Floats
    num_samples: Floats
    num_steps: Floats
    generated_tokens: Floats
    thinking_tokens: Floats
    prompt_tokens: Floats
    cached_tokens: Floats
    pruned_tokens: Floats
    prm_tokens: Floats
    prm_cached_tokens: Floats
    flops: Floats


_MEANS = tuple(field.name for field in fields(Decided) if field.name not in ("correct", "covered", "abstained"))
"""Costs: means per problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """How far a setting could be replayed.

    Attributes:
        num_problems: that did not fail in the run.
        num_left: of those, the ones whose decisions left the stored tree.
        num_requests: decisions that were made, those included.
        first_left: what the first of them asked for; None where none left.
        num_left_at_once: of those that left, the ones that took no stored sample before.
    """

    num_problems: int
    num_left: int
    num_requests: int
    first_left: str | None
    num_left_at_once: int

    @property
    def left_problems(self) -> float:
        """Share of problems that are unknown."""
        return self.num_left / self.num_problems if self.num_problems else 0.0

    @property
    def left_requests(self) -> float:
        """Share of decisions that left the tree; a problem leaves it once."""
        return self.num_left / self.num_requests if self.num_requests else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a setting came to; every estimate has a 95% interval over problems, and is null where nothing is known.

    Attributes:
        num_known: problems that stayed in the stored tree.
        num_graded: of those, with a verdict here and in the run; the accuracies are over these.
        accuracy: share of right answers.
        accuracy_if_wrong: over all problems that have a verdict in the run, unknown ones counted as wrong; null where
            there is no verdict.
        accuracy_if_right: counted as right.
        run_accuracy: of the run, on the same graded problems.
        accuracy_difference: accuracy minus that, paired.
        coverage: share with a right answer among the samples.
        abstained: share of problems whose answer is not stood by.
        accuracy_answered: share of right answers among those that are stood by.
        means: cost -> mean per known problem.
        ratios: cost -> all of the known problems over all of the run's on the same, paired.
    """

    num_known: int
    num_graded: int
    accuracy: IntervalEstimate
    accuracy_if_wrong: float | None
    accuracy_if_right: float | None
    run_accuracy: IntervalEstimate
    accuracy_difference: IntervalEstimate
    coverage: IntervalEstimate
    abstained: IntervalEstimate
    accuracy_answered: IntervalEstimate
    means: Mapping[str, IntervalEstimate]
    ratios: Mapping[str, IntervalEstimate]


def standing(setting: Decided, run: Decided, left: Bools, *, seed: int) -> Standing:
    """Compare a setting with the run.

    Args:
        setting: on the P problems that did not fail in the run.
        run: what that came to, on the same.
        left: [P], whose decisions left the stored tree.
        seed: of the bootstrap; the same for all settings, so that they are resampled alike.
    """
    known = ~left
    multiplicity = draw_resamples(len(left), _NUM_RESAMPLES, seed)
    graded = known & ~np.isnan(setting.correct) & ~np.isnan(run.correct)

    def share(values: Floats, where: Bools) -> IntervalEstimate:
        return estimate(mean_share(np.where(where, values, np.nan)), multiplicity)

    def mean(values: Floats, where: Bools) -> IntervalEstimate:
        where = where & ~np.isnan(values)
        return _share(np.where(where, values, 0.0), where.astype(np.float64), multiplicity)

    answered = graded & (setting.abstained == 0.0)
    has_verdict = ~np.isnan(run.correct)
    return Standing(
        num_known=int(known.sum()),
        num_graded=int(graded.sum()),
        accuracy=share(setting.correct, graded),
        accuracy_if_wrong=_bound(setting.correct, has_verdict, 0.0),
        accuracy_if_right=_bound(setting.correct, has_verdict, 1.0),
        run_accuracy=share(run.correct, graded),
        accuracy_difference=estimate(mean_difference((setting.correct - run.correct)[graded]), multiplicity[:, graded]),
        coverage=share(setting.covered, known),
        abstained=share(setting.abstained, known),
        accuracy_answered=share(setting.correct, answered),
        means={name: mean(getattr(setting, name), known) for name in _MEANS},
        ratios={name: _ratio(getattr(setting, name), getattr(run, name), known, multiplicity) for name in _MEANS},
    )


def _share(numerator: Floats, denominator: Floats, multiplicity: Floats) -> IntervalEstimate:
    return estimate(ratio_of_totals(numerator, denominator), multiplicity) if denominator.any() else UNKNOWN


def _ratio(own: Floats, others: Floats, known: Bools, multiplicity: Floats) -> IntervalEstimate:
    known = known & ~np.isnan(own) & ~np.isnan(others)
    return _share(np.where(known, own, 0.0), np.where(known, others, 0.0), multiplicity)


def _bound(correct: Floats, has_verdict: Bools, unknown: float) -> float | None:
    values = correct[has_verdict]
    return float(np.where(np.isnan(values), unknown, values).mean()) if len(values) else None
