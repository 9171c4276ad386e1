"""The stored samples of one problem: from rows to whole samples, each with its scores, its cost and its answer."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from records.failure import InvalidInput
from records.path import FinishReason, Path
from records.problem import Problem
from records.request import Until
from records.rows import ProblemRecord, RequestRow, StepRow
from scaling.answers.classes import DEFAULT_POLICY, AnswerClasses, AnswerPolicy
from scaling.answers.stated import answer_of
from scaling.search.journal import CANCEL, NEXT, parent_of, recall_answers, recorded_leaf, recorded_score
from scaling.search.phases import thinking_tokens_of
from scaling.search.probes import passing_probes
from scaling.seeds import seed_for


def check_whole_samples(record: ProblemRecord, why: str) -> None:
    """Refuse a problem whose samples are not what whole samples of the bare question are, each as likely as the other.

    Args:
        record: of the problem.
        why: what needs such samples, for the message.

    Raises:
        InvalidInput: it was searched by steps, or some samples were cancelled: those that are there are the short ones.
    """
    name = f"problem {record.problem.problem_id!r}"
    for request in record.requests:
        if request.kind == CANCEL and request.child_ids:
            raise InvalidInput(
                f"{name}: {len(request.child_ids)} samples were cancelled once the rest had decided it, so those that "
                f"are there are the ones that finished first, which are the short ones; {why}. Draw samples for this "
                "with a strategy that waits for all of them (majority, best-of-n)"
            )
        if request.kind in (NEXT, CANCEL):
            continue
        if set(request.node_ids) != {0} or request.until not in (None, Until.END.value):
            raise InvalidInput(f"{name} was searched step by step; {why}")


class NotStored(InvalidInput):
    """A strategy asks for something that was not sampled."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What some calls took, in tokens; `prompt` and `prm` include their cached ones, `generated` its thinking ones.

    `thinking_tokens` is None where the run tells no thoughts.
    """

    generated_tokens: int = 0
    thinking_tokens: int | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prm_tokens: int = 0
    prm_cached_tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class StoredSample:
    """One whole sample.

    Attributes:
        path: its leaf, with the scores that were asked for.
        unscored: the same path as a strategy without a PRM sees it.
        cost: of sampling and scoring it.
        answer: as extracted; None where it states none.
        every_step_scored: all of its nodes have a score.
    """

    path: Path
    unscored: Path
    cost: Cost
    answer: str | None
    every_step_scored: bool


@dataclass(frozen=True, slots=True, eq=False)
class StoredProblem:
    """The samples of one problem.

    Attributes:
        root: the bare question, with its score where it was asked for.
        root_cost: of that score.
        samples: in child order.
        verdicts: answer as extracted -> whether it is right, for every answer of a sample and for None, which is no
            answer; null where nobody could tell.
    """

    problem_id: str
    root: Path
    root_cost: Cost
    samples: tuple[StoredSample, ...]
    verdicts: Mapping[str | None, bool | None]

    def order(self, run_seed: int, number: int) -> list[int]:
        """One order of the samples; 0 is the one that they were drawn in, others are named by run and problem."""
        order = list(range(len(self.samples)))
        if number > 0:
            random.Random(seed_for(run_seed, self.problem_id, "order", number)).shuffle(order)  # noqa: S311 (no secret)
        return order


def stored_problem(
    problem: Problem,
    steps: Sequence[StepRow],
    requests: Sequence[RequestRow],
    *,
    answers: AnswerClasses | None = None,
) -> StoredProblem:
    """The whole samples that the rows of one problem record, in child order, however they arrived; not graded yet.

    Args:
        problem: whose they are.
        steps: its rows of `steps`, by node.
        requests: its rows of `requests`, by number: a score of the bare question, or whole samples of it.
        answers: how its answers are read; None: as its rows say, else by the defaults.
    """
    if answers is None:
        answers = AnswerClasses(DEFAULT_POLICY)
        recall_answers(answers, Path(0, None, problem.question), steps)
    root, root_cost = Path(0, None, problem.question, answers=answers), Cost()
    samples: dict[tuple[int, int], StoredSample] = {}
    next_node = 1
    for request in requests:
        if request.kind == "score":
            root = replace(root, score=recorded_score(request.p_lower[0], request.p_median[0], request.p_upper[0]))
            root_cost = Cost(prm_tokens=request.prm_tokens, prm_cached_tokens=request.prm_cached_tokens)
        numbers = request.child_numbers or range(len(request.child_ids))
        for number, leaf in zip(numbers, request.child_ids, strict=True):
            rows = steps[next_node - 1 : leaf]  # node ids count the step rows up from 1
            if rows[-1].finish_reason != FinishReason.CANCELLED:
                samples[rows[0].request, number] = _stored_sample(root, rows)
            next_node = leaf + 1
    return StoredProblem(problem.problem_id, root, root_cost, tuple(samples[name] for name in sorted(samples)), {})


def _stored_sample(root: Path, rows: Sequence[StepRow]) -> StoredSample:
    path = recorded_leaf(root, rows)
    bare = [replace(row, p_lower=None, p_median=None, p_upper=None) for row in rows]
    cost = Cost(
        generated_tokens=sum(row.generated_tokens for row in rows),
        thinking_tokens=thinking_tokens_of(row.thinking_tokens for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        cached_tokens=sum(row.cached_tokens for row in rows),
        prm_tokens=sum(row.prm_tokens for row in rows),
        prm_cached_tokens=sum(row.prm_cached_tokens for row in rows),
    )
    scored = all(node.score is not None for node in path.lineage)
    return StoredSample(path, recorded_leaf(root, bare), cost, answer_of(path), scored)


def finished_answers(
    problem: Problem, steps: Sequence[StepRow], policy: AnswerPolicy = DEFAULT_POLICY
) -> list[str | None]:
    """The answers of all samples that a search has brought to their end, whatever became of them."""
    reader = AnswerClasses(policy)
    nodes = {0: Path(0, None, problem.question, answers=reader)}
    recall_answers(reader, nodes[0], steps)
    answers: list[str | None] = []
    ordered = sorted(steps, key=lambda row: row.node_id)
    passing = passing_probes(ordered)
    for row in ordered:
        path = nodes[row.node_id] = recorded_leaf(parent_of(row, nodes), [row])
        if path.finished and row.node_id not in passing:
            answers.append(answer_of(path))
    return answers


def any_right(verdicts: Collection[bool | None]) -> bool | None:
    """Whether one of some answers is right; None where none is known to be and some could not be graded."""
    return True if True in verdicts else (None if None in verdicts else False)
