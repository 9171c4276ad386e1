"""What abstaining came to: how much a run answers, how much of that is wrong, and what other thresholds would buy.

Read from the rows, not from the totals of the commits, because the curve needs every answer's own probability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.writer.parts import read_columns
from records.path import PrmScore
from records.run_folder.commits import Part
from records.run_folder.store import Store
from scaling.statistics.accuracy import accuracy_interval
from scaling.statistics.risk_coverage import risk_coverage
from scaling.uncertainty.abstention import probability_of
from scaling.uncertainty.aggregation import ScoreEstimate

_COLUMNS = ("answer", "answer_p_lower", "answer_p_median", "answer_p_upper", "correct", "abstained", "p_median")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskTarget:
    """What was promised of the answers that a run stands by (`answer.target_error`).

    Attributes:
        error: most wrong ones, as a share.
        level: how certain that is, if problems are drawn as those of the calibration were.
        run: of the calibration.
        drift_p: that question scores (or, without such, answers' probabilities) are drawn as they were there: the
            p-value of a Kolmogorov-Smirnov test; null where nothing can be compared.
        has_drifted: it is so small that the promise means little.
    """

    error: float
    level: float
    run: str
    drift_p: float | None
    has_drifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AbstentionSummary:
    """A run that abstains, as far as its rows go.

    Attributes:
        below: the threshold (`answer.abstain_below`, or what `answer.target_error` chose).
        estimate: what of the answers' probabilities is compared with it.
        answered: problems whose answer the run stands by.
        abstained: the others that have a row.
        graded: of the answered ones, those with a verdict.
        correct: of the graded ones.
        accuracy: correct / graded; null when nothing answered was graded.
        accuracy_lower: bounds of the 95% Wilson interval (`accuracy_upper` alike); null likewise.
        coverage: share answered of all graded problems: where the threshold lies on the curve; null without any.
        risk: 1 - accuracy, at that place; null likewise.
        aurc: area under risk against coverage over all thresholds, the smaller the better; null without a verdict.
        aurc_random: the same if the probabilities said nothing: the share of wrong answers among all.
        aurc_best: the same if every right answer were surer than every wrong one.
        target: what was promised; null where nothing was.
    """

    below: float
    estimate: str
    answered: int
    abstained: int
    graded: int
    correct: int
    accuracy: float | None
    accuracy_lower: float | None
    accuracy_upper: float | None
    coverage: float | None
    risk: float | None
    aurc: float | None
    aurc_random: float | None
    aurc_best: float | None
    target: RiskTarget | None = None


class AbstentionReader:
    """Reads what abstaining comes to, again and again: each row once.

    Args:
        store: of the run.
        recipe: as in the manifest.
    """

    def __init__(self, store: Store, recipe: Mapping[str, Any]) -> None:
        self._store = store
        section = recipe.get("answer")
        self._section = section if isinstance(section, Mapping) and threshold_of(section) is not None else None
        self._num_read = 0
        self._rows: list[dict[str, Any]] = []

    def read(self, parts: Sequence[Part]) -> AbstentionSummary | None:
        """The summary of the rows in `parts`, all visible ones of `problems` in commit order.

        None for a run that never abstains, or has no rows yet.

        Raises:
            StoreFailed: a part is gone or not what was committed.
        """
        if self._section is None:
            return None
        start = 0
        for part in parts:
            # A part that took the place of others begins with rows that are known.
            known, start = max(0, self._num_read - start), start + part.rows
            if known < part.rows:
                rows = read_columns(self._store, part, _COLUMNS).slice(known).to_pylist()
                self._rows += [row for row in rows if row["abstained"] is not None]
                self._num_read = start
        if not self._rows:
            return None
        return summarize_abstention(self._rows, self._section)


def threshold_of(section: Mapping[str, Any]) -> float | None:
    """`AnswerSection.threshold` of an answer section as it is recorded; None: the run stands by every answer."""
    risk = section.get("risk")
    threshold = risk.get("threshold") if isinstance(risk, Mapping) else section.get("abstain_below")
    return float(threshold) if threshold is not None else None


def summarize_abstention(rows: Sequence[Mapping[str, Any]], section: Mapping[str, Any]) -> AbstentionSummary:
    """The summary of rows of `problems`, each with a decision.

    Args:
        rows: with the columns of `problems`.
        section: the recipe's answer section, as it is recorded; with a threshold.
    """
    below, estimate = threshold_of(section) or 0.0, ScoreEstimate(section["estimate"])
    answered = [row for row in rows if not row["abstained"]]
    graded = [row for row in answered if row["correct"] is not None]
    num_correct = sum(row["correct"] for row in graded)
    interval = accuracy_interval(num_correct, len(graded))
    lower, upper = interval if interval is not None else (None, None)
    verdicts = [row for row in rows if row["correct"] is not None]
    coverage = risk = aurc = aurc_random = aurc_best = None
    if verdicts:
        right = [row["correct"] for row in verdicts]
        curve = risk_coverage([_probability(row, estimate) for row in verdicts], right)
        coverage, risk = curve.at(below)
        aurc, aurc_random = curve.mean_risk, 1 - sum(right) / len(right)
        order = [-rank / len(right) for rank in range(len(right))]
        aurc_best = risk_coverage(order, sorted(right, reverse=True)).mean_risk
    return AbstentionSummary(
        below=below,
        estimate=estimate.value,
        answered=len(answered),
        abstained=len(rows) - len(answered),
        graded=len(graded),
        correct=num_correct,
        accuracy=num_correct / len(graded) if graded else None,
        accuracy_lower=lower,
        accuracy_upper=upper,
        coverage=coverage,
        risk=risk,
        aurc=aurc,
        aurc_random=aurc_random,
        aurc_best=aurc_best,
        target=_target(rows, section, estimate),
    )


def _target(
    rows: Sequence[Mapping[str, Any]], section: Mapping[str, Any], estimate: ScoreEstimate
) -> RiskTarget | None:
    risk = section.get("risk")
    if not isinstance(risk, Mapping):
        return None
    from scaling.uncertainty.risk_control import DRIFTED_BELOW, drift  # scipy: only where there is something to test

    before = risk["question_scores"]
    now = [row["p_median"] for row in rows]
    if before is None or None in now:
        before, now = risk["confidences"], [_probability(row, estimate) for row in rows]
    p = drift(before, now, risk["num_problems"])
    drifted = p is not None and p < DRIFTED_BELOW
    return RiskTarget(error=risk["target_error"], level=risk["level"], run=risk["run"], drift_p=p, has_drifted=drifted)


def _probability(row: Mapping[str, Any], estimate: ScoreEstimate) -> float:
    quantiles = (row["answer_p_lower"], row["answer_p_median"], row["answer_p_upper"])
    answer_p = None if None in quantiles else PrmScore(*quantiles)
    return probability_of(row["answer"], answer_p, estimate)
