"""The table of problems as the page holds it: columns, compressed."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.reporting.embedding import packed
from jobs.reporting.source import ReportSource
from records.rows import ProblemRow

TEXT_CHARS = 120
"""Of a question's beginning, to be searched and to be shown where there is no tree."""
ANSWER_CHARS = 200
FIRST_PACKED = 5000
"""Lines from which the size of all is guessed."""


def listing(source: ReportSource, places: Mapping[str, tuple[int, int]], ids: Sequence[str]) -> dict[str, list[Any]]:
    """Columns over problems, sorted by id.

    Args:
        source: the run.
        places: problem id -> (chunk, place) of its tree, where it is in the page.
        ids: the problems that are listed.
    """
    rows = {row.problem_id: row for row in source.rows}
    lines = [_line(problem_id, rows.get(problem_id), places.get(problem_id, (-1, -1))) for problem_id in sorted(ids)]
    return {name: [line[name] for line in lines] for name in _line("", None, (-1, -1))}


def _line(problem_id: str, row: ProblemRow | None, place: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": problem_id,
        "text": row.question[:TEXT_CHARS] if row else None,
        "status": row.status.value if row else "open",
        "correct": row.correct if row else None,
        "abstained": row.abstained if row else None,
        "answer": row.answer[:ANSWER_CHARS] if row and row.answer is not None else None,
        "p": _short(row.p_median if row else None),
        "answer_p": _short(row.answer_p_median if row else None),
        "samples": row.num_samples if row else None,
        "tokens": row.generated_tokens if row else None,
        "flops": _short(row.flops if row else None),
        "seconds": round(row.wall_seconds, 3) if row else None,
        "usd": _short(row.usd if row else None),
        "chunk": place[0],
        "place": place[1],
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def fitting_ids(source: ReportSource, max_bytes: int) -> list[str]:
    """As many problems, by precedence, as have room in a table of that size."""
    ids = list(source.order)
    few = ids[:FIRST_PACKED]
    if len(ids) > len(few):  # not all of very many, only to find out that they have no room
        few_bytes = len(packed(listing(source, dict.fromkeys(few, (99, 99)), few)))
        ids = ids[: int(2 * len(few) * max_bytes / few_bytes)]
    while ids and (size := len(packed(listing(source, dict.fromkeys(ids, (99, 99)), ids)))) > max_bytes:
        ids = ids[: int(len(ids) * 0.95 * max_bytes / size)]
    return ids
