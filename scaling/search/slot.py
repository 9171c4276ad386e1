"""One child of a request, while its parts come in."""

from dataclasses import dataclass

from records.calls import Sampled, Scored
from records.path import FinishReason
from records.request import Expand, Next, Score, Scoring
from scaling.search.tasks import ChildName, SampleTask, ScoreTask, path_tasks, sample_tasks


@dataclass(slots=True)
class Slot:
    """One child of a request, or one path to score.

    Attributes:
        scoring: of the request.
        answer: what a finished sample states, empty where it states none; None of others.
    """

    task: SampleTask | ScoreTask
    scoring: Scoring = Scoring.NONE
    granted_tokens: int = 0
    sampled: Sampled | None = None
    replica: str | None = None
    scored: Scored | None = None
    prm_replica: str | None = None
    answer: str | None = None

    @property
    def name(self) -> ChildName:
        """Of the child, or of the path among those to score."""
        return self.task.name

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


def slots_of(
    request: Expand | Score | Next, problem_id: str, number: int, run_seed: int, *, thoughts: bool
) -> list[Slot]:
    """One for each child or path of a problem's request of that number, in child order.

    The PRM reads `thoughts` or not.
    """
    if isinstance(request, Expand):
        return [Slot(task, request.scoring) for task in sample_tasks(request, problem_id, number, run_seed)]
    if isinstance(request, Score):
        return [Slot(task) for task in path_tasks(request, problem_id, number, thoughts=thoughts)]
    return []
