"""One child of a request, while its parts come in."""

from dataclasses import dataclass

from records.calls import Sampled, Scored
from records.path import FinishReason
from scaling.search.tasks import SampleTask, ScoreTask


@dataclass(slots=True)
class Slot:
    """One child of a request, or one path to score.

    Attributes:
        answer: what a finished sample states, empty where it states none; None of others.
    """

    task: SampleTask | ScoreTask
    granted_tokens: int = 0
    sampled: Sampled | None = None
    replica: str | None = None
    scored: Scored | None = None
    prm_replica: str | None = None
    answer: str | None = None

    @property
    def cut(self) -> bool:
        """The budget left this child out, or ended it before the strategy's own bound."""
        if not isinstance(self.task, SampleTask):
            return False
        if self.sampled is None:
            return True
        clamped, reason = self.granted_tokens < self.task.max_tokens, self.sampled.steps[-1].finish_reason
        if reason is FinishReason.UNFINISHED_THOUGHT:  # cut there, or ended by the model
            return clamped and self.sampled.generated_tokens >= self.granted_tokens
        return clamped and reason is FinishReason.LENGTH
