"""The search of one problem: a strategy, the tree it has grown, and the journal of its requests.

A pure state machine. It turns a request into tasks, takes their results in any order, and delivers the reply when it is
whole, in child order: node ids, seeds and rows depend on names only, never on arrival.

    begin --> tasks --> sampled / scored / denied (any order) --> reply complete --> next request --> ... --> choice
                                          compared <-- answers that only the grader can tell apart
    restore --^                             failed --> the problem ends as failed

The rows of a delivered request never change again, so they can be written while the search goes on. `restore` feeds a
new strategy what another process wrote, and stands where that one stood.
"""

from collections.abc import Mapping
from dataclasses import replace

from records.calls import Sampled, Scored
from records.failure import RunMismatch, StrategyFailed
from records.path import ENDS, Path, PrmScore
from records.problem import Problem
from records.request import Expand, Reply, ReplyKind, Score, Scoring
from records.rows import OpenRecord, RequestRow, StepRow
from scaling.answers.classes import DEFAULT_POLICY, AnswerClasses, AnswerPolicy, Pair
from scaling.search.journal import Stated, recall_answers, recorded_reply, request_hash, request_row, step_rows
from scaling.search.locality import Locality
from scaling.search.slot import Slot
from scaling.search.tasks import CompareTask, SampleTask, ScoreTask, Task
from scaling.search.texts import scored_text, stated_text
from scaling.seeds import seed_for
from scaling.strategy import Choice, Request, StrategyFactory


class ProblemSearch:
    """Runs one strategy on one problem.

    Attributes:
        choice: what the strategy concluded; None while it runs, or when the problem failed.
        error: why it failed; None otherwise.
        cut: some reply was reduced by the budget.
        root_score: the PRM's view of the bare question; None if the strategy did not ask.
        steps: rows of all delivered steps.
        requests: rows of all delivered requests.
    """

    def __init__(
        self, problem: Problem, strategy: StrategyFactory, *, run_seed: int, policy: AnswerPolicy = DEFAULT_POLICY
    ) -> None:
        self.problem = problem
        self.answers = AnswerClasses(policy)
        self.root = Path(0, None, problem.question, answers=self.answers)
        self.locality = Locality(self.root, thoughts=policy.prm_reads_thoughts)
        self.choice: Choice | None = None
        self.error: str | None = None
        self.cut = False
        self.root_score: PrmScore | None = None
        self.steps: list[StepRow] = []
        self.requests: list[RequestRow] = []
        self._run_seed = run_seed
        self._strategy = strategy(self.root)
        self._request: Request | None = None
        self._slots: list[Slot] = []  # by child
        self._num_open, self._next_node_id = 0, 1

    @property
    def finished(self) -> bool:
        """The strategy has concluded or failed."""
        return self.choice is not None or self.error is not None

    def skip(self) -> None:
        """The budget has nothing left: end without having begun."""
        self._strategy.close()  # nothing of it has run
        self.cut = True
        self.choice = Choice(None, None, ())

    def begin(self) -> list[Task]:
        """Start the strategy; its first tasks."""
        return self._resume(None)

    def restore(self, record: OpenRecord) -> list[Task]:
        """Feed the strategy the replies that it got before; the tasks of the request that follows.

        Raises:
            RunMismatch: it asks for something else than it did then.
        """
        self.steps += record.steps
        recall_answers(self.answers, self.root, record.steps)
        reply: Reply | None = None
        for row in record.requests:
            self._ask(reply)
            request = self._request
            if self.finished or request is None or request_hash(request) != row.request_hash:
                raise RunMismatch(
                    f"the strategy asks for something else than when problem {self.problem.problem_id!r} was begun "
                    f"(request {row.request}). Resume with the code that began the run, or score into a new one"
                )
            samples = self._recorded_samples(row)
            reply = recorded_reply(request, row, samples)
            for leaf, rows in zip(reply.paths, samples, strict=False):
                chain = leaf.lineage[-len(rows) :]
                self.locality.sampled(self._parent_of(chain), chain, None)
            self._note_reply(request, reply)
            self.requests.append(row)
        return self._resume(reply)

    def sampled(self, task: SampleTask, result: Sampled, *, granted_tokens: int, replica: str) -> list[Task]:
        """A child exists; what to do next: score it, or go on."""
        slot = self._slots[task.child]
        slot.granted_tokens, slot.sampled, slot.replica = granted_tokens, result, replica
        slot.answer = self._stated(task, result)
        request = self._request
        if not isinstance(request, Expand) or request.scoring is Scoring.NONE:
            return self._complete()
        texts = tuple(scored_text(step, thoughts=self.locality.thoughts) for step in result.steps)
        every = request.scoring is Scoring.STEPS
        key = f"{task.key}/score"
        return [ScoreTask(key, task.problem_id, task.request, task.child, task.parent, texts, every)]

    def scored(self, task: ScoreTask, result: Scored, *, replica: str) -> list[Task]:
        """A child or path has its scores."""
        slot = self._slots[task.child]
        slot.scored, slot.prm_replica = result, replica
        return self._complete()

    def denied(self, task: SampleTask) -> list[Task]:
        """The budget has nothing for this child."""
        if self._slots[task.child].sampled is not None:
            raise ValueError(f"{task.key} has been sampled")
        return self._complete()

    def failed(self, error: str) -> None:
        """The engines could not serve a task: the problem ends here, with the rows of what was sampled so far."""
        self.error = error
        try:
            self._strategy.close()
        except StrategyFailed as also:  # it goes on, or breaks on its way out
            self.error += f"; {also}"
        if self._request is not None:
            self.answers.settle(self._new_answers(), {})
            leaves = tuple(self._grow(slot) for slot in self._slots if slot.sampled is not None)
            self._journal(self._request, Reply(ReplyKind.FAILED, leaves), self._slots)

    def compared(self, task: CompareTask, same: Mapping[Pair, bool]) -> list[Task]:
        """The grader has told which answers are the same."""
        if task.request != len(self.requests):
            raise ValueError(f"{task.problem_id} does not wait for a comparison of request {task.request}")
        return self._deliver(same)

    def _complete(self) -> list[Task]:
        self._num_open -= 1
        if self._num_open:
            return []
        pairs = self.answers.pairs(self._new_answers())
        return [CompareTask(self.problem.problem_id, len(self.requests), pairs)] if pairs else self._deliver({})

    def _new_answers(self) -> list[str]:
        """What the finished samples of the request state, in child order."""
        return [slot.answer for slot in self._slots if slot.answer]

    def _stated(self, task: SampleTask, sampled: Sampled) -> str | None:
        """The answer of a finished sample, empty where it states none; None of others."""
        if sampled.steps[-1].finish_reason not in ENDS:
            return None
        return self.answers.answer(stated_text(task.parent, sampled)) or ""

    def _deliver(self, same: Mapping[Pair, bool]) -> list[Task]:
        request, slots = self._request, self._slots
        self.answers.settle(self._new_answers(), same)
        if isinstance(request, Expand):
            reply = self._children(slots)
        elif isinstance(request, Score):
            reply = self._scores(request, slots)
        else:
            raise TypeError(f"{self.problem.problem_id} has no request to deliver")
        self._journal(request, reply, slots)
        self._note_reply(request, reply)
        return self._resume(reply)

    def _note_reply(self, request: Request, reply: Reply) -> None:
        self.cut = self.cut or reply.kind is not ReplyKind.FULL
        if isinstance(request, Score):
            self.root_score = next((path.score for path in reply.paths if path.parent is None), self.root_score)

    def _recorded_samples(self, row: RequestRow) -> list[list[StepRow]]:
        """The recorded steps of each child of a request: a child's nodes are those up to its leaf."""
        samples = []
        for leaf in row.child_ids:
            samples.append(self.steps[self._next_node_id - 1 : leaf])  # node ids count the step rows up from 1
            self._next_node_id = leaf + 1
        return samples

    @staticmethod
    def _parent_of(chain: list[Path]) -> Path:
        parent = chain[0].parent
        if parent is None:
            raise ValueError("the root was not sampled")
        return parent

    def _journal(self, request: Request, reply: Reply, slots: list[Slot]) -> None:
        expand = isinstance(request, Expand)
        granted = tuple(slot.granted_tokens for slot in slots) if expand else ()
        scored = () if expand else tuple(slot.scored for slot in slots if slot.scored is not None)
        number = len(self.requests)
        row = request_row(self.problem.problem_id, number, request, reply, granted_tokens=granted, scored=scored)
        self.requests.append(row)

    def _children(self, slots: list[Slot]) -> Reply:
        leaves = tuple(self._grow(slot) for slot in slots if slot.sampled is not None)
        if not any(slot.cut for slot in slots):
            return Reply(ReplyKind.FULL, leaves)
        return Reply(ReplyKind.REDUCED if leaves else ReplyKind.BUDGET_EXHAUSTED, leaves)

    def _grow(self, slot: Slot) -> Path:
        """Turn one sampled child into nodes and rows; its leaf."""
        task, sampled, scored = slot.task, slot.sampled, slot.scored
        if not isinstance(task, SampleTask) or sampled is None or slot.replica is None:
            raise ValueError(f"{slot.task.key} has nothing to grow")
        scores: list[PrmScore | None] = [None] * len(sampled.steps)
        if scored is not None:
            scores[len(scores) - len(scored.scores) :] = scored.scores
        nodes: list[Path] = []
        parent = task.parent
        for step, score in zip(sampled.steps, scores, strict=True):
            parent = Path(
                self._next_node_id, parent, step.text, step.token_ids, step.finish_reason, step.logprob_sum, score,
                step.token_confidences, step.sampled_logprob_sum, phases=step.phases,
            )  # fmt: skip
            self._next_node_id += 1
            nodes.append(parent)
        self.locality.sampled(task.parent, nodes, slot.replica)
        if slot.prm_replica is not None:
            self.locality.scored(nodes[-1], slot.prm_replica)
        stated = Stated(slot.answer, self.answers.form(slot.answer) if slot.answer else None)
        self.steps += step_rows(
            task, nodes, sampled, scored, replica=slot.replica, prm_replica=slot.prm_replica, stated=stated
        )
        return nodes[-1]

    def _scores(self, request: Score, slots: list[Slot]) -> Reply:
        paths: list[Path] = []
        for path, slot in zip(request.paths, slots, strict=True):
            if slot.scored is None or slot.prm_replica is None:
                raise ValueError(f"{slot.task.key} has no score")
            self.locality.scored(path, slot.prm_replica)
            paths.append(replace(path, score=slot.scored.scores[-1]))
        return Reply(ReplyKind.FULL, tuple(paths))

    def _resume(self, reply: Reply | None) -> list[Task]:
        """Hand a reply to the strategy (None to start it); the tasks of its next request.

        A request for nothing is answered at once: it is still a row, and the strategy goes on.
        """
        while True:
            self._ask(reply)
            if self._request is None:
                return []
            tasks = self._tasks(self._request)
            if tasks:
                self._slots = [Slot(task) for task in tasks]
                self._num_open = len(tasks)
                return list(tasks)
            reply = Reply(ReplyKind.FULL, ())
            self._journal(self._request, reply, [])

    def _ask(self, reply: Reply | None) -> None:
        """Hand a reply to the strategy; its next request, or None with its choice or error."""
        self._request = None
        try:
            self._request = next(self._strategy) if reply is None else self._strategy.send(reply)
        except StopIteration as stop:
            self.choice = stop.value
        except StrategyFailed as failed:
            self.error = str(failed)

    def _tasks(self, request: Request) -> list[SampleTask] | list[ScoreTask]:
        problem_id, number = self.problem.problem_id, len(self.requests)
        if isinstance(request, Score):
            return [self._score_task(path, number, child) for child, path in enumerate(request.paths)]
        parents = [path for path, num_samples in request.parents for _ in range(num_samples)]
        return [
            SampleTask(
                key=f"{problem_id}/{number}/{child}",
                problem_id=problem_id,
                request=number,
                child=child,
                parent=parent,
                until=request.until,
                max_tokens=request.most_tokens(parent),
                seed=seed_for(self._run_seed, problem_id, number, child),
                temperature=request.temperature,
                top_logprobs=request.top_logprobs,
                priority=request.priority,
                forced_text=request.forced_text,
            )
            for child, parent in enumerate(parents)
        ]

    def _score_task(self, path: Path, number: int, child: int) -> ScoreTask:
        own = () if path.parent is None else (scored_text(path, thoughts=self.locality.thoughts),)
        key = f"{self.problem.problem_id}/{number}/{child}/score"
        return ScoreTask(key, self.problem.problem_id, number, child, path.parent or path, own, False)
