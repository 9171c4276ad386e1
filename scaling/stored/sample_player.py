"""Stored samples of a problem, and a strategy played on them: what it would have done, without sampling again.

A strategy that only asks for whole samples of the bare question takes them one after the other. With N stored, it can
be played on them in any order, and so can every strategy that takes fewer: the same samples serve all, which makes
their comparison a paired one, and many orders take out the luck of one. It costs what its samples did cost, but for
what they found in prefix caches: that goes by place, because the first sample of a problem finds less than the next.

    stored samples, in an order --> replies --> strategy --> choice --> `Outcome`

Samples that are delivered one by one grow side by side, a token at a time (`scaling.stored.arrivals`): the shortest is
the first, whatever the order. What is cancelled costs what it has come to by then.

What a strategy asks beyond that (steps, other prefixes, more samples) is not stored: `NotStored`, never a guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from records.path import Path
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until, is_each
from scaling.search.phases import thinking_tokens_of
from scaling.stored.arrivals import Arrivals
from scaling.stored.problem import Cost, NotStored, StoredProblem, StoredSample, any_right
from scaling.strategy import Choice, Request, StrategyFactory


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a strategy came to on one problem in one order.

    Attributes:
        right: its answer is; None where nobody could tell.
        covered: some sample that it took is right; None where there is no verdict of any.
        answer_p: its own probability of its answer (the median); None where it has none.
        num_samples: that it took.
        pruned_tokens: generated tokens that no candidate for the answer contains.
        cost: of the samples and scores that it asked for.
    """

    right: bool | None
    covered: bool | None
    answer_p: float | None
    num_samples: int
    pruned_tokens: int
    cost: Cost


class Playback:
    """A strategy under way on the stored samples of one problem.

    Attributes:
        request: what it waits for; None when it has concluded.
    """

    def __init__(self, strategy: StrategyFactory, problem: StoredProblem, order: Sequence[int]) -> None:
        self._problem = problem
        self._order = order
        self._num_taken = self._num_requests = 0
        self._open = Arrivals[tuple[int, Expand, tuple[int, int]]]()  # place in the order, request, name
        self._partly: dict[int, int] = {}  # place in the order of a cancelled sample -> tokens that it had come to
        self._scored_root = False
        self._scored_samples = False
        self._choice: Choice | None = None
        self._strategy = strategy(replace(problem.root, score=None))
        self.request: Request | None = None
        self._ask(None)

    @property
    def next_tokens(self) -> int:
        """Generated tokens of what it waits for."""
        return sum(sample.cost.generated_tokens for sample in self._wanted())

    @property
    def priority(self) -> float | None:
        """What it says its request is worth (`Expand.worth`)."""
        return self.request.priority if isinstance(self.request, Expand) else None

    def serve(self) -> None:
        """Give it what it waits for."""
        if isinstance(self.request, Score):
            self._ask(Reply(ReplyKind.FULL, tuple(self._score_of(path) for path in self.request.paths)))
        elif is_each(self.request):
            self._ask(self._next_sample(self.request))
        elif isinstance(self.request, Expand):
            samples = self._wanted()
            self._num_taken += len(samples)
            scored = self.request.scoring is not Scoring.NONE
            self._scored_samples |= scored
            self._check_stored(self.request, samples)
            self._ask(Reply(ReplyKind.FULL, tuple(item.path if scored else item.unscored for item in samples)))

    def deny(self) -> None:
        """The budget has nothing for it: it concludes with what it has."""
        self._ask(Reply(ReplyKind.BUDGET_EXHAUSTED, ()))
        while self.request is not None:
            if isinstance(self.request, Score):
                self.serve()
            else:
                self._ask(Reply(ReplyKind.BUDGET_EXHAUSTED, ()))

    def outcome(self) -> Outcome:
        """What it came to, once it has concluded."""
        choice, problem = self._choice, self._problem
        if choice is None:
            raise ValueError(f"{problem.problem_id} has not come to an end")
        if choice.answer not in problem.verdicts:
            raise NotStored(f"problem {problem.problem_id!r}: no stored sample answers {choice.answer!r}")
        taken = [problem.samples[index] for index in self._order[: self._num_taken]]
        costs = [_in_place(sample.cost, at.cost) for sample, at in zip(taken, problem.samples, strict=False)]
        for place, num_tokens in self._partly.items():  # nobody scores what is cancelled
            costs[place] = _begun(costs[place], num_tokens)
        cost = _total(costs, problem.root_cost, self._scored_root, self._scored_samples)
        candidates = {path.node_id for path in choice.candidates}
        kept = sum(sample.cost.generated_tokens for sample in taken if sample.path.node_id in candidates)
        whole = (sample for place, sample in enumerate(taken) if place not in self._partly)
        verdicts = [problem.verdicts[sample.answer] for sample in whole]
        score = choice.answer_p or (choice.path.score if choice.path else None)
        return Outcome(
            right=problem.verdicts[choice.answer],
            covered=any_right(verdicts),
            answer_p=score.median if score else None,
            num_samples=len(taken),
            pruned_tokens=cost.generated_tokens - kept,
            cost=cost,
        )

    def _ask(self, reply: Reply | None) -> None:
        try:
            self.request = next(self._strategy) if reply is None else self._strategy.send(reply)
        except StopIteration as stop:
            self.request, self._choice = None, stop.value
        self._num_requests += 1
        if not is_each(self.request):
            self._partly |= {place: num_tokens for (place, _, _), num_tokens in self._open.cancel()}

    def _next_sample(self, request: Request) -> Reply:
        """Begin the samples that are asked for one by one, if any; the one that is finished next."""
        if isinstance(request, Expand):
            samples = self._wanted()
            self._check_stored(request, samples)
            self._scored_samples |= request.scoring is not Scoring.NONE
            for child, sample in enumerate(samples):
                name = (self._num_requests - 1, child)
                self._open.begin((self._num_taken + child, request, name), sample.cost.generated_tokens)
            self._num_taken += len(samples)
        arrived = self._open.next()
        if arrived is None:
            return Reply(ReplyKind.FULL, ())
        place, asked, name = arrived
        sample = self._problem.samples[self._order[place]]
        path = sample.unscored if asked.scoring is Scoring.NONE else sample.path
        return Reply(ReplyKind.FULL, (path,), (name,), len(self._open))

    def _wanted(self) -> list[StoredSample]:
        request, problem = self.request, self._problem
        if not isinstance(request, Expand):
            return []
        usual = request.temperature is None and request.max_path_tokens is None and not request.forced_text
        whole = request.until is Until.END and usual
        if not whole or any(parent.parent is not None for parent, _ in request.parents):
            raise NotStored(f"problem {problem.problem_id!r}: only whole samples of the bare question are stored")
        end = self._num_taken + sum(count for _, count in request.parents)
        if end > len(problem.samples):
            raise NotStored(f"problem {problem.problem_id!r}: sample {end} of {len(problem.samples)} is asked for")
        return [problem.samples[index] for index in self._order[self._num_taken : end]]

    def _check_stored(self, request: Expand, samples: Sequence[StoredSample]) -> None:
        name = f"problem {self._problem.problem_id!r}"
        if request.scoring is Scoring.LEAF and any(sample.path.score is None for sample in samples):
            raise NotStored(f"{name}: its samples were not scored")
        if request.scoring is Scoring.STEPS and not all(sample.every_step_scored for sample in samples):
            raise NotStored(f"{name}: the steps of its samples were not scored")
        if request.top_logprobs and any(sample.path.token_confidences is None for sample in samples):
            raise NotStored(f"{name}: its samples have no confidences")

    def _score_of(self, path: Path) -> Path:
        if path.parent is not None:
            if path.score is None:
                raise NotStored(f"problem {self._problem.problem_id!r}: node {path.node_id} was not scored")
            return path
        if self._problem.root.score is None:
            raise NotStored(f"problem {self._problem.problem_id!r}: the bare question was not scored")
        self._scored_root = True
        return replace(path, score=self._problem.root.score)


def play(strategy: StrategyFactory, problem: StoredProblem, order: Sequence[int]) -> Outcome:
    """Run a strategy to its end on the samples of one problem.

    Raises:
        NotStored: it asks for something else than they can give.
    """
    playback = Playback(strategy, problem, order)
    while playback.request is not None:
        playback.serve()
    return playback.outcome()


def _in_place(cost: Cost, at: Cost) -> Cost:
    """What a sample costs in the place of another: the first ones find less in the caches than those that follow.

    The shares that were found there are those of the sample that was drawn in that place.
    """
    if cost is at:
        return cost
    return replace(
        cost,
        cached_tokens=_share(at.cached_tokens, at.prompt_tokens, cost.prompt_tokens),
        prm_cached_tokens=_share(at.prm_cached_tokens, at.prm_tokens, cost.prm_tokens),
    )


def _begun(cost: Cost, num_tokens: int) -> Cost:
    """What the first tokens of a sample cost: its thought comes before its answer."""
    thinking = cost.thinking_tokens if cost.thinking_tokens is None else min(cost.thinking_tokens, num_tokens)
    return replace(cost, generated_tokens=num_tokens, thinking_tokens=thinking, prm_tokens=0, prm_cached_tokens=0)


def _share(cached_tokens: int, of_tokens: int, tokens: int) -> int:
    return round(tokens * cached_tokens / of_tokens) if of_tokens else 0


def _total(costs: Sequence[Cost], root: Cost, scored_root: bool, scored_samples: bool) -> Cost:
    prm = sum(cost.prm_tokens for cost in costs) if scored_samples else 0
    prm_cached = sum(cost.prm_cached_tokens for cost in costs) if scored_samples else 0
    return Cost(
        generated_tokens=sum(cost.generated_tokens for cost in costs),
        thinking_tokens=thinking_tokens_of(cost.thinking_tokens for cost in costs),
        prompt_tokens=sum(cost.prompt_tokens for cost in costs),
        cached_tokens=sum(cost.cached_tokens for cost in costs),
        prm_tokens=prm + (root.prm_tokens if scored_root else 0),
        prm_cached_tokens=prm_cached + (root.prm_cached_tokens if scored_root else 0),
    )
