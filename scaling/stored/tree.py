"""The tree that a run has stored of one problem: who was sampled from what, how, and with which scores.

    requests, in order --> children of each node, in the order in which they were asked for
    steps, score requests --> scores of nodes, and what the PRM read for each

Nodes keep the numbers that the run gave them, so a path of a replay is a path of the tree.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

from records.path import ENDS, FinishReason, Path, Phases, PrmScore, text_after_thought
from records.request import Scoring, Until
from records.rows import ProblemRecord, RequestRow, Status, StepRow
from scaling.answers.classes import DEFAULT_POLICY, AnswerClasses, AnswerPolicy
from scaling.search.journal import parent_of, recall_answers, recorded_leaf, recorded_phases, recorded_score
from scaling.search.phases import thinking_tokens_of
from scaling.search.probes import passing_probes


@dataclass(frozen=True, slots=True)
class StoredScore:
    """The PRM's view of one node, and the tokens that it read for it; `prm_tokens` includes cached ones."""

    score: PrmScore
    prm_tokens: int
    prm_cached_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class StoredChild:
    """One sample that follows a node.

    Attributes:
        until: where it was to end.
        temperature: of its request; None for the run's sampling.
        granted_tokens: most that the engine might sample.
        forced_text: that was put behind the node first; empty: nothing was.
        rows: its steps.
        number: of the child within its request, where children are delivered one by one; else its place among those
            that were sampled.
    """

    until: Until
    temperature: float | None
    granted_tokens: int
    forced_text: str
    rows: tuple[StepRow, ...]
    number: int

    @property
    def name(self) -> tuple[int, int]:
        """Number of the request that asked for it, then its own."""
        return self.rows[0].request, self.number

    @property
    def is_cancelled(self) -> bool:
        """Whether the run needed it no more before it came to its end."""
        return self.rows[-1].finish_reason == FinishReason.CANCELLED

    @property
    def leaf(self) -> int:
        """The node that it ends at."""
        return self.rows[-1].node_id

    @property
    def parent(self) -> int:
        """Id of the node that this child continues."""
        return self.rows[0].parent_id

    @property
    def num_tokens(self) -> int:
        """Number of tokens that were sampled for it."""
        return sum(row.generated_tokens for row in self.rows)

    def thinking_tokens(self, num_tokens: int | None) -> int | None:
        """Thinking tokens of the first so many that were sampled for it (None: of all); None where nobody tells."""
        rows = self.until_token(num_tokens)
        known = thinking_tokens_of(row.thinking_tokens for row in rows)
        if known is None or num_tokens is None:
            return known
        last = rows[-1]  # the one that the first tokens end in; its thought comes before its answer
        within = num_tokens - sum(row.generated_tokens for row in rows[:-1])
        return known - max(0, (last.thinking_tokens or 0) - within)

    def until_token(self, num_tokens: int | None) -> Sequence[StepRow]:
        """The steps that the first tokens of it belong to; None: all."""
        if num_tokens is None:
            return self.rows
        begins = accumulate((row.generated_tokens for row in self.rows), initial=0)
        return [row for row, begin in zip(self.rows, begins, strict=False) if begin < num_tokens]

    @property
    def is_finished(self) -> bool:
        """Whether nothing can follow it."""
        return self.rows[-1].finish_reason in ENDS

    @property
    def has_confidences(self) -> bool:
        """Whether its request asked for token confidences."""
        return self.rows[-1].token_confidences is not None

    def is_what(self, max_tokens: int) -> bool:
        """Whether the engine would have sampled just this under another bound."""
        reason = FinishReason(self.rows[-1].finish_reason)
        if reason is FinishReason.CANCELLED:
            return False
        cut = reason in (FinishReason.LENGTH, FinishReason.UNFINISHED_THOUGHT)
        asked_for = reason is FinishReason.TOKENS and self.until is not Until.STEP  # there the generator's own bound
        if asked_for or (cut and self.num_tokens == self.granted_tokens):
            return self.num_tokens == max_tokens  # the bound itself ended it
        return self.num_tokens <= max_tokens


@dataclass(slots=True, eq=False)
class StoredTree:
    """All that a run has stored of one problem.

    Attributes:
        problem_id: its id.
        root: the bare question, without a score.
        requests: by number.
        children: node -> what was sampled from it, in the order of requests, then of children.
        by_leaf: the same children by their leaves.
        nodes: their steps; the root has none.
        scores: of nodes, where somebody asked.
        top_logprobs: likeliest tokens that the run's confidences were computed over; 0: it asked for none.
        was_skipped: the budget left nothing for it: the run never began it.
        answers: how its answers are read; the root knows it too.
    """

    problem_id: str
    root: Path
    requests: tuple[RequestRow, ...]
    children: Mapping[int, Sequence[StoredChild]]
    by_leaf: Mapping[int, StoredChild]
    nodes: Mapping[int, StepRow]
    scores: Mapping[int, StoredScore]
    top_logprobs: int
    was_skipped: bool
    answers: AnswerClasses
    _answers: dict[int, str | None] = field(default_factory=dict)
    _first: dict[tuple[int, Scoring, bool], Path] = field(default_factory=dict)

    @property
    def ended(self) -> list[int]:
        """The leaves at which something came to its end, probes of paths that went on among them."""
        return [leaf for leaf, child in self.by_leaf.items() if child.is_finished]

    @property
    def finished(self) -> list[int]:
        """The leaves at which a sample came to its end; of a probe only where its path ends with it."""
        passing = passing_probes(self.nodes[node] for node in sorted(self.nodes))
        return [leaf for leaf in self.ended if leaf not in passing]

    def answer_of(self, leaf: int) -> str | None:
        """As found in the whole solution that ends there."""
        if leaf not in self._answers:
            steps: list[tuple[str, Phases | None]] = []
            node = leaf
            while row := self.nodes.get(node):
                steps.append((row.text, recorded_phases(row)))
                node = row.parent_id
            self._answers[leaf] = self.answers.answer(text_after_thought(steps))
        return self._answers[leaf]

    def read_by(self, answers: AnswerClasses) -> "StoredTree":
        """The same tree, its answers read in another way."""
        root = replace(self.root, answers=answers)
        return replace(self, root=root, answers=answers, _answers={}, _first={})

    def path_of(self, parent: Path, child: StoredChild, scoring: Scoring, *, confident: bool) -> Path:
        """A child as the reply to a request: with the scores and confidences that were asked for, and no others.

        Args:
            parent: the path that it continues.
            child: of that node.
            scoring: of the request; every score that it asks for must be stored.
            confident: it asks for confidences.
        """
        key = (child.leaf, scoring, confident)
        if parent is self.root and key in self._first:
            return self._first[key]
        path = recorded_leaf(parent, [self._as_asked(row, child, scoring, confident) for row in child.rows])
        if parent is self.root:  # the same paths serve every strategy that is played on whole samples
            self._first[key] = path
        return path

    def scored_nodes(self, child: StoredChild, scoring: Scoring) -> list[int]:
        """The nodes of a child that a request has scored."""
        if scoring is Scoring.NONE:
            return []
        return [child.leaf] if scoring is Scoring.LEAF else [row.node_id for row in child.rows]

    def _as_asked(self, row: StepRow, child: StoredChild, scoring: Scoring, confident: bool) -> StepRow:
        asked = scoring is Scoring.STEPS or (scoring is Scoring.LEAF and row.node_id == child.leaf)
        score = self.scores[row.node_id].score if asked else None
        return replace(
            row,
            p_lower=score.lower if score else None,
            p_median=score.median if score else None,
            p_upper=score.upper if score else None,
            token_confidences=row.token_confidences if confident else None,
            sampled_logprob_sum=row.sampled_logprob_sum if confident else None,
        )


def stored_tree(record: ProblemRecord, *, top_logprobs: int, policy: AnswerPolicy = DEFAULT_POLICY) -> StoredTree:
    """The tree that the rows of a problem record.

    Args:
        record: all rows of the problem, steps by node and requests by number.
        top_logprobs: that the run's strategy asks for.
        policy: of the run; what its rows say of answers comes first.
    """
    row = record.problem
    answers = AnswerClasses(policy)
    root = Path(0, None, row.question, answers=answers)
    recall_answers(answers, root, record.steps)
    children: defaultdict[int, list[StoredChild]] = defaultdict(list)
    for child in _children(record):
        children[child.parent].append(child)
    for own in children.values():
        own.sort(key=lambda child: child.name)  # those that were delivered one by one stand in order of arrival
    by_leaf = {child.leaf: child for own in children.values() for child in own}
    skipped = row.status in (Status.BUDGET_EXHAUSTED, Status.CANCELLED) and not record.requests
    return StoredTree(
        problem_id=row.problem_id,
        root=root,
        requests=record.requests,
        children=dict(children),
        by_leaf=by_leaf,
        nodes={step.node_id: step for step in record.steps},
        scores=_scores(record),
        top_logprobs=top_logprobs,
        was_skipped=skipped,
        answers=answers,
    )


def _children(record: ProblemRecord) -> Iterator[StoredChild]:
    next_node = 1
    by_number = {request.request: request for request in record.requests}
    for request in record.requests:
        granted = [tokens for tokens in request.granted_tokens if tokens]  # of those that were sampled
        for index, (leaf, tokens) in enumerate(zip(request.child_ids, granted, strict=True)):
            rows = record.steps[next_node - 1 : leaf]  # node ids count the step rows up from 1
            asked = by_number.get(rows[0].request, request)
            if asked.until is None:  # a score has no children
                break
            number = index if request.child_numbers is None else request.child_numbers[index]
            yield StoredChild(Until(asked.until), asked.temperature, tokens, asked.forced_text or "", rows, number)
            next_node = leaf + 1


def _scores(record: ProblemRecord) -> dict[int, StoredScore]:
    found: dict[int, StoredScore] = {}
    lengths = {0: len(record.problem.question)}
    for row in record.steps:
        lengths[row.node_id] = parent_of(row, lengths) + len(row.text)
        score = recorded_score(row.p_lower, row.p_median, row.p_upper)
        if score is not None:
            found[row.node_id] = StoredScore(score, row.prm_tokens, row.prm_cached_tokens)
    for request in record.requests:
        if request.kind != "score":
            continue
        weights = [lengths[node] for node in request.node_ids]
        tokens, cached = _shares(request.prm_tokens, weights), _shares(request.prm_cached_tokens, weights)
        quantiles = zip(request.p_lower, request.p_median, request.p_upper, strict=True)
        for node, values, own, own_cached in zip(request.node_ids, quantiles, tokens, cached, strict=True):
            score = recorded_score(*values)
            if score is not None:
                found.setdefault(node, StoredScore(score, own, own_cached))
    return found


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts by weight, which add up to it: a request says what all its paths took together."""
    if not any(weights):
        weights = [1] * len(weights)
    ends = [round(total * end / sum(weights)) for end in accumulate(weights)]
    return [end - begin for begin, end in pairwise([0, *ends])]
