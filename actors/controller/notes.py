"""What the user should hear of a run, kept until the driver asks for it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from records.progress import Progress

MAX_NOTES = 1000
"""Notes that are kept; the oldest go first."""
SILENT_SHARE = 0.2
"""Of the finished samples: where more state no answer, the run says so."""
MIN_FINISHED = 20
"""Finished samples before it does."""


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
