"""What the samples of a run say beyond its rows: every finished sample's answer, graded, and its score.

Grading costs time, so it is done for a seeded sample of the problems where there are many. A sample's answer may have
been no one's choice, so the run holds no verdict of it: each distinct answer of a problem is graded here once, by the
recipe's grader, unless that is code of the user's own, which a report does not run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.comparison.stored_samples import problem_of, verdicts_of
from jobs.recipes.section import is_plugin
from jobs.recipes.sections import Recipe
from jobs.reporting.trees import Tree
from records.path import PrmScore
from records.rows import ProblemRow, Status
from scaling.calibration.within_run import ScoredOutcome
from scaling.stored.problem import StoredProblem, stored_problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What one problem adds.

    Attributes:
        row: of the problem.
        chosen_score: the PRM's view of the chosen path.
        answers: of each finished sample, with the PRM's view of it.
        stored: its samples to be played on; None for a search that does not take whole samples.
        verdicts: answer -> whether it is right, null where nobody could tell; empty before it is graded.
    """

    row: ProblemRow
    chosen_score: PrmScore | None
    answers: tuple[tuple[str | None, PrmScore | None], ...]
    stored: StoredProblem | None
    verdicts: Mapping[str | None, bool | None]

    @property
    def root_score(self) -> PrmScore | None:
        """The PRM's view of the bare question."""
        row = self.row
        if row.p_lower is None or row.p_median is None or row.p_upper is None:
            return None
        return PrmScore(row.p_lower, row.p_median, row.p_upper)

    @property
    def outcomes(self) -> list[bool]:
        """Verdicts of the finished samples, those that there are."""
        found = (self.verdicts.get(answer) for answer, _ in self.answers)
        return [verdict for verdict in found if verdict is not None]


def witness(tree: Tree, *, takes_whole_samples: bool) -> Witness | None:
    """What a problem's tree adds; None for one that is open, or failed."""
    row = tree.row
    if row is None or row.status is Status.FAILED:
        return None
    return Witness(
        row=row,
        chosen_score=tree.chosen_score,
        answers=tuple((leaf.answer, leaf.score) for leaf in tree.leaves),
        stored=_stored(tree, row) if takes_whole_samples else None,
        verdicts={},
    )


def _stored(tree: Tree, row: ProblemRow) -> StoredProblem:
    """Without token ids, which no choice among whole samples looks at and which are most of what would be held."""
    steps = [replace(step, token_ids=()) for step in tree.steps]
    return stored_problem(problem_of(row), steps, tree.requests)


def graded(witnesses: Sequence[Witness], recipe: Recipe | None) -> tuple[list[Witness], str | None]:
    """The same with verdicts; and why there are none, where there are none.

    Raises:
        InvalidInput: the grader cannot be loaded.
    """
    if recipe is None:
        return list(witnesses), "this version cannot read the run's recipe, and does not know its grader"
    if is_plugin(recipe.grader.kind):
        return list(witnesses), f"the grader {recipe.grader.kind} is code of its own, which a report does not run"
    if all(item.row.reference is None for item in witnesses):
        return list(witnesses), "there is no answer key"
    problems = [problem_of(item.row) for item in witnesses]
    answers = [[None, *(answer for answer, _ in item.answers)] for item in witnesses]
    found = verdicts_of(recipe.grader, problems, answers)
    return [
        replace(item, verdicts=own, stored=replace(item.stored, verdicts=own) if item.stored else None)
        for item, own in zip(witnesses, found, strict=True)
    ], None


def root_outcomes(witnesses: Sequence[Witness]) -> list[ScoredOutcome]:
    """The bare question's score against its whole samples, each an outcome; of runs that take whole samples."""
    return [
        ScoredOutcome(item.row.problem_id, item.root_score, sum(item.outcomes), len(item.outcomes))
        for item in witnesses
        if item.stored is not None and item.root_score is not None and item.outcomes
    ]


def chosen_outcomes(witnesses: Sequence[Witness]) -> list[ScoredOutcome]:
    """The chosen path's score against the row's verdict."""
    return [
        ScoredOutcome(item.row.problem_id, item.chosen_score, int(item.row.correct), 1)
        for item in witnesses
        if item.chosen_score is not None and item.row.correct is not None
    ]


def finished_outcomes(witnesses: Sequence[Witness]) -> list[ScoredOutcome]:
    """Every finished sample's score against its own verdict."""
    return [
        ScoredOutcome(item.row.problem_id, score, int(verdict), 1)
        for item in witnesses
        for answer, score in item.answers
        if score is not None and (verdict := item.verdicts.get(answer)) is not None
    ]
