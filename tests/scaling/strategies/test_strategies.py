"""Strategies and answer selection: fed by hand, and beam search against an obvious slow twin."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.sample import sample
from scaling.strategy import Choice, SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation, aggregate
from scaling.uncertainty.selection import choose_best, choose_by_vote

LIMITS = SearchLimits(max_tokens=60, max_step_tokens=10)
ROOT = Path(0, None, "question")


def certain(p: float) -> PrmScore:
    return PrmScore(p, p, p)


def leaf(node_id: int, text: str, p: float | None = None, parent: Path = ROOT) -> Path:
    return Path(node_id, parent, text, (1, 2), FinishReason.EOS, None, None if p is None else certain(p))


def boxed(node_id: int, answer: str, p: float | None = None) -> Path:
    return leaf(node_id, f"\\boxed{{{answer}}}", p)


@dataclass
class Tree:
    """Grows a random tree and answers requests: a child is a function of its parent and index, whenever it is asked."""

    seed: int
    finish_rate: float = 0.25
    nodes: dict[int, Path] = field(default_factory=dict)
    num_requests: int = 0

    def text_of(self, path: Path, child: int) -> tuple[str, FinishReason, int]:
        rng = random.Random(f"{self.seed}|{path.solution}|{child}")
        num_tokens = rng.randint(1, 10)
        if rng.random() < self.finish_rate:
            return f"\\boxed{{{rng.randrange(3)}}}", FinishReason.EOS, num_tokens
        return f"step {rng.randrange(1000)}\n\n", FinishReason.SEPARATOR, num_tokens

    def score_of(self, path: Path) -> PrmScore:
        rng = random.Random(f"{self.seed}|score|{path.solution}")
        return certain(rng.random())

    def child(self, parent: Path, index: int, *, scored: bool) -> Path:
        text, reason, num_tokens = self.text_of(parent, index)
        path = Path(len(self.nodes) + 1, parent, text, (1,) * num_tokens, reason)
        path = replace(path, score=self.score_of(path)) if scored else path
        self.nodes[path.node_id] = path
        return path

    def reply(self, request: Expand | Score) -> Reply:
        self.num_requests += 1
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, tuple(replace(path, score=self.score_of(path)) for path in request.paths))
        assert request.until is Until.STEP
        scored = request.scoring is not Scoring.NONE
        paths = [self.child(path, i, scored=scored) for path, count in request.parents for i in range(count)]
        return Reply(ReplyKind.FULL, tuple(paths))


def play(strategy: Strategy, answer: Callable[[Any], Reply]) -> Choice:
    """Run a strategy to its end."""
    try:
        request = next(strategy)
        while True:
            request = strategy.send(answer(request))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def slow_beam_search(tree: Tree, *, n: int, m: int, frequency: int, max_steps: int) -> tuple[str | None, int]:
    """Beam search as one would write it on a napkin: score everything always, copy everything. Answer, step count."""

    def value(path: Path) -> float:
        return tree.score_of(path).median

    def done(path: Path) -> bool:
        return path.finish_reason is FinishReason.EOS or len(path.solution_token_ids) >= LIMITS.max_tokens

    beams = [tree.child(ROOT, index, scored=False) for index in range(n)]
    num_steps = n
    for step in range(1, max_steps):
        if all(done(beam) for beam in beams):
            break
        children = 1
        if step % frequency == 0:
            order = sorted(range(len(beams)), key=lambda index: (-value(beams[index]), index))
            beams = [beams[index] for index in order[: n // m]]
            children = m
        old, beams = beams, [beam for beam in beams if done(beam)]
        for beam in old:
            if not done(beam):
                grown = [tree.child(beam, index, scored=False) for index in range(children)]
                num_steps += len(grown)
                beams += grown
    with_answer = [beam for beam in beams if "boxed" in beam.text]
    pool = with_answer or beams
    best = max(pool, key=value)
    return (best.text.removeprefix("\\boxed{").removesuffix("}") if with_answer else None), num_steps


@given(
    seed=st.integers(0, 10**9),
    shape=st.sampled_from([(4, 2), (6, 3), (8, 4), (4, 4), (3, 1)]),
    frequency=st.integers(1, 4),
    max_steps=st.integers(1, 9),
    finish_rate=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
)
@settings(deadline=None)
def test_beam_search_is_its_slow_twin(seed, shape, frequency, max_steps, finish_rate):
    n, m = shape
    fast = Tree(seed, finish_rate)
    choice = play(
        beam_search(ROOT, limits=LIMITS, num_samples=n, beam_width=m, max_steps=max_steps, frequency=frequency),
        fast.reply,
    )
    slow = Tree(seed, finish_rate)
    answer, num_steps = slow_beam_search(slow, n=n, m=m, frequency=frequency, max_steps=max_steps)
    assert choice.answer == answer
    assert len(fast.nodes) == num_steps


@given(seed=st.integers(0, 10**9), aggregation=st.sampled_from(list(Aggregation)), frequency=st.integers(1, 3))
@settings(deadline=None)
def test_beam_search_scores_whatever_its_aggregation_reads(seed, aggregation, frequency):
    choice = play(
        beam_search(
            ROOT, limits=LIMITS, num_samples=4, beam_width=2, max_steps=6, frequency=frequency, aggregation=aggregation
        ),
        Tree(seed).reply,
    )
    assert choice.path is not None
    best = max(
        aggregate(path, aggregation) for path in choice.candidates if (path.text[0] == "\\") == bool(choice.answer)
    )
    assert aggregate(choice.path, aggregation) == best


def test_beam_search_out_of_budget_answers_with_what_it_had_pruned():
    replies = iter(
        [
            Reply(ReplyKind.FULL, (replace(ROOT, score=certain(0.5)),)),
            Reply(ReplyKind.FULL, (boxed(1, "7", 0.2), *(step(node, 0.9) for node in (2, 3, 4)))),
            Reply(ReplyKind.BUDGET_EXHAUSTED, ()),
        ]
    )
    choice = play(
        beam_search(ROOT, limits=LIMITS, num_samples=4, beam_width=2, max_steps=9), lambda _request: next(replies)
    )
    assert choice.answer == "7"


def step(node_id: int, p: float) -> Path:
    return Path(node_id, ROOT, f"step {node_id}\n\n", (1,), FinishReason.SEPARATOR, None, certain(p))


def test_best_of_n_asks_for_the_question_then_for_samples():
    asked: list[Expand | Score] = []

    def answer(request: Expand | Score) -> Reply:
        asked.append(request)
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, (replace(ROOT, score=certain(0.3)),))
        return Reply(ReplyKind.FULL, (boxed(1, "a", 0.2), boxed(2, "b", 0.7), boxed(3, "c", 0.7)))

    choice = play(best_of_n(ROOT, limits=LIMITS, num_samples=3, aggregation=Aggregation.LAST), answer)
    assert asked == [Score((ROOT,)), Expand(((ROOT, 3),), Until.END, 60, Scoring.LEAF)]
    assert (choice.answer, choice.path and choice.path.node_id) == ("b", 2)


@pytest.mark.parametrize(
    ("aggregation", "expected"), [(Aggregation.LAST, "b"), (Aggregation.MIN, "a"), (Aggregation.PRODUCT, "a")]
)
def test_aggregations_rank_paths_differently(aggregation, expected):
    steady = leaf(2, "\\boxed{a}", 0.6, parent=step(1, 0.6))
    lucky = leaf(4, "\\boxed{b}", 0.9, parent=step(3, 0.1))
    assert choose_best([steady, lucky], aggregation).answer == expected


def test_an_unscored_step_is_a_mistake_of_the_strategy():
    with pytest.raises(ValueError, match="unscored"):
        aggregate(boxed(1, "a"), Aggregation.LAST)


def test_a_path_with_an_answer_goes_before_one_without():
    cut = Path(1, ROOT, "and so", (1,), FinishReason.LENGTH, None, certain(0.99))
    assert choose_best([cut, boxed(2, "5", 0.1)], Aggregation.LAST).answer == "5"
    assert choose_best([cut], Aggregation.LAST) == Choice(cut, None, (cut,))
    assert choose_best([], Aggregation.LAST) == Choice(None, None, ())


def test_votes_are_counted_in_canonical_form_and_ties_go_to_the_first():
    votes = [boxed(1, "3"), boxed(2, "0.5"), boxed(3, "\\frac{1}{2}"), boxed(4, "3"), leaf(5, "no answer")]
    choice = choose_by_vote(votes, None)
    assert (choice.answer, choice.path and choice.path.node_id) == ("3", 1)
    assert choose_by_vote([*votes, boxed(6, "1/2")], None).answer == "0.5"
    assert choose_by_vote([leaf(1, "nothing")], None).answer is None


def test_weighted_votes_outweigh_many_weak_ones():
    votes = [boxed(1, "3", 0.1), boxed(2, "3", 0.2), boxed(3, "4", 0.5)]
    assert choose_by_vote(votes, Aggregation.LAST).answer == "4"
    assert choose_by_vote(votes, None).answer == "3"


@given(st.lists(st.tuples(st.sampled_from(["1", "2", "3"]), st.floats(0, 1)), min_size=1, max_size=12))
def test_a_vote_is_a_count(votes):
    choice = choose_by_vote([boxed(i, answer) for i, (answer, _) in enumerate(votes, 1)], None)
    answers = [answer for answer, _ in votes]
    assert choice.answer is not None
    assert answers.count(choice.answer) == max(map(answers.count, answers))


@pytest.mark.parametrize("kind", [ReplyKind.BUDGET_EXHAUSTED, ReplyKind.REDUCED])
def test_with_nothing_sampled_there_is_no_answer(kind):
    for strategy in (
        sample(ROOT, limits=LIMITS),
        majority(ROOT, limits=LIMITS, num_samples=4, weight_by=Aggregation.MIN),
        best_of_n(ROOT, limits=LIMITS, num_samples=4),
        beam_search(ROOT, limits=LIMITS, num_samples=4, beam_width=2, max_steps=5),
    ):
        choice = play(strategy, lambda request: Reply(kind if isinstance(request, Expand) else ReplyKind.FULL, ()))
        assert choice == Choice(None, None, ())
