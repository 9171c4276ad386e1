"""Work that nobody needs any more: what is cancelled at the replicas, and whose last word is still awaited.

    waiting ---------------------> gone at once
    in flight --cancel--> recalled --its replica answers--> sampled in part, whole, or nothing
                              +-----its replica dies------> gone

A recalled sample keeps its reservation in the ledger until its last word says how much of it was used. A score in
flight is not cancelled but waited for: it takes one step of an engine. Work of a problem that fails has no last word.
"""

from collections.abc import Iterable

from scaling.scheduler.dispatch import Dispatcher, Outgoing
from scaling.search.tasks import ReplicaTask, SampleTask, ScoreTask, score_key


class Recalls:
    """Those of one scheduler, whose dispatchers hold the tasks."""

    def __init__(self, samples: Dispatcher[SampleTask], scores: Dispatcher[ScoreTask]) -> None:
        self._samples, self._scores = samples, scores
        self._awaited: dict[str, ReplicaTask] = {}
        self._cancelled_samples: dict[str, list[str]] = {}
        self._cancelled_scores: dict[str, list[str]] = {}

    def __contains__(self, key: object) -> bool:
        """Whether the last word of a task is awaited."""
        return key in self._awaited

    def recall(self, task: SampleTask) -> ReplicaTask | None:
        """Take back a sample, or its score where it has come so far: what is gone at once; None: it is awaited."""
        if task.key in self._samples:
            called = self._samples.recall(task.key)
            if called is None:
                return task
            self._awaited[task.key] = task
            self._cancelled_samples.setdefault(called[0], []).append(called[1])
            return None
        key = score_key(task.key)
        scoring = self._scores[key]
        if self._scores.recall(key) is None:
            return scoring
        self._awaited[key] = scoring
        return None

    def lost(self) -> list[ReplicaTask]:
        """Those whose replica has died, and that nobody begins again; they are dropped."""
        found = [task for key, task in self._awaited.items() if self._samples.waits(key) or self._scores.waits(key)]
        for task in found:
            self._samples.drop([task.key])
            self._scores.drop([task.key])
        return found

    def heard(self, key: str) -> None:
        """A task is over."""
        self._awaited.pop(key, None)

    def drop(self, keys: Iterable[str]) -> None:
        """Cancel tasks wherever they are; nobody waits for a word of them."""
        keys = list(keys)
        for cancelled, dropped in (
            (self._cancelled_samples, self._samples.drop(keys)),
            (self._cancelled_scores, self._scores.drop(keys)),
        ):
            for replica, calls in dropped.items():
                cancelled.setdefault(replica, []).extend(calls)

    def send(self, outgoing: Outgoing) -> None:
        """Tell what is to be cancelled since the last time."""
        outgoing.cancelled_samples, self._cancelled_samples = self._cancelled_samples, {}
        outgoing.cancelled_scores, self._cancelled_scores = self._cancelled_scores, {}
