"""What the user should hear of a run, kept until the driver asks for it."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from actors.controller.settings import RunSettings, RunSoFar
from actors.grading.process import GradeFailure
from records.failure import FailedAlike
from records.progress import Progress
from records.reasons import FailureReasons
from scaling.scheduler.open_search import Concluded

MAX_NOTES = 1000
"""Notes that are kept; the oldest go first."""
SILENT_SHARE = 0.2
"""Of the finished samples: where more state no answer, the run says so."""
MIN_FINISHED = 20
"""Finished samples before it does."""
MAX_REASONS = 5
"""Reasons of failed problems that are told while the run goes on, each with its first error."""


@dataclass(slots=True)
class Notes:
    """Sentences for the user."""

    kept: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_NOTES))

    def add(self, text: str) -> None:
        """Keep one."""
        self.kept.append(text)

    def take(self) -> list[str]:
        """Those since the last call."""
        notes = list(self.kept)
        self.kept.clear()
        return notes


@dataclass(slots=True)
class SilenceWarning:
    """Says it once when many samples state no answer: they are paid for, and count as wrong.

    Attributes:
        note: says something to the user.
        given: it has been said.
    """

    note: Callable[[str], None]
    given: bool = False

    def look_at(self, progress: Progress) -> None:
        """Warn, if that has become due."""
        finished, silent = progress.finished_samples, progress.unanswered_samples
        if self.given or finished < MIN_FINISHED or silent <= SILENT_SHARE * finished:
            return
        self.given = True
        self.note(
            f"warning: {silent} of {finished} samples state no answer. See what they end with (parsimony report): a "
            "larger generator.max_tokens, an instruction in generator.prompt_template, or answer.extract may help"
        )


class FailureWatch:
    """Tells the first error of each reason while the run goes on, and when all problems so far failed for one.

    Args:
        note: says something to the user.
        settings: of the run: after how many it stops.
        so_far: a run in which a problem has succeeded before does not fail alike.
    """

    def __init__(self, note: Callable[[str], None], settings: RunSettings, so_far: RunSoFar) -> None:
        never_succeeded = so_far.visible.done_problems == so_far.visible.failed_problems
        self._stop_after = settings.stop_on_failures if never_succeeded else None
        self._note, self._num_left = note, so_far.num_owed
        self._reasons = FailureReasons()
        self._num_ended, self._num_failed = 0, 0
        self._told: set[GradeFailure] = set()
        self._stopped = False

    def ended(self, concluded: Concluded) -> bool:
        """A problem has ended, for better or worse; whether the run has to stop here."""
        self._num_ended += 1
        if (error := concluded.search.error) is None:
            return False
        self._num_failed += 1
        known = len(self._reasons)
        self._reasons.add([error])
        if known < len(self._reasons) <= MAX_REASONS:
            self._note(f"problem {concluded.search.problem.problem_id!r} failed: {error}")
        alike = self._num_failed == self._num_ended and len(self._reasons) == 1
        self._stopped = alike and self._num_ended == self._stop_after and self._num_ended < self._num_left
        return self._stopped

    def raise_if_stopped(self) -> None:
        """Raise `FailedAlike` where the run had to stop."""
        if self._stopped:
            [reason] = self._reasons.commonest(1)
            raise FailedAlike(
                f"the first {self._num_ended} problems all failed alike, so the run stopped: {reason.example}. Their "
                "rows say failed, which is final: mend the cause and score into a new output, or go on in this one "
                "with --set output.stop_on_failures=0"
            )

    def graded(self, errors: Mapping[GradeFailure, str]) -> None:
        """What the grader says of its first failures; each kind is told once."""
        for kind, error in errors.items():
            if kind not in self._told:
                self._told.add(kind)
                said = f"the grader {kind.replace('_', ' ')}: {error}"
                self._note(f"warning: an answer has no verdict, because {said} (`correct` is null there)")


def closing_notes(num_truncated: int, failures: Mapping[GradeFailure, int]) -> list[str]:
    """What went wrong in a run that came to its end: PRM inputs that were cut, answers without a verdict."""
    notes = [f"{num_truncated} PRM inputs were over-long and cut (steps.prm_truncated)"] if num_truncated else []
    for kind, number in failures.items():
        notes.append(f"{number} answers are not graded, because the grader {kind.replace('_', ' ')}")
    return notes
