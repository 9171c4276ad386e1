"""What abstaining came to: how much a run answers, how much of that is wrong, and what other thresholds would buy.

Read from the rows, not from the totals of the commits, because the curve needs every answer's own probability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actors.parts import read_columns
from records.commits import Part
from records.path import PrmScore
from records.store import Store
from scaling.abstention import probability_of, risk_coverage
from scaling.aggregation import Estimate
from scaling.statistics import accuracy_interval

_COLUMNS = ("answer", "answer_p_lower", "answer_p_median", "answer_p_upper", "correct", "abstained")


@dataclass(frozen=True, slots=True, kw_only=True)
class AbstentionSummary:
    """A run that abstains, as far as its rows go.

    Attributes:
        below: the threshold (`answer.abstain_below`).
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


def read_abstention(store: Store, parts: Sequence[Part], recipe: Mapping[str, Any]) -> AbstentionSummary | None:
    """The summary of the rows in `parts` of `problems`; None for a run that never abstains, or has no rows yet.

    Args:
        store: of the run.
        parts: the visible ones.
        recipe: as in the manifest.

    Raises:
        StoreFailed: a part is gone or not what was committed.
    """
    section = recipe.get("answer")
    below = section.get("abstain_below") if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping) or below is None or not parts:
        return None
    table = pa.concat_tables([read_columns(store, part, _COLUMNS) for part in parts])
    rows = [row for row in table.to_pylist() if row["abstained"] is not None]
    return summarize_abstention(rows, below, Estimate(section["estimate"])) if rows else None


def summarize_abstention(rows: Sequence[Mapping[str, Any]], below: float, estimate: Estimate) -> AbstentionSummary:
    """The summary of rows of `problems`, each with a decision."""
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
    )


def _probability(row: Mapping[str, Any], estimate: Estimate) -> float:
    quantiles = (row["answer_p_lower"], row["answer_p_median"], row["answer_p_upper"])
    answer_p = None if None in quantiles else PrmScore(*quantiles)
    return probability_of(row["answer"], answer_p, estimate)
