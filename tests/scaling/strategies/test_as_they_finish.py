"""Strategies that look at their samples one by one, against the same votes taken all at once, in any order."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path, PrmScore
from records.request import Deliver, Expand, Next, Reply, ReplyKind, Score
from scaling.strategies.as_they_finish import Look
from scaling.strategies.majority import majority
from scaling.strategies.published.adaptive_consistency import adaptive_consistency
from scaling.strategies.published.short_m_of_k import short_m_of_k
from scaling.strategies.sequential import sequential
from scaling.strategy import Choice, Request, SearchLimits, Strategy
from scaling.toy import play_strategy
from scaling.uncertainty.aggregation import Aggregation

ROOT = Path(0, None, "question")
LIMITS = SearchLimits(max_tokens=1000, max_step_tokens=100)
answers = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=16)
orders = st.randoms(use_true_random=False)


class Arriving:
    """Samples in the order in which they are begun; which of those under way comes next, `pick` says."""

    def __init__(self, said: Sequence[str | None], pick: Callable[[int], int], scores: Sequence[float] = ()) -> None:
        self.said, self.pick, self.scores = said, pick, scores
        self.open: list[tuple[Path, tuple[int, int]]] = []
        self.arrived: list[Path] = []
        self.num_begun = self.num_requests = self.most_open = 0

    def __call__(self, request: Request) -> Reply:
        self.num_requests += 1
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, (Path(0, None, "question", score=PrmScore(0.4, 0.5, 0.6)),))
        if isinstance(request, Next):
            return self._next()
        children = [self._begin() for _ in range(request.parents[0][1])]
        if request.deliver is Deliver.WHOLE:
            self.open.clear()
            self.arrived += children
            return Reply(ReplyKind.FULL, tuple(children))
        self.open += [(path, (self.num_requests, number)) for number, path in enumerate(children)]
        self.most_open = max(self.most_open, len(self.open))
        return self._next()

    def _begin(self) -> Path:
        answer = self.said[self.num_begun]
        score = self.scores[self.num_begun] if self.scores else 0.5
        self.num_begun += 1
        text = "hm" if answer is None else f"\\boxed{{{answer}}}"
        tokens = (1,) * (1 + self.num_begun % 5)
        return Path(self.num_begun, ROOT, text, tokens, FinishReason.EOS, score=PrmScore(score, score, score))

    def _next(self) -> Reply:
        path, name = self.open.pop(self.pick(len(self.open)))
        self.arrived.append(path)
        return Reply(ReplyKind.FULL, (path,), (name,), len(self.open))


def any_order(rng: random.Random) -> Callable[[int], int]:
    return rng.randrange


def in_turn(count: int) -> int:
    return 0


def played(strategy: Strategy, world: Arriving) -> Choice:
    return play_strategy(strategy, world)


@given(said=answers, rng=orders)
def test_a_majority_that_stops_has_the_answer_of_all_samples(said, rng):
    world = Arriving(said, any_order(rng))
    stopped = played(majority(ROOT, limits=LIMITS, num_samples=len(said), stop_when_decided=True), world)
    whole = played(majority(ROOT, limits=LIMITS, num_samples=len(said)), Arriving(said, in_turn))
    assert stopped.answer == whole.answer
    if not world.open:  # all came: the path is the same too
        assert stopped.path.node_id == whole.path.node_id
    votes = Counter(answer for answer in said if answer is not None)
    left = Counter(path.text for path in world.arrived[:-1])
    counts = sorted((count for text, count in left.items() if text != "hm"), reverse=True)
    first, second = [*counts, 0, 0][:2]
    assert len(world.arrived) == 1 or first - second <= len(said) - len(world.arrived) + 1, "it could have stopped"
    assert not votes or stopped.answer in votes


@given(said=answers, rng=orders, data=st.data())
def test_a_weighted_majority_that_stops_has_the_answer_of_all_samples(said, rng, data):
    scores = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]), min_size=len(said), max_size=len(said)))
    options: dict[str, Any] = {"limits": LIMITS, "num_samples": len(said), "weight_by": Aggregation.LAST}
    stopped = played(majority(ROOT, **options, stop_when_decided=True), Arriving(said, any_order(rng), scores))
    whole = played(majority(ROOT, **options), Arriving(said, in_turn, scores))
    assert stopped.answer == whole.answer


def test_a_unanimous_majority_of_sixteen_stops_at_nine():
    world = Arriving(["a"] * 16, in_turn)
    played(majority(ROOT, limits=LIMITS, num_samples=16, stop_when_decided=True), world)
    assert (len(world.arrived), len(world.open)) == (9, 7)


AS_NEEDED: dict[str, Any] = {"stop_when_decided": True, "begin_as_needed": True}


@given(said=answers, rng=orders)
def test_a_majority_that_begins_as_needed_has_the_answer_of_all_samples_and_begins_no_more(said, rng):
    world = Arriving(said, any_order(rng))
    found = played(majority(ROOT, limits=LIMITS, num_samples=len(said), **AS_NEEDED), world)
    whole = played(majority(ROOT, limits=LIMITS, num_samples=len(said)), Arriving(said, in_turn))
    assert found.answer == whole.answer
    at_once = Arriving(said, any_order(rng))
    played(majority(ROOT, limits=LIMITS, num_samples=len(said), stop_when_decided=True), at_once)
    assert world.num_begun <= at_once.num_begun == len(said)


@given(said=answers, rng=orders, data=st.data())
def test_a_weighted_one_too(said, rng, data):
    scores = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]), min_size=len(said), max_size=len(said)))
    options: dict[str, Any] = {"limits": LIMITS, "num_samples": len(said), "weight_by": Aggregation.LAST}
    found = played(majority(ROOT, **options, **AS_NEEDED), Arriving(said, any_order(rng), scores))
    assert found.answer == played(majority(ROOT, **options), Arriving(said, in_turn, scores)).answer


@pytest.mark.parametrize(
    ("said", "begun"), [("a" * 16, 9), ("aaaaaaaab" + "a" * 7, 10), ("b" + "a" * 15, 10), ("ab" * 8, 16)]
)
def test_how_many_of_sixteen_are_begun(said, begun):
    world = Arriving(list(said), in_turn)
    played(majority(ROOT, limits=LIMITS, num_samples=16, **AS_NEEDED), world)
    assert (world.num_begun, len(world.open)) == (begun, 0)


@pytest.mark.parametrize("name", ["adaptive-consistency", "sequential"])
@given(said=answers, rng=orders, at_once=st.integers(1, 6))
def test_in_their_order_samples_decide_as_one_after_the_other_whatever_arrives_when(name, said, rng, at_once):
    """The correction of the leaning towards short samples: the slow twin draws one at a time."""
    function: Any = {"adaptive-consistency": adaptive_consistency, "sequential": sequential}[name]
    options: dict[str, Any] = {"limits": LIMITS, "num_samples": len(said)}
    if name == "sequential":
        options |= {"min_gain": 0.0, "threshold": 0.8}
    one_by_one = Arriving(said, in_turn)
    expected = played(function(ROOT, **options, wave_size=1), one_by_one)
    world = Arriving(said, any_order(rng))
    found = played(function(ROOT, **options, wave_size=at_once, look=Look.ORDER), world)
    assert (found.answer, found.path.node_id) == (expected.answer, expected.path.node_id)
    assert found.answer_p == expected.answer_p
    assert [path.node_id for path in found.candidates] == [path.node_id for path in one_by_one.arrived]
    assert world.num_begun < one_by_one.num_begun + at_once
    assert world.most_open <= at_once


@given(said=answers, rng=orders, at_once=st.integers(1, 6))
def test_as_they_arrive_samples_decide_as_one_after_the_other_in_that_order(said, rng, at_once):
    world = Arriving(said, any_order(rng))
    options: dict[str, Any] = {"limits": LIMITS, "num_samples": len(said)}
    found = played(adaptive_consistency(ROOT, **options, wave_size=at_once, look=Look.ARRIVAL), world)
    seen = [None if path.text == "hm" else path.text[7:-1] for path in world.arrived]
    padded = [*seen, *["x"] * (len(said) - len(seen))]
    twin = Arriving(padded, in_turn)
    played(adaptive_consistency(ROOT, **options), twin)
    assert len(twin.arrived) == len(world.arrived)
    counts = Counter(answer for answer in seen if answer is not None)
    assert found.answer is None or counts[found.answer] == max(counts.values())
    assert world.most_open <= at_once


@given(said=answers, rng=orders, num_first=st.integers(1, 5))
def test_the_first_of_all_vote_and_the_shortest_breaks_ties(said, rng, num_first):
    world = Arriving(said, any_order(rng))
    choice = played(
        short_m_of_k(ROOT, limits=LIMITS, num_samples=len(said), num_first=min(num_first, len(said))), world
    )
    stating = [path for path in world.arrived if path.text != "hm"]
    assert len(stating) <= num_first
    assert not world.open or (len(stating) == min(num_first, len(said)) and world.arrived[-1] is stating[-1])
    counts = Counter(path.text for path in stating)
    if stating:
        best = {text for text, count in counts.items() if count == max(counts.values())}
        assert choice.path.text in best
        assert choice.path.num_tokens == min(path.num_tokens for path in stating if path.text in best)
    else:
        assert choice.answer is None


@pytest.mark.parametrize("function", [majority, adaptive_consistency, short_m_of_k, sequential])
def test_a_budget_that_runs_out_lets_what_is_open_come_and_asks_for_no_more(function):
    """One of three is denied; the others still come, and all that came is counted."""
    asked: list[Request] = []
    replies: Iterator[Reply] = iter(
        [
            Reply(ReplyKind.REDUCED, (_path(1, "a"),), ((1, 2),), 1),
            Reply(ReplyKind.REDUCED, (_path(2, "a"),), ((1, 0),), 0),
        ]
    )

    def answer(request: Request) -> Reply:
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, (Path(0, None, "question", score=PrmScore(0.4, 0.5, 0.6)),))
        asked.append(request)
        return next(replies)

    options: dict[Any, dict[str, Any]] = {
        majority: {"stop_when_decided": True},
        adaptive_consistency: {"wave_size": 3, "look": Look.ORDER},
        sequential: {"wave_size": 3, "look": Look.ORDER},
        short_m_of_k: {"num_first": 3},
    }
    choice = play_strategy(function(ROOT, limits=LIMITS, num_samples=6, **options[function]), answer)
    assert [type(request) for request in asked] == [Expand, Next]
    assert (choice.answer, len(choice.candidates)) == ("a", 2)


def _path(node: int, answer: str) -> Path:
    score = PrmScore(0.5, 0.5, 0.5)
    return Path(node, ROOT, f"\\boxed{{{answer}}}", (1,), FinishReason.EOS, score=score)
