"""From a run of whole samples to `StoredProblem`s, every answer graded: all that it takes stands in the run itself.

A sample's answer may have been no one's choice, so the run holds no verdict of it: each distinct answer of a problem is
graded here, once, by the grader of the run's recipe.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from actors.grading.grader import Grader
from actors.grading.verdicts import Verdicts, distinct_verdicts
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.sections import GraderSection
from records.problem import Problem
from records.rows import ProblemRow, Status
from records.run_folder.by_problem import records_of
from records.run_folder.reader import Run
from scaling.stored.problem import StoredProblem, any_right, finished_answers, stored_problem


def stored_samples(run: Run) -> dict[str, StoredProblem | None]:
    """The samples of each problem of a run by its id, in the order of their rows; None for a problem that failed.

    All samples of the run are held at once.

    Raises:
        StoreFailed: the run cannot be read, or is damaged.
    """
    problems: list[Problem] = []
    stored: list[StoredProblem | None] = []
    for record in records_of(run):
        problem = problem_of(record.problem)
        failed = record.problem.status is Status.FAILED
        problems.append(problem)
        stored.append(None if failed else stored_problem(problem, record.steps, record.requests))
    answers = [[None, *(sample.answer for sample in item.samples)] if item is not None else [] for item in stored]
    verdicts = verdicts_of(recorded_recipe(run.manifest).grader, problems, answers)
    return {
        problem.problem_id: replace(item, verdicts=own) if item else None
        for problem, item, own in zip(problems, stored, verdicts, strict=True)
    }


def sample_outcomes(problem: StoredProblem) -> list[bool]:
    """Whether each sample is right; empty where nobody could tell of one of them."""
    outcomes = [problem.verdicts[sample.answer] for sample in problem.samples]
    known = [outcome for outcome in outcomes if outcome is not None]
    return known if len(known) == len(outcomes) else []


def coverage(run: Run) -> dict[str, bool | None]:
    """Whether a search holds a right answer, by problem id; None where nobody could tell, or it failed.

    Raises:
        StoreFailed: the run cannot be read, or is damaged.
    """
    problems: list[Problem] = []
    failed: list[bool] = []
    answers: list[list[str | None]] = []
    for record in records_of(run):
        problems.append(problem_of(record.problem))
        failed.append(record.problem.status is Status.FAILED)
        answers.append(finished_answers(problems[-1], record.steps))
    verdicts = verdicts_of(recorded_recipe(run.manifest).grader, problems, answers)
    return {
        problem.problem_id: None if has_failed else any_right(own.values())
        for problem, has_failed, own in zip(problems, failed, verdicts, strict=True)
    }


def problem_of(row: ProblemRow) -> Problem:
    """The problem that a row is of."""
    return Problem(row.problem_id, row.question, row.reference)


def verdicts_of(
    section: GraderSection, problems: Sequence[Problem], answers: Sequence[Sequence[str | None]]
) -> list[Verdicts]:
    """The verdict of each distinct answer of each problem, by the grader of a recipe, in processes that can be killed.

    Args:
        section: of the recipe.
        problems: with their answer keys.
        answers: of each problem.
    """
    return asyncio.run(_verdicts(section, problems, answers))


async def _verdicts(
    section: GraderSection, problems: Sequence[Problem], answers: Sequence[Sequence[str | None]]
) -> list[Verdicts]:
    async with Grader(section.kind, num_workers=section.num_workers, timeout_s=section.timeout_s) as grader:
        return await distinct_verdicts(grader, [problem.reference for problem in problems], answers)
