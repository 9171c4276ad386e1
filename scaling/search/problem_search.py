"""The search of one problem: a strategy, the tree it has grown, and the journal of its requests.

A pure state machine. It turns a request into tasks, takes their results in any order, and delivers the reply when it is
whole, in child order: node ids, seeds and rows depend on names only, never on arrival.

    begin --> tasks --> sampled / scored / denied (any order) --> reply complete --> next request --> ... --> choice
                                          compared <-- answers that only the grader can tell apart
    restore --^                             failed --> the problem ends as failed

Where a strategy asks for its children one by one, the order of arrival is what it decides by: each reply is a row that
names the child that it delivered, so the journal has that order, and a journal that is fed again takes the same
decisions. What is open when the strategy goes on to something else, or returns, is cancelled; the search goes on once
each has had its last word, with a row of what was sampled of them (`cancel`).

The rows of a delivered request never change again, so they can be written while the search goes on. `restore` feeds a
new strategy what another process wrote, and stands where that one stood.
"""

from collections.abc import Mapping, Sequence

from records.calls import Sampled, Scored
from records.failure import RunMismatch, StrategyFailed
from records.path import Path, PrmScore
from records.problem import Problem
from records.request import Reply, ReplyKind, Score, Scoring, is_each
from records.rows import OpenRecord, RequestRow, StepRow
from scaling.answers.classes import DEFAULT_POLICY, AnswerClasses, AnswerPolicy, Pair
from scaling.search.growth import Growth
from scaling.search.journal import (
    CANCEL,
    Child,
    cancel_row,
    recall_answers,
    recorded_reply,
    request_hash,
    request_row,
)
from scaling.search.locality import Locality
from scaling.search.open_children import OpenChildren
from scaling.search.slot import Slot, slots_of
from scaling.search.tasks import (
    CancelTask,
    CompareTask,
    ReplicaTask,
    SampleTask,
    ScoreTask,
    Task,
    score_key,
)
from scaling.search.texts import scored_text
from scaling.strategy import Choice, Request, StrategyFactory


class ProblemSearch:
    """Runs one strategy on one problem.

    Attributes:
        choice: what the strategy concluded; None while it runs, or when the problem failed.
        error: why it failed; None otherwise.
        cut: some reply was reduced by the budget.
        root_score: the PRM's view of the bare question; None if the strategy did not ask.
        requests: rows of all delivered requests.
    """

    def __init__(
        self, problem: Problem, strategy: StrategyFactory, *, run_seed: int, policy: AnswerPolicy = DEFAULT_POLICY
    ) -> None:
        self.problem = problem
        self.answers = AnswerClasses(policy)
        self.root = Path(0, None, problem.question, answers=self.answers)
        self.choice: Choice | None = None
        self.error: str | None = None
        self.cut = False
        self.root_score: PrmScore | None = None
        self.requests: list[RequestRow] = []
        self._growth = Growth(self.root, self.answers, thoughts=policy.prm_reads_thoughts)
        self._run_seed = run_seed
        self._strategy = strategy(self.root)
        self._request: Request | None = None
        self._slots: list[Slot] = []  # of a request that is delivered whole, by child
        self._num_missing = 0
        self._open = OpenChildren()
        self._compared: list[Slot] | None = None  # whose answers the grader looks at

    @property
    def steps(self) -> list[StepRow]:
        """Rows of all delivered steps."""
        return self._growth.steps

    @property
    def locality(self) -> Locality:
        """Where the prefixes are held."""
        return self._growth.locality

    @property
    def finished(self) -> bool:
        """The strategy has concluded or failed, and nothing that it asked for is under way any more."""
        return (self.choice is not None or self.error is not None) and not self._open.ending

    def skip(self) -> None:
        """The budget has nothing left: end without having begun."""
        self._strategy.close()  # nothing of it has run
        self.cut = True
        self.choice = Choice(None, None, ())

    def begin(self) -> list[Task]:
        """Start the strategy; its first tasks."""
        self._ask(None)
        return self._proceed(self._begin())

    def restore(self, record: OpenRecord) -> list[Task]:
        """Feed the strategy the replies that it got before; the tasks of the request that follows.

        Children that were open and had not come are asked for again.

        Raises:
            RunMismatch: it asks for something else than it did then.
        """
        self.steps.extend(record.steps)
        recall_answers(self.answers, self.root, record.steps)
        reply: Reply | None = None
        for row in record.requests:
            children = self._growth.recorded(row)
            if row.kind == CANCEL:  # the strategy heard nothing of it
                self._open.drop()
            else:
                reply = self._heard(reply, row, children)
            self.requests.append(row)
        self._ask(reply)
        return self._proceed(self._begin())

    def _heard(self, before: Reply | None, row: RequestRow, children: list[Child]) -> Reply:
        """Hand the strategy a recorded reply; the one that `row` records to what it asks for then."""
        self._ask(before)
        request = self._request
        if request is None or request_hash(request) != row.request_hash:
            raise RunMismatch(
                f"the strategy asks for something else than when problem {self.problem.problem_id!r} was begun "
                f"(request {row.request}). Resume with the code that began the run, or score into a new one"
            )
        if is_each(request):
            self._open.add(self._asked_for(request))
        reply = recorded_reply(request, row, children, self._open.parents())
        for leaf, child in zip(reply.paths, children, strict=False):
            self._growth.recall(leaf, len(child.rows))
        if is_each(request):
            self._open.heard(reply)
        self._note_reply(request, reply)
        return reply

    def sampled(self, task: SampleTask, result: Sampled, *, granted_tokens: int, replica: str) -> list[Task]:
        """A child exists; what to do next: score it, or go on. Raises `StrategyFailed`: its answer cannot be read."""
        slot = self._slot(task)
        slot.granted_tokens, slot.sampled, slot.replica = granted_tokens, result, replica
        slot.answer = ""  # for its row, where it cannot be read
        slot.answer = self._growth.stated(task, result)
        if slot.scoring is Scoring.NONE or self._open.ending:
            return self._complete(slot)
        texts = tuple(scored_text(step, thoughts=self.locality.thoughts) for step in result.steps)
        every = slot.scoring is Scoring.STEPS
        return [ScoreTask(score_key(task.key), task.problem_id, task.request, task.child, task.parent, texts, every)]

    def scored(self, task: ScoreTask, result: Scored, *, replica: str) -> list[Task]:
        """A child or path has its scores."""
        slot = self._slot(task)
        slot.scored, slot.prm_replica = result, replica
        return self._complete(slot)

    def denied(self, task: SampleTask) -> list[Task]:
        """The budget has nothing for this child."""
        slot = self._slot(task)
        if slot.sampled is not None:
            raise ValueError(f"{task.key} has been sampled")
        return self._complete(slot)

    def cancelled(self, task: ReplicaTask) -> list[Task]:
        """Nothing more comes of a child of a `CancelTask`: it was not begun, or lost, or will not be scored."""
        return self._complete(self._slot(task))

    def failed(self, error: str) -> None:
        """The engines could not serve a task: the problem ends here, with the rows of what was sampled so far."""
        self.error, self.choice = error, None
        try:
            self._strategy.close()
        except StrategyFailed as also:  # it goes on, or breaks on its way out
            self.error += f"; {also}"
        slots = [slot for slot in self._slots if slot.sampled is not None]
        slots += [*([] if self._compared is self._slots else self._compared or []), *self._open.drop()]
        self.answers.settle(_answers(slots), {})
        leaves = tuple(self._growth.grow(slot) for slot in slots)
        if self._request is not None:
            self._journal(self._request, Reply(ReplyKind.FAILED, leaves), self._slots or slots)
        elif slots:
            self.requests.append(cancel_row(self.problem.problem_id, len(self.requests), leaves, slots))

    def compared(self, task: CompareTask, same: Mapping[Pair, bool]) -> list[Task]:
        """The grader has told which answers are the same."""
        slots, self._compared = self._compared, None
        if slots is None or task.request != len(self.requests):
            raise ValueError(f"{task.problem_id} does not wait for a comparison of request {task.request}")
        return self._proceed(self._take(slots, same))

    def _slot(self, task: ReplicaTask) -> Slot:
        return self._open[task.name] if task.name in self._open else self._slots[task.child]

    def _complete(self, slot: Slot) -> list[Task]:
        """All parts of a child are there, or none will come."""
        if slot.name in self._open:
            self._open.arrived(slot.name)
        else:
            self._num_missing -= 1
        return self._proceed([])

    def _proceed(self, tasks: list[Task]) -> list[Task]:
        """Deliver all that can be delivered without waiting for anybody; `tasks`, and those that follow."""
        while (slots := self._ready()) is not None:
            pairs = self.answers.pairs(_answers(slots))
            if pairs:
                self._compared = slots
                return [*tasks, CompareTask(self.problem.problem_id, len(self.requests), pairs)]
            tasks += self._take(slots, {})
        return tasks

    def _ready(self) -> list[Slot] | None:
        """The children to be delivered next; None where a replica or the grader has to be waited for."""
        if self._compared is not None:
            return None
        if self._open.ending:
            return self._open.last_words()
        if self._request is None:
            return None
        if is_each(self._request):
            if (slot := self._open.take()) is not None:
                return [slot]
            return None if self._open else []
        return self._slots if self._num_missing == 0 else None

    def _take(self, slots: list[Slot], same: Mapping[Pair, bool]) -> list[Task]:
        """Deliver some children, of which the grader has told which answers are the same; the tasks that follow."""
        request = self._request
        self.answers.settle(_answers(slots), same)
        if self._open.ending:  # nobody waits for these, but for their place in the tables
            leaves = tuple(self._growth.grow(slot) for slot in slots)
            self.requests.append(cancel_row(self.problem.problem_id, len(self.requests), leaves, slots))
            self._open.drop()
            return self._begin()
        if request is None:
            raise TypeError(f"{self.problem.problem_id} has no request to deliver")
        if isinstance(request, Score):
            reply = self._growth.score_reply(request, slots)
        else:
            reply = self._growth.one_reply(slots, self._open) if is_each(request) else self._growth.whole_reply(slots)
        self._journal(request, reply, slots)
        self._note_reply(request, reply)
        self._slots = []
        self._ask(reply)
        return self._begin()

    def _note_reply(self, request: Request, reply: Reply) -> None:
        self.cut = self.cut or reply.kind is not ReplyKind.FULL
        if isinstance(request, Score):
            self.root_score = next((path.score for path in reply.paths if path.parent is None), self.root_score)

    def _journal(self, request: Request, reply: Reply, slots: list[Slot]) -> None:
        self.requests.append(request_row(self.problem.problem_id, len(self.requests), request, reply, slots))

    def _ask(self, reply: Reply | None) -> None:
        """Hand a reply to the strategy (None to start it); its next request, or None with its choice or error."""
        self._request = None
        try:
            self._request = next(self._strategy) if reply is None else self._strategy.send(reply)
        except StopIteration as stop:
            self.choice = stop.value
        except StrategyFailed as failed:
            self.error = str(failed)

    def _begin(self) -> list[Task]:
        """The tasks of what the strategy asks for now; first of all what it needs no more is cancelled."""
        request = self._request
        if self._open and not is_each(request):
            cancelled = self._open.end()
            return [CancelTask(tuple(cancelled))] if cancelled else []
        if request is None:
            return []
        slots = self._asked_for(request)
        if is_each(request):
            self._open.add(slots)
            return list(self._open.to_send())
        self._slots, self._num_missing = slots, len(slots)
        return [slot.task for slot in slots]

    def _asked_for(self, request: Request) -> list[Slot]:
        thoughts, number = self.locality.thoughts, len(self.requests)
        return slots_of(request, self.problem.problem_id, number, self._run_seed, thoughts=thoughts)


def _answers(slots: Sequence[Slot]) -> list[str]:
    """What the finished samples among some state, in their order."""
    return [slot.answer for slot in slots if slot.answer]
