"""The budget controller's pure half: open searches, waiting tasks, the ledger, and who is sent what.

No task, lock, clock or network in here: the shell in `actors.controller` feeds it events and carries out what `pump`
returns. For every problem that is opened, exactly one `Concluded` comes out, whatever replicas do, as long as some
replica of each role comes back or the budget ends.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from records.calls import CallFailed, PrefixMissing, Sampled, SampleResult, Sampling, Scored, ScoreResult
from records.failure import StrategyFailed
from records.problem import Problem
from records.rows import OpenRecord
from scaling.answers.classes import DEFAULT_POLICY, AnswerPolicy, Pair
from scaling.budget.ledger import Ledger, LengthEstimate, Refusal
from scaling.scheduler.admission import Admission
from scaling.scheduler.counts import Counts
from scaling.scheduler.dispatch import Dispatcher, OnFlight, Outgoing
from scaling.scheduler.open_search import Concluded, OpenSearch, WindowBarrier
from scaling.scheduler.recalls import Recalls
from scaling.scheduler.retries import Retries
from scaling.search.problem_search import ProblemSearch
from scaling.search.tasks import CancelTask, CompareTask, ReplicaTask, SampleTask, ScoreTask, Task
from scaling.strategy import StrategyFactory

_Tasks = Dispatcher[SampleTask] | Dispatcher[ScoreTask]


class Scheduler:
    """All open searches of a run under one ledger.

    Args:
        strategy: begins the search of each problem.
        run_seed: every sample's seed derives from it.
        sampling: how tokens are drawn.
        ledger: the run's budget.
        on_flight: told of every call that begins or ends.
        has_prm: whether anyone can score; a strategy that asks nevertheless fails its problem.
        policy: how answers are found and told apart.
        samples_at_once: what a problem asks for at a time, where that is known.
    """

    def __init__(
        self,
        *,
        strategy: StrategyFactory,
        run_seed: int,
        sampling: Sampling,
        ledger: Ledger,
        on_flight: OnFlight,
        has_prm: bool = True,
        policy: AnswerPolicy = DEFAULT_POLICY,
        samples_at_once: int | None = None,
    ) -> None:
        self.ledger = ledger
        self.samples = Dispatcher[SampleTask](lambda task: self._open[task.problem_id].generator_of(task), on_flight)
        self.scores = Dispatcher[ScoreTask](lambda task: self._open[task.problem_id].prm_of(task), on_flight)
        self.counts = Counts()
        self._strategy, self._run_seed, self._sampling = strategy, run_seed, sampling
        self._has_prm, self._policy = has_prm, policy
        self._to_compare, self._lengths = list[CompareTask](), LengthEstimate()
        self._open: dict[str, OpenSearch] = {}
        self._concluded: list[Concluded] = []
        self._retries = Retries()
        self._gathering, self._admission = WindowBarrier(), Admission(samples_at_once)
        self._recalls = Recalls(self.samples, self.scores)

    @property
    def num_open(self) -> int:
        """Problems begun and not concluded."""
        return len(self._open)

    def open_searches(self) -> list[ProblemSearch]:
        """Of the problems begun and not taken as concluded; none that has failed, for nobody goes on with it."""
        waiting = [concluded.search for concluded in self._concluded if concluded.search.error is None]
        return [opened.search for opened in self._open.values()] + waiting

    @property
    def wants_more_problems(self) -> bool:
        """Another problem should be opened to keep the engines' batches full."""
        return self.ledger.exhausted or self._admission.wants_more(self.samples, self.scores)

    @property
    def num_paths(self) -> int:
        """Steps that open problems have come to."""
        return self._admission.num_paths

    def begin_window(self, *, num_problems: int, num_left: int, held_tokens: int = 0) -> None:
        """The next problems to be opened compete for their share (`window_share`), once all have been read."""
        self._gathering = WindowBarrier(num_problems)
        self.ledger.begin_window(num_problems=num_problems, num_left=num_left, held_tokens=held_tokens)

    def open(self, problem: Problem, *, order: int, now_s: float, record: OpenRecord | None = None) -> None:
        """Begin a problem, or go on where the `record` of an earlier epoch ends; with the budget gone, end a new one.

        Raises:
            RunMismatch: the strategy is not the one that began it.
        """
        search = ProblemSearch(problem, self._strategy, run_seed=self._run_seed, policy=self._policy)
        opened = self._open[problem.problem_id] = OpenSearch(search, order, now_s)
        self._gathering.opened(problem.problem_id)
        tasks: list[Task] = []
        if record is None and self.ledger.exhausted:
            search.skip()
        else:
            tasks = search.begin() if record is None else search.restore(record)
        self._admission.opened(opened)
        self._advance(problem.problem_id, tasks, now_s)

    def generator_up(self, replica: str, num_slots: int) -> None:
        """A generator is ready; its engine works on `num_slots` calls at a time."""
        self.samples.replica_up(replica, num_slots)

    def prm_up(self, replica: str, num_slots: int) -> None:
        """Tell that a PRM replica is ready for calls."""
        self.scores.replica_up(replica, num_slots)

    def generator_down(self, replica: str, cause: str, *, now_s: float) -> None:
        """A generator is gone: its work waits again; a task that kills engines fails its problem."""
        self._replica_down(self.samples.replica_down(replica), f"killed its generator repeatedly: {cause}", now_s)

    def prm_down(self, replica: str, cause: str, *, now_s: float) -> None:
        """Tell that a PRM replica is gone; its work waits again."""
        self._replica_down(self.scores.replica_down(replica), f"killed its PRM repeatedly: {cause}", now_s)

    def generator_results(self, replica: str, results: Sequence[SampleResult], *, now_s: float) -> None:
        """Results of a generator, in any order; what nobody waits for is ignored."""
        for result in results:
            task = self.samples.flying(result.key, replica)
            if task is None:
                continue
            if isinstance(result, Sampled):
                self._sampled(task, result, replica, now_s)
            else:
                self._unserved(self.samples, task, result, now_s)

    def prm_results(self, replica: str, results: Sequence[ScoreResult], *, now_s: float) -> None:
        """Take in results of a PRM replica."""
        for result in results:
            task = self.scores.flying(result.key, replica)
            if task is None:
                continue
            if isinstance(result, Scored):
                self.counts.scored(result)
                self.scores.settle(task.key)
                self._advance(task.problem_id, self._ended(task).search.scored(task, result, replica=replica), now_s)
            else:
                self._unserved(self.scores, task, result, now_s)

    def compared(self, task: CompareTask, same: Mapping[Pair, bool], *, now_s: float) -> None:
        """The grader has compared some answers; of a problem that has ended nobody waits for it."""
        if (opened := self._open.get(task.problem_id)) is not None:
            self._advance(task.problem_id, opened.search.compared(task, same), now_s)

    def pump(self, *, now_s: float) -> Outgoing:
        """Grant and assign what can be; refuse what the budget has nothing for."""
        outgoing = Outgoing()
        self._pump_samples(outgoing, now_s)
        # After the samples: a search that is denied one may ask for scores, and no event need come that pumps again.
        while (following := self.scores.peek()) is not None:
            scoring, replica = following
            key, opened = self.scores.take(scoring.key, replica), self._open[scoring.problem_id]
            call = opened.score_call(key, scoring, replica, in_full=self._retries.in_full(scoring.key))
            outgoing.scores.setdefault(replica, []).append(call)
        outgoing.comparisons, self._to_compare = self._to_compare, []
        self._recalls.send(outgoing)
        return outgoing

    def take_concluded(self) -> list[Concluded]:
        """Searches that ended since the last call."""
        concluded, self._concluded = self._concluded, []
        return concluded

    def _pump_samples(self, outgoing: Outgoing, now_s: float) -> None:
        while True:
            if self.ledger.exhausted:
                self._refuse_all(now_s)
                return
            if not self._gathering.complete:
                return
            following = self.samples.peek()
            if following is None:
                return
            task, replica = following
            granted = self._grant(task)
            if granted is Refusal.EXHAUSTED:
                continue
            if isinstance(granted, Refusal):
                outgoing.wants_lease = granted is Refusal.LEASE
                return
            key, in_full = self.samples.take(task.key, replica), self._retries.in_full(task.key)
            call = self._open[task.problem_id].sample_call(
                key, task, replica, max_tokens=granted, sampling=self._sampling, in_full=in_full
            )
            outgoing.samples.setdefault(replica, []).append(call)

    def _grant(self, task: SampleTask) -> int | Refusal:
        wanted = task.max_tokens
        useful = wanted if self.ledger.total_tokens is None else self._lengths.useful_tokens(task.until, wanted)
        return self.ledger.grant(task.key, wanted_tokens=wanted, useful_tokens=useful)

    def _refuse_all(self, now_s: float) -> None:
        """The budget is gone: every waiting sample is denied, which lets its search conclude."""
        while (task := self.samples.refuse()) is not None:
            self._advance(task.problem_id, self._ended(task).search.denied(task), now_s)

    def _sampled(self, task: SampleTask, result: Sampled, replica: str, now_s: float) -> None:
        granted = self.ledger.settle(task.key, used_tokens=result.generated_tokens)
        self.counts.sampled(result)
        if task.key not in self._recalls:
            self._lengths.observe(task.until, result.generated_tokens)
        self.samples.settle(task.key)
        search = self._ended(task, len(result.steps)).search
        try:
            tasks = search.sampled(task, result, granted_tokens=granted, replica=replica)
        except StrategyFailed as failed:
            self._fail(task.problem_id, str(failed), now_s)
        else:
            self._advance(task.problem_id, tasks, now_s)

    def _unserved(self, dispatcher: _Tasks, task: ReplicaTask, told: PrefixMissing | CallFailed, now_s: float) -> None:
        """A live replica had no use for a call: send it again, in full or for another try, or give the problem up."""
        if task.key in self._recalls:
            dispatcher.settle(task.key)
            self._gone(task, now_s)
        elif (error := self._retries.error(task.key, told)) is None:
            dispatcher.retry(task.key)
        else:
            self._fail(task.problem_id, error, now_s)

    def _fail(self, problem_id: str, error: str, now_s: float) -> None:
        opened = self._open.get(problem_id)
        if opened is None:
            return
        self._recalls.drop(opened.keys)
        for key in opened.keys:
            self._discard(key)
        opened.search.failed(error)
        self._conclude(problem_id, now_s)

    def _advance(self, problem_id: str, tasks: Iterable[Task], now_s: float) -> None:
        opened, to_do, num_samples = self._open[problem_id], deque(tasks), 0
        while to_do:
            task = to_do.popleft()
            if isinstance(task, CompareTask):
                self._to_compare.append(task)
            elif isinstance(task, CancelTask):
                self._admission.asked(opened, num_samples)
                num_samples = 0
                for recalled in task.samples:
                    if (gone := self._recalls.recall(recalled)) is not None:
                        to_do.extend(self._ended(gone).search.cancelled(gone))
            elif isinstance(task, ScoreTask) and not self._has_prm:
                self._fail(problem_id, "the strategy asks for scores, and the recipe has no [prm]", now_s)
                return
            elif isinstance(task, SampleTask):
                num_samples += 1
                self._gathering.ready(problem_id)
                self.samples.push(task, opened.waits_for(task))
            else:
                self.scores.push(task, opened.waits_for(task))
        self._admission.asked(opened, num_samples)
        if opened.search.finished:
            self._conclude(problem_id, now_s)

    def _gone(self, task: ReplicaTask, now_s: float) -> None:
        self._advance(task.problem_id, self._ended(task).search.cancelled(task), now_s)

    def _replica_down(self, culprits: Sequence[ReplicaTask], cause: str, now_s: float) -> None:
        for task in culprits:
            if task.key in self._recalls:
                self._gone(task, now_s)
            else:
                self._discard(task.key)
                self._fail(task.problem_id, cause, now_s)
        for task in self._recalls.lost():
            self._gone(task, now_s)

    def _conclude(self, problem_id: str, now_s: float) -> None:
        opened = self._open.pop(problem_id)
        self._gathering.ready(problem_id)
        self._admission.concluded(opened)
        self._concluded.append(Concluded(opened.search, now_s - opened.opened_s))

    def _ended(self, task: ReplicaTask, num_steps: int = 0) -> OpenSearch:
        """The problem of a task that is over, as one that waits for it no more."""
        self._discard(task.key)
        opened = self._open[task.problem_id]
        opened.keys.discard(task.key)
        if isinstance(task, SampleTask):
            self._admission.answered(opened, num_steps)
        return opened

    def _discard(self, key: str) -> None:
        """A task is over; a sample that will have no result gives its reservation back."""
        self.ledger.settle(key, used_tokens=0)
        self._retries.forget(key)
        self._recalls.heard(key)
