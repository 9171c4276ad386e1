"""How well a PRM's scores in a run agree with what came out, in that very run.

Each row is a scored path (or the bare question) with Z right outcomes of N: a chosen path has one outcome, a question
as many as it has whole samples. Rows of one problem depend on each other, so intervals are by bootstrap over problems.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from records.path import PrmScore
from scaling.arrays import Floats
from scaling.calibration.metrics import (
    Rows,
    auc_of_trials,
    brier,
    brier_above_floor,
    calibration_error,
    equal_width_bins,
    signed_error,
    success_rate,
)
from scaling.calibration.observed import Observed
from scaling.calibration.reliability import ReliabilityBin, reliability
from scaling.statistics.bootstrap import IntervalEstimate, draw_resamples, estimate

_NUM_RESAMPLES = 1000
_SLACK = 1e-9
"""What rounding may do to a count."""


@dataclass(frozen=True, slots=True)
class ScoredOutcome:
    """A score, and what came of it.

    Attributes:
        problem_id: whose.
        score: the PRM's quantiles.
        successes: right outcomes, Z.
        trials: graded outcomes, N, at least 1.
    """

    problem_id: str
    score: PrmScore
    successes: int
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Where observed shares lie against the PRM's interval, as shares of the rows; the three add up to 1.

    An observed share is a multiple of 1/N, so the ends of the interval are moved outwards to the nearest such multiple:
    what only the grid puts outside counts as within.

    Attributes:
        below: under the lower quantile.
        within: from there to the upper one.
        above: over it.
    """

    below: IntervalEstimate
    within: IntervalEstimate
    above: IntervalEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCheck:
    """Scores against outcomes.

    Attributes:
        num_rows: scored paths.
        num_problems: that they belong to.
        num_trials: outcomes.
        observed: mean of Z/N.
        brier: mean((median - Z/N)^2).
        brier_above_floor: the same without what chance alone makes of it; null where every N is 1.
        calibration_error: expected calibration error over ten bins of equal width.
        signed_error: mean(median - Z/N); above 0 is over-confident.
        auc: chance that a right outcome has a higher score than a wrong one.
        bins: of the reliability diagram.
        coverage: of the interval; null where the PRM gives one number only, or no row has several outcomes.
    """

    num_rows: int
    num_problems: int
    num_trials: int
    observed: IntervalEstimate
    brier: IntervalEstimate
    brier_above_floor: IntervalEstimate
    calibration_error: IntervalEstimate
    signed_error: IntervalEstimate
    auc: IntervalEstimate
    bins: tuple[ReliabilityBin, ...]
    coverage: Coverage | None


def check_scores(outcomes: Sequence[ScoredOutcome], *, seed: int) -> ScoreCheck:
    """Compare scores with outcomes.

    Args:
        outcomes: at least one.
        seed: of the bootstrap.
    """
    observed = Observed(
        problem_ids=[row.problem_id for row in outcomes],
        successes=np.array([row.successes for row in outcomes], dtype=np.int64),
        trials=np.array([row.trials for row in outcomes], dtype=np.int64),
        terminal=np.zeros(len(outcomes), dtype=np.bool_),
        depth=np.zeros(len(outcomes), dtype=np.int64),
    )
    rows = Rows.of(observed)
    median = np.array([row.score.median for row in outcomes], dtype=np.float64)
    multiplicity = draw_resamples(rows.clusters.count, _NUM_RESAMPLES, seed)
    return ScoreCheck(
        num_rows=len(outcomes),
        num_problems=rows.clusters.count,
        num_trials=int(rows.trials.sum()),
        observed=estimate(success_rate(rows), multiplicity),
        brier=estimate(brier(rows, median), multiplicity),
        brier_above_floor=estimate(brier_above_floor(rows, median), multiplicity),
        calibration_error=estimate(calibration_error(rows, median, equal_width_bins(median)), multiplicity),
        signed_error=estimate(signed_error(rows, median), multiplicity),
        auc=estimate(auc_of_trials(rows, median), multiplicity),
        bins=reliability(observed, median, num_resamples=_NUM_RESAMPLES, seed=seed),
        coverage=_coverage(outcomes, rows, multiplicity),
    )


def _coverage(outcomes: Sequence[ScoredOutcome], rows: Rows, multiplicity: Floats) -> Coverage | None:
    several = rows.trials > 1
    lower = np.array([row.score.lower for row in outcomes])
    upper = np.array([row.score.upper for row in outcomes])
    if not several.any() or (lower == upper).all():
        return None
    kept = rows.where(several)
    below = kept.successes < np.floor(lower[several] * kept.trials + _SLACK)
    above = kept.successes > np.ceil(upper[several] * kept.trials - _SLACK)
    return Coverage(
        below=estimate(kept.mean(below.astype(np.float64)), multiplicity),
        within=estimate(kept.mean((~below & ~above).astype(np.float64)), multiplicity),
        above=estimate(kept.mean(above.astype(np.float64)), multiplicity),
    )
