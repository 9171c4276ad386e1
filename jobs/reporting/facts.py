"""What the head of a page says of a run, and the groups of its failures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.writer.writer import FRESH_S
from jobs.scoring.abstention import AbstentionSummary, summarize_abstention, threshold_of
from jobs.scoring.summary import Summary, summarize
from records.rows import ProblemRow, Status
from records.run_folder.reader import Run

_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9a-f]{12,}|\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"")
_MAX_EXAMPLES = 20
"""Problems that are named of one group of failures."""
_MAX_GROUPS = 50
MAX_MESSAGE_CHARS = 1000


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures that say the same but for names and numbers.

    Attributes:
        message: of the first, at most `MAX_MESSAGE_CHARS` of it.
        num_problems: how many.
        problem_ids: of the first `_MAX_EXAMPLES`.
    """

    message: str
    num_problems: int
    problem_ids: tuple[str, ...]


def state_of(run: Run, *, now_s: float) -> str:
    """finished, running or stopped. `now_s` is seconds since 1970."""
    if run.finished:
        return "finished"
    lease = run.lease
    if lease is None or lease.released_at is not None or lease.age_s(now_s) > FRESH_S:
        return "stopped"
    return "running"


def summary_of(run: Run, rows: Sequence[ProblemRow]) -> Summary:
    """The same as `parsimony status` says."""
    return summarize(
        run.totals,
        run=run.uri,
        recipe=run.manifest.recipe,
        finished=run.finished,
        num_problems=run.manifest.num_problems,
        open_tokens=run.log.open_tokens,
        lost_tokens=run.lost_tokens,
        abstention=_abstention(run.manifest.recipe, rows),
    )


def _abstention(recipe: Mapping[str, Any], rows: Sequence[ProblemRow]) -> AbstentionSummary | None:
    section = recipe.get("answer")
    if not isinstance(section, Mapping) or threshold_of(section) is None:
        return None
    decided = [
        {
            "answer": row.answer,
            "answer_p_lower": row.answer_p_lower,
            "answer_p_median": row.answer_p_median,
            "answer_p_upper": row.answer_p_upper,
            "correct": row.correct,
            "abstained": row.abstained,
            "p_median": row.p_median,
        }
        for row in rows
        if row.abstained is not None
    ]
    return summarize_abstention(decided, section) if decided else None


def failure_groups(rows: Sequence[ProblemRow]) -> list[FailureGroup]:
    """Failed problems by message, the most frequent first; numbers, quoted names and addresses make no difference.

    At most `_MAX_GROUPS`.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row.status is Status.FAILED:
            message = row.error or "no message"
            groups.setdefault(_VARYING.sub("#", message), []).append((message, row.problem_id))
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0][0]))
    return [
        FailureGroup(
            group[0][0][:MAX_MESSAGE_CHARS], len(group), tuple(problem_id for _, problem_id in group[:_MAX_EXAMPLES])
        )
        for group in ordered[:_MAX_GROUPS]
    ]


def known_total(values: Sequence[float | None]) -> float | None:
    """The sum; None where one of them is unknown, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
