"""The graders of a replay: one for each that a setting names, in processes that live as long as the replay does."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from actors.grader import Grader, GradeRequest
from jobs.recipe_models import GraderSection
from records.rows import ProblemRow

Verdicts = Mapping[str | None, bool | None]
"""Answer as extracted -> whether it is right; null where nobody could tell."""


def grader_name(section: GraderSection) -> tuple[str, float]:
    """What decides its verdicts."""
    return section.kind, section.timeout_s


class Graders:
    """Gives verdicts by any of some graders; those of the run's own grader stay as they are in its rows.

    Args:
        own: of the run.
        sections: of all settings.
    """

    def __init__(self, own: GraderSection, sections: Iterable[GraderSection]) -> None:
        self._own = own
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
        """End them."""
        await self._stack.__aexit__(kind, error, trace)

    async def verdicts(
        self, section: GraderSection, rows: Sequence[ProblemRow], answers: Sequence[Collection[str | None]]
    ) -> list[Verdicts]:
        """Of all answers of some problems, by the grader of a setting."""
        is_own = grader_name(section) == grader_name(self._own)
        known: list[dict[str | None, bool | None]] = [{row.answer: row.correct} if is_own else {} for row in rows]
        asked = [
            (own, answer, GradeRequest(answer, row.reference))
            for own, row, wanted in zip(known, rows, answers, strict=True)
            for answer in dict.fromkeys(wanted)
            if answer not in own
        ]
        found = await self._graders[grader_name(section)].grade([request for _, _, request in asked])
        for (own, answer, _), verdict in zip(asked, found, strict=True):
            own[answer] = verdict
        return list(known)
