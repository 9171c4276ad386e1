"""A strategy decides again on what a run has stored: no sampling, no model, and nothing guessed.

    request --> as the run's own at this place, so far?   the recorded reply, as it was delivered, cuts included
            --> otherwise                                 children of the stored nodes that nobody has taken yet, in
                                                          order; scores of nodes where somebody asked
            --> not stored                                the decision left the stored tree: what follows is unknown

Under the settings of the run every request is the recorded one, so every number of its rows comes back. Under others,
a child is taken where the engine would have sampled just this: of the same node, to the same end, at the same
temperature, within the bound that is asked for now.

Children that are delivered one by one come as recorded while every request is the recorded one; after that in the order
of `scaling.stored.arrivals`, by their tokens alone. One that the run cancelled has no known length: where it would come
next, the decision has left the stored tree.

What a cap cut was cut by what all problems wanted then. So a reply that it cut says something only where no problem of
the run asks for anything else now (`Replayed.is_cut` and `differs`).
"""

from dataclasses import dataclass, replace

from records.failure import StrategyFailed
from records.path import Path, PrmScore
from records.request import Expand, Next, Reply, ReplyKind, Score, is_each
from records.rows import RequestRow
from scaling.search.accounting import pruned_tokens_of
from scaling.search.journal import CANCEL, recorded_score, request_hash
from scaling.search.phases import thinking_tokens_of
from scaling.search.probes import passing_probes
from scaling.stored.arrivals import Arrivals
from scaling.stored.problem import Cost, NotStored
from scaling.stored.tree import StoredChild, StoredTree
from scaling.strategy import Choice, Request, Strategy, StrategyFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a strategy came to on one stored problem.

    Attributes:
        choice: what it concluded; None where it left the stored tree or failed: unknown.
        left: what it asked for that is not stored; None where it stayed.
        error: a strategy of the user's own failed in this way; None otherwise.
        num_requests: that it made, the one that left included.
        leaves: nodes of the children that it took, in order.
        num_samples: of those, the children that are no probes.
        finished: of those, the ones that brought a sample to its end (`scaling.search.probes`).
        root_score: the PRM's view of the bare question; None if it did not ask.
        num_steps: of the children.
        pruned_tokens: generated, and in no candidate for the answer.
        cost: of the children, and of all scores.
        is_cut: a reply that the run's cap had cut was given as recorded.
        differs: it asked for something else than the run did, or said another priority.
    """

    choice: Choice | None
    left: str | None
    error: str | None
    num_requests: int
    leaves: tuple[int, ...]
    num_samples: int
    finished: tuple[int, ...]
    root_score: PrmScore | None
    num_steps: int
    pruned_tokens: int
    cost: Cost
    is_cut: bool
    differs: bool

    @property
    def answer_p(self) -> PrmScore | None:
        """How sure the replay is of its answer."""
        if self.choice is None:
            return None
        return self.choice.answer_p or (self.choice.path.score if self.choice.path else None)


def replay(strategy: StrategyFactory, tree: StoredTree) -> Replayed:
    """Run a strategy to its end on a stored tree, or to where it leaves it."""
    playback = _Playback(tree)
    if tree.was_skipped:
        playback.is_cut = True
        return playback.replayed(Choice(None, None, ()))
    begun = strategy(tree.root)
    try:
        choice = _concluded(begun, playback)
    except StrategyFailed as failed:
        return playback.replayed(None, error=str(failed))
    if isinstance(choice, str):
        return playback.replayed(None, left=choice)
    return playback.replayed(choice)


def _concluded(strategy: Strategy, playback: "_Playback") -> Choice | str:
    """What it concluded, or what it asked for that is not stored; it has ended either way."""
    try:
        request = next(strategy)
        while True:
            request = strategy.send(playback.reply_to(request))
    except StopIteration as stop:
        choice: Choice = stop.value
        playback.end_open()
        return choice
    except NotStored as left:
        strategy.close()
        return str(left)


class _Playback:
    """Serves the requests of one strategy, and keeps account.

    Attributes:
        is_cut: some reply was cut by the run's budget.
    """

    def __init__(self, tree: StoredTree) -> None:
        self.is_cut = False
        self._tree = tree
        self._num_requests = 0
        self._next_row = 0
        self._is_own = True
        self._open = Arrivals[int]()  # leaves of children that are delivered one by one
        self._asked: dict[int, tuple[Expand, tuple[int, int]]] = {}  # by which request, and what the strategy calls it
        self._number = -1  # of the request, as the run counts or would count it
        self._partly: dict[int, int] = {}  # leaves of cancelled ones, and the tokens that they had come to
        self._is_reranked = False
        self._taken: dict[int, None] = {}
        self._scored: list[tuple[int, int]] = []  # tokens and cached tokens that the PRM read
        self._root_score: PrmScore | None = None

    def reply_to(self, request: Request) -> Reply:
        """What is stored of it.

        Raises:
            NotStored: something is not.
        """
        self._num_requests += 1
        if not is_each(request):
            self.end_open()
        row = self._recorded()
        self._is_own = row is not None and request_hash(request) == row.request_hash
        own = row if self._is_own else None
        self._next_row += self._is_own
        self._number = self._number + 1 if own is None else own.request
        if isinstance(request, Score):
            return self._scores(request, own)
        if own is not None:
            self._is_reranked |= isinstance(request, Expand) and request.priority != own.worth
        if is_each(request):
            return self._next_child(request, own)
        if not isinstance(request, Expand):
            raise TypeError(f"{request} is no request")
        if own is None:
            return self._delivered(request, ReplyKind.FULL, self._next_of(request))
        return self._delivered(request, ReplyKind(own.reply_kind), [self._tree.by_leaf[leaf] for leaf in own.child_ids])

    def end_open(self) -> None:
        """The strategy needs no more what is open: it is cancelled as in the run, else where the clock stands."""
        ended, row = self._open.cancel(), self._recorded()
        if row is None or row.kind != CANCEL:
            self._partly |= {leaf: min(tokens, self._tree.by_leaf[leaf].num_tokens) for leaf, tokens in ended}
            return
        self._next_row += 1
        self._taken |= dict.fromkeys(row.child_ids)
        late = [step for leaf in row.child_ids for step in self._tree.by_leaf[leaf].rows]
        self._scored += [(step.prm_tokens, step.prm_cached_tokens) for step in late]

    def _recorded(self) -> RequestRow | None:
        """The run's own row at this place; None beyond its end, and once the strategy went another way."""
        rows = self._tree.requests
        return rows[self._next_row] if self._is_own and self._next_row < len(rows) else None

    def replayed(self, choice: Choice | None, *, left: str | None = None, error: str | None = None) -> Replayed:
        """Everything that the replayed strategy came to."""
        children = [self._tree.by_leaf[leaf] for leaf in self._taken]
        rows = [row for child in children for row in child.until_token(self._partly.get(child.leaf))]
        generated = sum(self._partly.get(child.leaf, child.num_tokens) for child in children)
        is_whole = self._is_own and self._next_row == len(self._tree.requests)
        passing = passing_probes(sorted(rows, key=lambda row: row.node_id))
        return Replayed(
            choice=choice,
            left=left,
            error=error,
            num_requests=self._num_requests,
            leaves=tuple(self._taken),
            num_samples=sum(not child.forced_text for child in children),
            finished=tuple(
                one.leaf
                for one in children
                if one.is_finished and one.leaf not in self._partly and one.leaf not in passing
            ),
            root_score=self._root_score,
            num_steps=len(rows),
            pruned_tokens=pruned_tokens_of(choice, generated),
            cost=Cost(
                generated_tokens=generated,
                thinking_tokens=thinking_tokens_of(
                    child.thinking_tokens(self._partly.get(child.leaf)) for child in children
                ),
                prompt_tokens=sum(row.prompt_tokens for row in rows),
                cached_tokens=sum(row.cached_tokens for row in rows),
                prm_tokens=sum(tokens for tokens, _ in self._scored),
                prm_cached_tokens=sum(cached for _, cached in self._scored),
            ),
            is_cut=self.is_cut,
            differs=not is_whole or self._is_reranked,
        )

    def _next_of(self, request: Expand) -> list[StoredChild]:
        """The next children of stored nodes that are of this kind, in order."""
        return [child for parent, count in request.parents for child in self._next_of_node(parent, count, request)]

    def _next_of_node(self, parent: Path, count: int, request: Expand) -> list[StoredChild]:
        name = f"problem {self._tree.problem_id!r}, node {parent.node_id}"
        children = [
            child
            for child in self._tree.children.get(parent.node_id, ())
            if child.leaf not in self._taken
            and child.until is request.until
            and child.temperature == request.temperature
            and child.forced_text == request.forced_text
        ][:count]
        if len(children) < count:
            raise NotStored(f"{name}: {count} more children are asked for, {len(children)} are stored")
        wanted = [child for child in children if not (child.is_cancelled and is_each(request))]
        if not all(child.is_what(request.most_tokens(parent)) for child in wanted):
            raise NotStored(f"{name}: a stored child was cut, or is longer than is asked for")
        confident = request.top_logprobs == self._tree.top_logprobs and all(child.has_confidences for child in children)
        if request.top_logprobs and not confident:
            raise NotStored(f"{name}: confidences over {request.top_logprobs} tokens are not stored")
        self._taken |= dict.fromkeys(child.leaf for child in children)
        return children

    def _next_child(self, request: Expand | Next, own: RequestRow | None) -> Reply:
        """Begin the children that are asked for one by one, if any; the one that arrives next."""
        if isinstance(request, Expand):
            stored = self._tree.by_leaf.values()
            begun = self._next_of(request) if own is None else [one for one in stored if one.name[0] == own.request]
            for number, child in enumerate(begun):
                self._taken[child.leaf] = None
                self._asked[child.leaf] = request, (child.name if own is not None else (self._number, number))
                self._open.begin(child.leaf, child.num_tokens)
        leaf = self._open.next() if own is None else next(iter(own.child_ids), None)
        kind = ReplyKind.FULL if own is None else ReplyKind(own.reply_kind)
        if leaf is None:
            return replace(self._delivered(request, kind, []), num_open=0)
        child = self._tree.by_leaf[leaf]
        if own is not None:
            self._open.take(leaf)
        elif child.is_cancelled:
            raise NotStored(
                f"problem {self._tree.problem_id!r}, node {leaf}: the run needed it no more and cancelled it"
            )
        num_open = len(self._open) if own is None else own.num_open or 0
        asked, name = self._asked[leaf]
        return replace(self._delivered(asked, kind, [child]), child_names=(name,), num_open=num_open)

    def _delivered(self, request: Expand | Next, kind: ReplyKind, children: list[StoredChild]) -> Reply:
        if kind is ReplyKind.FAILED:
            raise NotStored(f"problem {self._tree.problem_id!r}: the run failed here")
        self.is_cut |= kind is not ReplyKind.FULL
        if not isinstance(request, Expand):
            return Reply(kind, ())
        parents = {path.node_id: path for path, _ in request.parents}
        paths = []
        for child in children:
            for node in self._tree.scored_nodes(child, request.scoring):
                self._note_score(node)
            path = self._tree.path_of(parents[child.parent], child, request.scoring, confident=request.top_logprobs > 0)
            self._taken[child.leaf] = None
            paths.append(path)
        return Reply(kind, tuple(paths))

    def _scores(self, request: Score, own: RequestRow | None) -> Reply:
        if own is not None:
            scores = [recorded_score(*values) for values in zip(own.p_lower, own.p_median, own.p_upper, strict=True)]
            self._scored.append((own.prm_tokens, own.prm_cached_tokens))
        else:
            scores = [self._note_score(path.node_id) for path in request.paths]
        if None in scores:
            raise NotStored(f"problem {self._tree.problem_id!r}: a score that the run has is not known")
        paths = tuple(replace(path, score=score) for path, score in zip(request.paths, scores, strict=True))
        self._root_score = next((path.score for path in paths if path.parent is None), self._root_score)
        return Reply(ReplyKind.FULL, paths)

    def _note_score(self, node: int) -> PrmScore:
        stored = self._tree.scores.get(node)
        if stored is None:
            raise NotStored(f"problem {self._tree.problem_id!r}, node {node}: nobody asked for its score")
        self._scored.append((stored.prm_tokens, stored.prm_cached_tokens))
        return stored.score
