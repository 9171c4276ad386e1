"""From a finished run of whole samples to `StoredProblem`s, every answer graded.

A sample's answer may have been no one's choice, so the run holds no verdict of it: each distinct answer of a problem is
graded here, once, by the recipe's grader.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from actors.grader import Grader, GradeRequest
from jobs.plan import Plan
from records.problem import Problem
from records.reader import Run, read_run
from records.rows import RequestRow, Status, StepRow
from records.schemas import to_rows
from scaling.stored import StoredProblem, any_right, finished_answers, stored_problem

RowT = TypeVar("RowT", StepRow, RequestRow)


def stored_samples(plan: Plan) -> list[StoredProblem | None]:
    """The samples of each problem of a finished run, in the input's order; None for a problem that failed.

    Raises:
        StoreFailed: the run cannot be read, or is damaged.
    """
    run = read_run(plan.store.uri)
    failed = _failed(run)
    steps = _by_problem(to_rows(StepRow, run.steps()))
    requests = _by_problem(to_rows(RequestRow, run.requests()))
    problems = list(plan.problems)
    stored = [
        None
        if problem.problem_id in failed
        else stored_problem(
            problem,
            sorted(steps[problem.problem_id], key=lambda row: row.node_id),
            sorted(requests[problem.problem_id], key=lambda row: row.request),
        )
        for problem in problems
    ]
    answers = [[None, *(sample.answer for sample in item.samples)] if item is not None else [] for item in stored]
    verdicts = asyncio.run(_verdicts(plan, problems, answers))
    return [replace(item, verdicts=own) if item else None for item, own in zip(stored, verdicts, strict=True)]


def coverage(plan: Plan) -> list[bool | None]:
    """Whether a finished search holds a right answer, in the input's order; None where nobody could tell, or it failed.

    Raises:
        StoreFailed: the run cannot be read, or is damaged.
    """
    run = read_run(plan.store.uri)
    failed = _failed(run)
    steps = _by_problem(to_rows(StepRow, run.steps()))
    problems = list(plan.problems)
    answers = [finished_answers(problem, steps[problem.problem_id]) for problem in problems]
    verdicts = asyncio.run(_verdicts(plan, problems, answers))
    return [
        None if problem.problem_id in failed else any_right(own.values())
        for problem, own in zip(problems, verdicts, strict=True)
    ]


def _failed(run: Run) -> set[str]:
    statuses = run.problems().select(["problem_id", "status"]).to_pylist()
    return {row["problem_id"] for row in statuses if row["status"] == Status.FAILED.value}


def _by_problem(rows: Iterable[RowT]) -> defaultdict[str, list[RowT]]:
    grouped: defaultdict[str, list[RowT]] = defaultdict(list)
    for row in rows:
        grouped[row.problem_id].append(row)
    return grouped


async def _verdicts(
    plan: Plan, problems: Sequence[Problem], answers: Sequence[Sequence[str | None]]
) -> list[dict[str | None, bool | None]]:
    """The verdict of each distinct answer of each problem."""
    distinct = [list(dict.fromkeys(own)) for own in answers]
    asked = [
        GradeRequest(answer, problem.reference)
        for problem, own in zip(problems, distinct, strict=True)
        for answer in own
    ]
    section = plan.recipe.grader
    async with Grader(section.kind, num_workers=section.num_workers, timeout_s=section.timeout_s) as grader:
        verdicts = iter(await grader.grade(asked))
    return [{answer: next(verdicts) for answer in own} for own in distinct]
