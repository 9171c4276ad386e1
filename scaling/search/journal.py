"""From delivered requests to rows of the `steps` and `requests` tables, and back."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from records.bounded import quoted
from records.calls import Sampled, Scored
from records.failure import RunMismatch
from records.path import FinishReason, Path, Phases, PrmScore
from records.request import Deliver, Expand, Next, Reply, ReplyKind, Score, is_each
from records.rows import RequestRow, StepRow
from scaling.answers.classes import AnswerClasses
from scaling.search.slot import Slot
from scaling.search.tasks import ChildName, SampleTask

_T = TypeVar("_T")
NEXT, CANCEL = "next", "cancel"
"""Kinds of rows beside "expand" and "score"; no request is for a "cancel": it has what was sampled of children that the
strategy needed no more."""


class Child(NamedTuple):
    """A recorded child: its steps, and the name that it was sampled under."""

    rows: Sequence[StepRow]
    name: ChildName


def request_hash(request: Expand | Score | Next) -> str:
    """Fingerprint of a request's content; a replayed strategy must ask for the same."""
    content: tuple[object, ...]
    if isinstance(request, Next):
        content = ("next",)
    elif isinstance(request, Score):
        content = ("score", tuple(path.node_id for path in request.paths))
    else:
        parents = tuple((path.node_id, num_samples) for path, num_samples in request.parents)
        bounds = (request.until.value, request.max_tokens, request.max_path_tokens)
        content = ("expand", parents, bounds, request.scoring.value, request.temperature, request.top_logprobs)
        if request.max_thought_tokens is not None:
            content = (*content, "thought", request.max_thought_tokens)
        if request.forced_text:  # fingerprints from before there were any are as they were
            content = (*content, "forced", request.forced_text)
        if request.deliver is not Deliver.WHOLE:  # hashes from before there was another way are as they were
            content = (*content, request.deliver.value)
    return hashlib.blake2b(repr(content).encode(), digest_size=16).hexdigest()


def request_row(
    problem_id: str, number: int, request: Expand | Score | Next, reply: Reply, slots: Sequence[Slot] = ()
) -> RequestRow:
    """The row of one request and its reply.

    Args:
        problem_id: of the problem.
        number: of the request within the problem.
        request: what was asked.
        reply: what was delivered.
        slots: all children of a request that is delivered whole, the delivered ones of another.
    """
    expand = request if isinstance(request, Expand) else None
    asked: Sequence[Path] = ()
    if expand is not None:
        asked = [path for path, _ in expand.parents]
    elif isinstance(request, Score):
        asked = request.paths
    scored = [slot.scored for slot in slots if slot.scored is not None] if isinstance(request, Score) else []
    scores = [path.score for path in reply.paths]
    each = is_each(request)
    return RequestRow(
        problem_id=problem_id,
        request=number,
        request_hash=request_hash(request),
        kind="expand" if expand else NEXT if each else "score",
        node_ids=tuple(path.node_id for path in asked),
        num_samples=tuple(num_samples for _, num_samples in expand.parents) if expand else (),
        until=expand.until.value if expand else None,
        max_tokens=expand.max_tokens if expand else None,
        scoring=expand.scoring.value if expand else None,
        temperature=expand.temperature if expand else None,
        granted_tokens=() if isinstance(request, Score) else tuple(slot.granted_tokens for slot in slots),
        reply_kind=reply.kind.value,
        child_ids=() if isinstance(request, Score) else tuple(path.node_id for path in reply.paths),
        p_lower=tuple(score.lower if score else None for score in scores),
        p_median=tuple(score.median if score else None for score in scores),
        p_upper=tuple(score.upper if score else None for score in scores),
        prm_tokens=sum(result.prm_tokens for result in scored),
        prm_cached_tokens=sum(result.cached_tokens for result in scored),
        prm_truncated=any(result.truncated for result in scored),
        worth=expand.priority if expand else None,
        forced_text=expand.forced_text or None if expand else None,
        child_numbers=tuple(slot.task.child for slot in slots) if each else None,
        num_open=reply.num_open if each else None,
    )


def cancel_row(problem_id: str, number: int, leaves: Sequence[Path], slots: Sequence[Slot]) -> RequestRow:
    """The row of what was sampled of some children when the strategy needed them no more."""
    row = request_row(problem_id, number, Next(), Reply(ReplyKind.FULL, tuple(leaves)), slots)
    return replace(row, kind=CANCEL, request_hash="")


def recorded_reply(
    request: Expand | Score | Next, row: RequestRow, children: Sequence[Child], open_parents: Mapping[int, Path]
) -> Reply:
    """The reply that `row` records, as it was delivered.

    Args:
        request: the one that the strategy made just now, equal to the recorded one.
        row: of the request.
        children: that it delivered; none for a `Score`.
        open_parents: what the children that are delivered one by one continue, by node.
    """
    kind = ReplyKind(row.reply_kind)
    if isinstance(request, Score):
        scores = [recorded_score(*quantiles) for quantiles in zip(row.p_lower, row.p_median, row.p_upper, strict=True)]
        paths = tuple(replace(path, score=score) for path, score in zip(request.paths, scores, strict=True))
        return Reply(kind, paths)
    each = is_each(request)
    parents = (
        {path.node_id: path for path, _ in request.parents}
        if isinstance(request, Expand) and not each
        else open_parents
    )
    leaves = tuple(recorded_leaf(parent_of(child.rows[0], parents), child.rows) for child in children)
    return Reply(kind, leaves, tuple(child.name for child in children) if each else (), row.num_open or 0)


def recorded_leaf(parent: Path, rows: Sequence[StepRow]) -> Path:
    """The path that one sample's step rows record, as a continuation of `parent`."""
    path = parent
    for row in rows:
        path = Path(
            row.node_id,
            path,
            row.text,
            row.token_ids,
            FinishReason(row.finish_reason),
            row.logprob_sum,
            recorded_score(row.p_lower, row.p_median, row.p_upper),
            row.token_confidences,
            row.sampled_logprob_sum,
            phases=recorded_phases(row),
        )
    return path


def recorded_phases(row: StepRow) -> Phases | None:
    """What of a step is thought and what is answer; None where the run does not tell."""
    found = phases_of(row.thinking_tokens, row.thought_chars, row.thought_open)
    return found and found._replace(is_closed=bool(row.thought_closed), num_prolonged=row.thought_prolonged or 0)


def phases_of(thinking_tokens: int | None, thought_chars: int | None, thought_open: object) -> Phases | None:
    """The same of three columns, without what a budget did."""
    if thinking_tokens is None or thought_chars is None:
        return None
    return Phases(thinking_tokens, thought_chars, bool(thought_open))


def recall_answers(answers: AnswerClasses, root: Path, steps: Sequence[StepRow]) -> None:
    """Tell what some rows say of the answers of their problem; nothing where they are from before they did.

    Raises:
        RunMismatch: a step follows one that has no row.
    """
    nodes = {0: root}
    for row in sorted(steps, key=lambda row: row.node_id):
        path = nodes[row.node_id] = recorded_leaf(parent_of(row, nodes), [row])
        if row.answer is not None:
            answers.recall(path.answer_text, row.answer or None, row.answer_class)


def parent_of(row: StepRow, nodes: Mapping[int, _T]) -> _T:
    """What is known of the node that a step follows.

    Raises:
        RunMismatch: that has no row.
    """
    if row.parent_id not in nodes:
        raise RunMismatch(
            f"node {row.node_id} of {quoted(row.problem_id)} follows node {row.parent_id}, which has no row"
        )
    return nodes[row.parent_id]


def recorded_score(lower: float | None, median: float | None, upper: float | None) -> PrmScore | None:
    """The PRM's view that three columns hold; None where nobody asked."""
    return None if lower is None or median is None or upper is None else PrmScore(lower, median, upper)


class Stated(NamedTuple):
    """What a sample states, as extracted, and what that is counted as; as the columns of the same meaning."""

    answer: str | None
    answer_class: str | None


def step_rows(
    task: SampleTask,
    nodes: Sequence[Path],
    sampled: Sampled,
    scored: Scored | None,
    *,
    replica: str,
    prm_replica: str | None,
    stated: Stated,
) -> list[StepRow]:
    """The rows of one sample's steps; what belongs to the whole sample stands on its first or last row."""
    depth_before = task.parent.depth
    rows = []
    for index, node in enumerate(nodes):
        first, last = index == 0, index == len(nodes) - 1
        score, phases = node.score, node.phases
        rows.append(
            StepRow(
                problem_id=task.problem_id,
                request=task.request,
                node_id=node.node_id,
                parent_id=task.parent.node_id if first else nodes[index - 1].node_id,
                depth=depth_before + index + 1,
                text=node.text,
                token_ids=node.token_ids,
                logprob_sum=node.logprob_sum,
                token_confidences=node.token_confidences,
                sampled_logprob_sum=node.sampled_logprob_sum,
                finish_reason=str(node.finish_reason),
                p_lower=score.lower if score else None,
                p_median=score.median if score else None,
                p_upper=score.upper if score else None,
                generated_tokens=node.sampled_tokens,
                prompt_tokens=sampled.prompt_tokens if first else 0,
                cached_tokens=sampled.cached_tokens if first else 0,
                prm_tokens=scored.prm_tokens if scored and last else 0,
                prm_cached_tokens=scored.cached_tokens if scored and last else 0,
                prm_truncated=scored is not None and scored.truncated and last,
                seed=task.seed,
                replica=replica,
                prm_replica=prm_replica,
                queued_seconds=sampled.queued_s,
                run_seconds=sampled.run_s,
                answer=stated.answer if last else None,
                answer_class=stated.answer_class if last else None,
                thinking_tokens=phases.thinking_tokens if phases else None,
                answer_tokens=node.sampled_tokens - phases.thinking_tokens if phases else None,
                thought_chars=phases.thought_chars if phases else None,
                thought_open=phases.is_open if phases else None,
                thought_closed=phases.is_closed if phases else None,
                thought_prolonged=phases.num_prolonged if phases else None,
            )
        )
    return rows
