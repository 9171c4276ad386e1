"""The tree of one problem while it grows: children become nodes and rows; ids count up as they are delivered."""

from dataclasses import replace

from records.calls import Sampled
from records.path import ENDS, Path, PrmScore
from records.request import Reply, ReplyKind, Score
from records.rows import RequestRow, StepRow
from scaling.answers.classes import AnswerClasses
from scaling.search.journal import Child, Stated, step_rows
from scaling.search.locality import Locality
from scaling.search.open_children import OpenChildren
from scaling.search.slot import Slot
from scaling.search.tasks import SampleTask
from scaling.search.texts import stated_text


class Growth:
    """The nodes of one problem.

    Attributes:
        steps: rows of all delivered steps.
        locality: where their prefixes are held.
    """

    def __init__(self, root: Path, answers: AnswerClasses, *, thoughts: bool) -> None:
        self.steps: list[StepRow] = []
        self.locality = Locality(root, thoughts=thoughts)
        self._answers = answers
        self._next_node_id = 1

    def recorded(self, row: RequestRow) -> list[Child]:
        """The recorded children of a reply, whose steps are there already: a child's nodes are those up to its leaf."""
        children = []
        for index, leaf in enumerate(row.child_ids):
            rows = self.steps[self._next_node_id - 1 : leaf]  # node ids count the step rows up from 1
            number = index if row.child_numbers is None else row.child_numbers[index]
            children.append(Child(rows, (rows[0].request, number)))
            self._next_node_id = leaf + 1
        return children

    def recall(self, leaf: Path, num_steps: int) -> None:
        """A recorded child is a path again; nobody is known to hold it."""
        chain = leaf.lineage[-num_steps:]
        parent = chain[0].parent
        if parent is None:
            raise ValueError("the root was not sampled")
        self.locality.sampled(parent, chain, None)

    def grow(self, slot: Slot) -> Path:
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
        stated = Stated(slot.answer, self._answers.form(slot.answer) if slot.answer else None)
        self.steps += step_rows(
            task, nodes, sampled, scored, replica=slot.replica, prm_replica=slot.prm_replica, stated=stated
        )
        return nodes[-1]

    def stated(self, task: SampleTask, sampled: Sampled) -> str | None:
        """The answer of a finished sample, empty where it states none; None of others."""
        if not sampled.steps or sampled.steps[-1].finish_reason not in ENDS:
            return None
        return self._answers.answer(stated_text(task.parent, sampled)) or ""

    def whole_reply(self, slots: list[Slot]) -> Reply:
        """All children of a request at once, in child order."""
        leaves = tuple(self.grow(slot) for slot in slots if slot.sampled is not None)
        if not any(slot.cut for slot in slots):
            return Reply(ReplyKind.FULL, leaves)
        return Reply(ReplyKind.REDUCED if leaves else ReplyKind.BUDGET_EXHAUSTED, leaves)

    def one_reply(self, slots: list[Slot], left: OpenChildren) -> Reply:
        """The reply with one child, or with none where no other is to come; `left` may still be delivered."""
        leaves = tuple(self.grow(slot) for slot in slots)
        kind = ReplyKind.FULL
        if left.cut:
            kind = ReplyKind.REDUCED if left.num_delivered else ReplyKind.BUDGET_EXHAUSTED
        return Reply(kind, leaves, tuple(slot.name for slot in slots), len(left))

    def score_reply(self, request: Score, slots: list[Slot]) -> Reply:
        """The same paths with their scores."""
        paths: list[Path] = []
        for path, slot in zip(request.paths, slots, strict=True):
            if slot.scored is None or slot.prm_replica is None:
                raise ValueError(f"{slot.task.key} has no score")
            self.locality.scored(path, slot.prm_replica)
            paths.append(replace(path, score=slot.scored.scores[-1]))
        return Reply(ReplyKind.FULL, tuple(paths))
