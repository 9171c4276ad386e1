"""The search tree of one problem: its steps, what was asked and granted, what was chosen, kept and pruned.

The page holds a tree as columns, because names repeat: entry k of each list is node k + 1 (node 0 is the question).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.comparison.stored_samples import problem_of
from jobs.reporting.choices import Replayer
from records.path import FinishReason, Path, PrmScore
from records.request import ReplyKind
from records.rows import ProblemRow, RequestRow, Status, StepRow
from scaling.answers.stated import answer_of
from scaling.search.journal import parent_of, recorded_leaf, recorded_score
from scaling.search.probes import passing_probes

PRUNED, CANDIDATE, CHOSEN = 0, 1, 2
"""What became of a step: on no path that competed for the answer, on one, on the chosen one."""
LAST_REQUESTS = 12
"""Of one problem, that the page shows."""
DIGITS = 4
"""Significant ones of a probability: more than a PRM has."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A sample that was brought to its end.

    Attributes:
        node_id: its last step.
        answer: as extracted; None where it states none.
        score: the PRM's view of it; None where nobody asked.
    """

    node_id: int
    answer: str | None
    score: PrmScore | None


@dataclass(frozen=True, slots=True)
class Tree:
    """One problem, as far as it was searched.

    Attributes:
        problem_id: its id.
        row: its row of `problems`; None while it is open.
        steps: by node.
        requests: by number.
        leaves: samples that have ended, by node.
        chosen: leaf of the chosen path; None where there is none, or nobody knows.
        kept: nodes of the paths that competed for the answer; None where nobody knows.
        chosen_score: the PRM's view of the chosen path.
    """

    problem_id: str
    row: ProblemRow | None
    steps: tuple[StepRow, ...]
    requests: tuple[RequestRow, ...]
    leaves: tuple[Leaf, ...]
    chosen: int | None
    kept: frozenset[int] | None
    chosen_score: PrmScore | None

    @property
    def pruned_tokens(self) -> int | None:
        """Generated tokens that no candidate contains; None where nobody knows the candidates."""
        if self.kept is None:
            return None
        return sum(step.generated_tokens for step in self.steps if step.node_id not in self.kept)


def tree_of(
    problem_id: str,
    row: ProblemRow | None,
    steps: Sequence[StepRow],
    requests: Sequence[RequestRow],
    replayer: Replayer,
) -> Tree:
    """The tree that the rows of one problem record.

    Args:
        problem_id: whose.
        row: its row; None while it is open.
        steps: its rows of `steps`, in any order.
        requests: its rows of `requests`, in any order.
        replayer: knows the strategy.
    """
    steps = sorted(steps, key=lambda step: step.node_id)
    requests = sorted(requests, key=lambda request: request.request)
    choice = None
    failed = any(request.reply_kind == ReplyKind.FAILED.value for request in requests)
    if row is not None and row.status is not Status.FAILED and not failed:
        choice = replayer.choice(problem_of(row), steps, requests)
    kept = None if choice is None else frozenset(node.node_id for path in choice.candidates for node in path.lineage)
    path = choice.path if choice else None
    return Tree(
        problem_id=problem_id,
        row=row,
        steps=tuple(steps),
        requests=tuple(requests),
        leaves=_leaves(steps, _later_scores(requests)),
        chosen=path.node_id if path else None,
        kept=kept,
        chosen_score=path.score if path else None,
    )


def _later_scores(requests: Iterable[RequestRow]) -> dict[int, PrmScore]:
    """What "score" requests say of paths, the last one of each."""
    found: dict[int, PrmScore] = {}
    for request in requests:
        if request.kind != "score":
            continue
        for node, *quantiles in zip(request.node_ids, request.p_lower, request.p_median, request.p_upper, strict=False):
            score = recorded_score(*quantiles)
            if score is not None:
                found[node] = score
    return found


def _leaves(steps: Sequence[StepRow], later: Mapping[int, PrmScore]) -> tuple[Leaf, ...]:
    paths = {0: Path(0, None, "")}
    leaves = []
    passing = passing_probes(steps)
    for step in steps:
        path = paths[step.node_id] = recorded_leaf(parent_of(step, paths), [step])
        if path.finished and step.node_id not in passing:
            answer = answer_of(path) if step.answer is None else step.answer or None
            leaves.append(Leaf(step.node_id, answer, path.score or later.get(step.node_id)))
    return tuple(leaves)


def tree_json(tree: Tree) -> dict[str, Any]:
    """What the page holds of a tree."""
    row = tree.row
    later = _later_scores(tree.requests)
    return {
        "id": tree.problem_id,
        "question": row.question if row else None,
        "reference": row.reference if row else None,
        "answer": row.answer if row else None,
        "status": row.status.value if row else "open",
        "correct": row.correct if row else None,
        "abstained": row.abstained if row else None,
        "error": row.error if row else None,
        "p": _quantiles(row.p_lower, row.p_median, row.p_upper) if row else _score(later.get(0)),
        "answer_p": _quantiles(row.answer_p_lower, row.answer_p_median, row.answer_p_upper) if row else None,
        "spent": _spent(tree),
        "chosen": tree.chosen,
        "known": tree.kept is not None,
        "steps": _steps(tree, later),
        "answers": {leaf.node_id: leaf.answer for leaf in tree.leaves},
        "num_requests": len(tree.requests),
        "requests": [_request(request) for request in tree.requests[-LAST_REQUESTS:]],
    }


def _spent(tree: Tree) -> dict[str, Any]:
    row = tree.row
    return {
        "samples": row.num_samples if row else sum(len(request.child_ids) for request in tree.requests),
        "tokens": row.generated_tokens if row else sum(step.generated_tokens for step in tree.steps),
        "pruned": row.pruned_tokens if row else None,
        "flops": row.flops if row else None,
        "seconds": round(row.wall_seconds, 3) if row else None,
        "usd": row.usd if row else None,
    }


def _steps(tree: Tree, later: Mapping[int, PrmScore]) -> dict[str, list[Any]]:
    chosen_path = _lineage(tree)
    kept = tree.kept or frozenset()
    columns: dict[str, list[Any]] = {name: [] for name in _STEP_COLUMNS}
    for step in tree.steps:
        own = _quantiles(step.p_lower, step.p_median, step.p_upper) or _score(later.get(step.node_id))
        columns["parent"].append(step.parent_id)
        columns["text"].append(step.text)
        columns["thought"].append(step.thought_chars or 0)
        columns["p"].append(own)
        columns["tokens"].append(step.generated_tokens)
        columns["finish"].append(_FINISH.index(step.finish_reason) if step.finish_reason in _FINISH else -1)
        fate = CHOSEN if step.node_id in chosen_path else CANDIDATE if step.node_id in kept else PRUNED
        columns["fate"].append(fate)
    return columns


_STEP_COLUMNS = ("parent", "text", "thought", "p", "tokens", "finish", "fate")
_FINISH = tuple(reason.value for reason in FinishReason)
"""The page knows finish reasons by their number."""


def finish_reasons() -> tuple[str, ...]:
    """Name of each finish reason, by the number that a tree holds."""
    return _FINISH


def _lineage(tree: Tree) -> frozenset[int]:
    """The nodes of the chosen path."""
    found, node = set(), tree.chosen or 0
    while node:
        found.add(node)
        node = tree.steps[node - 1].parent_id
    return frozenset(found)


def _request(request: RequestRow) -> dict[str, Any]:
    granted = [tokens for tokens in request.granted_tokens if tokens]
    return {
        "number": request.request,
        "kind": request.kind,
        "paths": len(request.node_ids),
        "samples": sum(request.num_samples),
        "until": request.until,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "reply": request.reply_kind,
        "delivered": len(request.p_median) if request.kind == "score" else len(request.child_ids),
        "granted": len(granted),
        "granted_min": min(granted, default=None),
    }


def _score(score: PrmScore | None) -> list[float] | float | None:
    return None if score is None else _quantiles(score.lower, score.median, score.upper)


def _quantiles(lower: float | None, median: float | None, upper: float | None) -> list[float] | float | None:
    """Three numbers; one where all are the same; None where one is unknown."""
    if lower is None or median is None or upper is None:
        return None
    low, mid, high = (float(f"{value:.{DIGITS}g}") for value in (lower, median, upper))
    return mid if low == mid == high else [low, mid, high]
