"""A problem in work: its search, what it waits for, and the calls that its tasks become.

A call carries a prefix only where the replica is not known to hold it, or has said that it does not.
"""

from dataclasses import dataclass, field

from records.calls import SampleCall, Sampling, ScoreCall, TextPrefix, TokenPrefix
from records.path import Path
from scaling.scheduler.waiting import Rank
from scaling.search.problem_search import ProblemSearch
from scaling.search.tasks import ReplicaTask, SampleTask, ScoreTask
from scaling.search.texts import scored_text


@dataclass(slots=True)
class OpenSearch:
    """One open problem.

    Attributes:
        search: of the problem.
        order: of admission; what was begun first is finished first.
        opened_s: when.
        keys: tasks that are waiting or in flight.
        generator_home: the generator that served it last; siblings of a path that nobody holds go there.
        prm_home: the PRM that served it last.
        num_samples: samples among its tasks.
        has_sampled: it has asked for samples before.
        num_paths: steps that it has come to.
    """

    search: ProblemSearch
    order: int
    opened_s: float
    keys: set[str] = field(default_factory=set)
    generator_home: str | None = None
    prm_home: str | None = None
    num_samples: int = 0
    has_sampled: bool = False
    num_paths: int = 0

    def waits_for(self, task: ReplicaTask) -> Rank:
        """The problem has one more task, which waits for a replica: where it stands among others."""
        self.keys.add(task.key)
        priority = (task.priority or 0.0) if isinstance(task, SampleTask) else 0.0
        return -priority, self.order, task.request, task.child

    def generator_of(self, task: SampleTask) -> str | None:
        """The generator that should have this task."""
        return self.search.locality.generator(task.parent).replica or self.generator_home

    def prm_of(self, task: ScoreTask) -> str | None:
        """The PRM that should have this task."""
        return self.search.locality.prm(task.prefix).replica or self.prm_home

    def sample_call(
        self, key: str, task: SampleTask, replica: str, *, max_tokens: int, sampling: Sampling, in_full: bool
    ) -> SampleCall:
        """The task as a call to `replica`, with its prefix where `in_full` or where the replica may lack it."""
        self.generator_home = replica
        held = self.search.locality.generator(task.parent)
        known = held.replica == replica and not in_full
        prefix = None if known else TokenPrefix(task.parent.root.text, task.parent.solution_token_ids)
        sampling = sampling if task.temperature is None else Sampling(task.temperature, stop=sampling.stop)
        return SampleCall(
            key, held.prefix_id, prefix, task.until, max_tokens, task.seed, sampling, task.top_logprobs,
            task.forced_text,
        )  # fmt: skip

    def score_call(self, key: str, task: ScoreTask, replica: str, *, in_full: bool) -> ScoreCall:
        """The task as a call to `replica`, likewise."""
        self.prm_home = replica
        held = self.search.locality.prm(task.prefix)
        known = held.replica == replica and not in_full
        prefix = None if known else _text_prefix(task.prefix, thoughts=self.search.locality.thoughts)
        return ScoreCall(key, held.prefix_id, prefix, task.steps, task.every)


def _text_prefix(path: Path, *, thoughts: bool) -> TextPrefix:
    return TextPrefix(path.root.text, tuple(scored_text(node, thoughts=thoughts) for node in path.lineage))


@dataclass(frozen=True, slots=True)
class Concluded:
    """A search that has ended, for better or worse."""

    search: ProblemSearch
    wall_seconds: float


class WindowBarrier:
    """Waits until `num_problems` are open and each has asked for a sample, or has ended without."""

    def __init__(self, num_problems: int = 0) -> None:
        self._num_to_open = num_problems
        self._reading: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether samples may be granted."""
        return self._num_to_open <= 0 and not self._reading

    def opened(self, problem_id: str) -> None:
        """A problem has begun."""
        if self._num_to_open > 0:
            self._num_to_open -= 1
            self._reading.add(problem_id)

    def ready(self, problem_id: str) -> None:
        """A problem asks for a sample, or has ended."""
        self._reading.discard(problem_id)
