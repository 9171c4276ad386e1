"""The graders of a replay: one for each that a setting names, in processes that live as long as the replay does."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from actors.grading.grader import Grader
from actors.grading.verdicts import Verdicts, distinct_verdicts
from jobs.recipes.sections import GraderSection, Recipe
from jobs.recipes.settings import recorded_policy
from records.rows import ProblemRow
from scaling.answers.classes import AnswerClasses
from scaling.stored.tree import StoredTree


def grader_name(section: GraderSection) -> tuple[str, float]:
    """Name of what decides a grader's verdicts: graders of one name agree."""
    return section.kind, section.timeout_s


class Graders:
    """Gives verdicts by any of some graders; those of the run's own grader stay as they are in its rows.

    Args:
        run: recipe of the run.
        sections: of all settings.
    """

    def __init__(self, run: Recipe, sections: Iterable[GraderSection]) -> None:
        self._own = own = run.grader
        self._policy = recorded_policy(run)
        self._sections = {grader_name(section): section for section in (*sections, own)}
        self._graders: dict[tuple[str, float], Grader] = {}
        self._stack = AsyncExitStack()

    @property
    def sections(self) -> list[GraderSection]:
        """Those that differ, the run's own among them."""
        return list(self._sections.values())

    async def __aenter__(self) -> Self:
        """Start the processes; raises as `Grader` does."""
        for name, section in self._sections.items():
            grader = Grader(section.kind, num_workers=section.num_workers, timeout_s=section.timeout_s)
            self._graders[name] = await self._stack.enter_async_context(grader)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all graders."""
        await self._stack.__aexit__(kind, error, trace)

    async def read(self, recipe: Recipe, tree: StoredTree) -> StoredTree:
        """A tree whose answers are found and told apart as a setting says: as recorded, where that is how the run did.

        What was not recorded, or not so, is asked of the setting's grader, in the order of the nodes.
        """
        policy = recorded_policy(recipe)
        if policy == self._policy and tree.answers.has_records:
            return tree
        answers = AnswerClasses(policy)
        found = tree.read_by(answers)
        stated = [answer for leaf in sorted(found.ended) if (answer := found.answer_of(leaf)) is not None]
        pairs = answers.pairs(stated)
        same = await self._graders[grader_name(recipe.grader)].same(pairs) if pairs else []
        answers.settle(stated, dict(zip(pairs, same, strict=True)))
        return found

    async def verdicts(
        self, section: GraderSection, rows: Sequence[ProblemRow], answers: Sequence[Collection[str | None]]
    ) -> list[Verdicts]:
        """Of all answers of some problems, by the grader of a setting."""
        is_own = grader_name(section) == grader_name(self._own)
        known: list[Verdicts] = [{row.answer: row.correct} if is_own else {} for row in rows]
        grader = self._graders[grader_name(section)]
        return await distinct_verdicts(grader, [row.reference for row in rows], answers, known)
