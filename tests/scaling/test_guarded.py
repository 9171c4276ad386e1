"""What is wrong with a strategy of the user's own costs its problem, with the reason in its row, and nothing else."""

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.failure import StrategyFailed
from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from records.rows import Status
from scaling.guarded import MAX_EMPTY_REPLIES, guarded
from scaling.search.accounting import Models, problem_record
from scaling.strategy import Choice, PrefixTrials, SearchLimits, Strategy, StrategyFactory
from scaling.toy import ToyProblem
from scaling.toy import play_strategy as play
from scaling.uncertainty.selection import choose_by_vote
from tests.support.world import NOTHING, World, problems, scheduler_for

LIMITS = SearchLimits(max_tokens=40, max_step_tokens=8)
COUNT = 6
BROKEN = {"p1", "p4"}


def errors_in_a_world(broken: Callable[[Path], Strategy], *, total_tokens: int | None = None) -> dict[str, str | None]:
    """Runs problems of which two have the broken strategy; the error of each. Every problem must have its row."""

    def either(root: Path, *, limits: SearchLimits) -> Strategy:
        if root.text in {f"question {name[1:]}" for name in BROKEN}:
            return (yield from broken(root))
        reply = yield Expand(((root, 2),), Until.END, limits.max_tokens)
        return choose_by_vote(reply.paths, None)

    def begin(root: Path) -> Strategy:
        return guarded(either, "my:own", root, limits=LIMITS)

    world = World(scheduler_for(begin, total_tokens=total_tokens), random.Random(1))
    world.run(problems(COUNT))
    assert sorted(one.search.problem.problem_id for one in world.concluded) == [f"p{index}" for index in range(COUNT)]
    records = [
        problem_record(
            one.search, correct=None, models=Models(1, 1, None), strategy="my:own", wall_seconds=0.0, share=NOTHING
        )
        for one in world.concluded
    ]
    assert {one.problem.problem_id for one in records if one.problem.status is Status.FAILED} <= BROKEN
    return {one.problem.problem_id: one.problem.error for one in records}


def yields(request):
    """A strategy that samples once, then yields what `request` makes of the root and the reply's first path."""

    def strategy(root: Path) -> Strategy:
        reply = yield Expand(((root, 1),), Until.STEP, 8)
        yield request(root, reply.paths[0])
        return Choice(None, None, ())

    return strategy


ANY_EXPAND: Any = Expand
ANY_SCORE: Any = Score
ANY_CHOICE: Any = Choice
"""As strategies are written that nobody checks types of."""
END = partial(ANY_EXPAND, until=Until.END, max_tokens=8)
MADE_UP = Path(999, None, "a thought of my own")

MALFORMED: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "nothing": (lambda root, leaf: None, "yielded None, not a request"),
    "a list": (lambda root, leaf: [ANY_SCORE((root,))], "yielded list, not a request"),
    "a bare tuple": (lambda root, leaf: (root, 1), "yielded tuple, not a request"),
    "a pair that is no tuple of pairs": (lambda root, leaf: END((root, 1)), r"must hold \(path, num_samples\) pairs"),
    "a float count": (
        lambda root, leaf: END(((root, 2.0),)),
        r"num_samples must be a whole number from 0, is 2.0 \(fl",
    ),
    "a truth as count": (lambda root, leaf: END(((root, True),)), "num_samples must be a whole number"),
    "a negative count": (lambda root, leaf: END(((root, -1),)), "num_samples must be a whole number"),
    "too many": (lambda root, leaf: END(((root, 2**40),)), "samples; at most 1048576"),
    "a path of its own": (lambda root, leaf: END(((MADE_UP, 1),)), r"path of its own making \(node 999\)"),
    "a path of its own to score": (lambda root, leaf: ANY_SCORE((MADE_UP,)), "Score.paths: a path of its own making"),
    "a changed text": (lambda root, leaf: ANY_SCORE((replace(leaf, text="better"),)), "of its own making"),
    "a changed parent": (lambda root, leaf: ANY_SCORE((replace(leaf, parent=MADE_UP),)), "has another parent"),
    "a text for a path": (lambda root, leaf: ANY_SCORE(("question",)), "where a Path should be"),
    "a list of paths": (lambda root, leaf: ANY_SCORE([root]), "must be a tuple of paths, is list"),
    "until as text": (lambda root, leaf: ANY_EXPAND(((root, 1),), "end", 8), "until: must be an Until"),
    "scoring as text": (lambda root, leaf: END(((root, 1),), scoring="leaf"), "scoring: must be a Scoring"),
    "no tokens": (
        lambda root, leaf: ANY_EXPAND(((root, 1),), Until.END, 0),
        "max_tokens: must be a whole number from 1",
    ),
    "float tokens": (lambda root, leaf: ANY_EXPAND(((root, 1),), Until.END, 8.5), "max_tokens: must be a whole number"),
    "a cold fever": (lambda root, leaf: END(((root, 1),), temperature=-0.5), "temperature: must be a number from 0"),
    "no number": (lambda root, leaf: END(((root, 1),), temperature=float("nan")), "temperature: must be a number"),
    "half a log": (lambda root, leaf: END(((root, 1),), top_logprobs=0.5), "top_logprobs: must be a whole number"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_fails_its_problem_and_says_why(kind):
    request, reason = MALFORMED[kind]
    errors = errors_in_a_world(yields(request))
    assert {name for name, error in errors.items() if error} == BROKEN
    for name in BROKEN:
        assert re.search(f"^my:own yielded .*{reason.removeprefix('yielded ')}", str(errors[name])), errors[name]


def stubborn(root: Path) -> Strategy:
    try:
        yield Expand(((root, 1),), Until.END, 8)
        raise LookupError("what I looked for")
    except GeneratorExit:
        yield Score((root,))
        raise


def test_one_that_yields_when_it_is_closed_fails_with_both_reasons():
    begun = guarded(stubborn, "my:own", Path(0, None, "q"))
    next(begun)
    with pytest.raises(StrategyFailed, match="my:own, when it was closed, raised RuntimeError: generator ignored"):
        begun.close()
    scheduler = scheduler_for(partial(guarded, stubborn, "my:own"))
    scheduler.generator_up("g0", 4)
    [problem] = problems(1)
    scheduler.open(problem, order=0, now_s=0.0)
    for _ in range(3):  # as often as a call may kill its engine
        scheduler.pump(now_s=0.0)
        scheduler.generator_down("g0", "it died", now_s=0.0)
        scheduler.generator_up("g0", 4)
    [concluded] = scheduler.take_concluded()
    assert concluded.search.error is not None
    assert "killed its generator repeatedly: it died; my:own, when it was closed, raised" in concluded.search.error


def test_a_fault_and_a_yield_at_the_end_are_told_together():
    def strategy(root: Path) -> Strategy:
        try:
            yield None  # type: ignore[misc]
        finally:
            yield Score((root,))
        return Choice(None, None, ())

    errors = errors_in_a_world(strategy)
    assert all(
        "yielded None, not a request" in errors[name] and "when it was closed" in errors[name] for name in BROKEN
    )


def raising(error: BaseException):
    def strategy(root: Path) -> Strategy:
        yield Expand(((root, 1),), Until.END, 8)
        raise error

    return strategy


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


RAISED: dict[str, tuple[Callable[[], BaseException], str]] = {
    "KeyError": (lambda: KeyError("key"), r"my:own raised KeyError: 'key' \(test_guarded.py, line \d+\)"),
    "SystemExit": (lambda: SystemExit(3), "my:own raised SystemExit: 3"),
    "GeneratorExit": (GeneratorExit, "my:own raised GeneratorExit"),
    "CancelledError": (lambda: asyncio.CancelledError("gone"), "my:own raised CancelledError: gone"),
    "StopIteration": (lambda: StopIteration(7), "my:own raised RuntimeError: generator raised StopIteration"),
    "one that cannot speak": (Mute, r"my:own raised Mute: \(it cannot say what\)"),
    "one with half a character": (lambda: ValueError("half \ud800"), r"my:own raised ValueError: half \\ud800"),
}


@pytest.mark.parametrize("kind", RAISED)
def test_whatever_it_raises_fails_its_problem(kind):
    make, said = RAISED[kind]
    errors = errors_in_a_world(raising(make()))
    for name in BROKEN:
        assert errors[name] is not None
        errors[name].encode()
        assert re.match(said, errors[name])


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (lambda root: 7, "my:own is no generator: it returned 7 .int. and yielded nothing"),
        (lambda root: [Score((root,))], "my:own is no generator: it returned list"),
        (lambda root: Choice(None, None, ()), "my:own is no generator: it returned Choice"),
    ],
)
def test_a_function_that_is_no_generator_is_told_so(strategy, said):
    with pytest.raises(StrategyFailed, match=said):
        next(guarded(strategy, "my:own", Path(0, None, "q")))


CHOICES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no choice": (lambda leaf: leaf.text, "not a scaling.strategy.Choice"),
    "a path of its own": (lambda leaf: ANY_CHOICE(MADE_UP, "1", ()), "Choice.path: a path of its own making"),
    "a number as answer": (lambda leaf: ANY_CHOICE(leaf, 18, (leaf,)), "Choice.answer: must be text or None, is 18"),
    "half a character": (lambda leaf: ANY_CHOICE(leaf, "\ud800", (leaf,)), "Choice.answer: must be text"),
    "candidates in a list": (lambda leaf: ANY_CHOICE(leaf, "1", [leaf]), "Choice.candidates: must be a tuple"),
    "a candidate of its own": (lambda leaf: ANY_CHOICE(leaf, "1", (MADE_UP,)), "Choice.candidates: a path of its own"),
    "a number as probability": (
        lambda leaf: ANY_CHOICE(leaf, "1", (leaf,), answer_p=0.5),
        "answer_p: must be a PrmScore",
    ),
    "beyond one": (lambda leaf: ANY_CHOICE(leaf, "1", (leaf,), answer_p=PrmScore(0.1, 0.2, 1.3)), "within"),
    "prefixes": (lambda leaf: ANY_CHOICE(leaf, "1", (leaf,), (leaf,)), "Choice.prefixes: must hold PrefixTrials"),
    "a prefix of its own": (
        lambda leaf: ANY_CHOICE(leaf, "1", (leaf,), (PrefixTrials(MADE_UP, 1, ()),)),
        "its own making",
    ),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_a_malformed_choice_fails_its_problem_and_says_why(kind):
    choice, said = CHOICES[kind]

    def strategy(root: Path) -> Strategy:
        reply = yield Expand(((root, 1),), Until.END, 40)
        chosen: Choice = choice(reply.paths[0])
        return chosen

    for name, error in errors_in_a_world(strategy).items():
        assert (error is not None) == (name in BROKEN)
        assert error is None or (error.startswith("my:own returned ") and said in error)


def test_a_path_that_came_in_a_reply_can_be_used_again_copied_and_in_part():
    def strategy(root: Path) -> Strategy:
        reply = yield Expand(((root, 1),), Until.END, 40)
        first = reply.paths[0].lineage[0]
        scored = yield Score((root, first, replace(first, score=None), *reply.paths))
        if not first.finished:
            yield Expand(((scored.paths[1], 1), (replace(first), 0)), Until.STEP, 8)
        return Choice(scored.paths[-1], "4", scored.paths)

    assert set(errors_in_a_world(strategy).values()) == {None}


def test_a_finished_path_is_not_continued():
    def strategy(root: Path) -> Strategy:
        reply = yield Expand(((root, 1),), Until.END, 40)
        yield Expand(((reply.paths[0], 1),), Until.END, 40)
        return Choice(None, None, ())

    errors = errors_in_a_world(strategy)
    assert all("is finished: nothing can follow it" in str(errors[name]) for name in BROKEN)


FOR_EVER: dict[str, tuple[Callable[[Path], Any], int | None]] = {
    "no path to score": (lambda root: Score(()), None),
    "no sample": (lambda root: END(((root, 0),)), None),
    "no path to score, after the end of the budget": (lambda root: Score(()), 30),
    "samples, after the end of the budget": (lambda root: END(((root, 1),)), 30),
}


@pytest.mark.parametrize("kind", FOR_EVER)
def test_one_that_asks_for_ever_comes_to_an_end(kind):
    """Asking for nothing is answered at once, and so is asking after the budget's end: neither may hold up the run."""
    request_of, total_tokens = FOR_EVER[kind]

    def strategy(root: Path) -> Strategy:
        while True:
            yield request_of(root)

    failed = [error for error in errors_in_a_world(strategy, total_tokens=total_tokens).values() if error]
    assert failed
    assert all(f"goes on asking after {MAX_EMPTY_REPLIES} replies with nothing" in error for error in failed)


# --- fuzz

ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 70), st.floats(), st.text(max_size=3), st.binary(max_size=2),
    st.sampled_from([*Until, *Scoring, *ReplyKind, Path, Score, object(), 2**70, 1e308, FinishReason.EOS]),
)  # fmt: skip
PATHS = st.sampled_from(["root", "leaf", "copy", "made up", "changed"])


def value_of(shape: object, root: Path, leaf: Path) -> object:
    """What a drawn shape stands for, once there are paths."""
    named = {"root": root, "leaf": leaf, "copy": replace(leaf), "made up": MADE_UP, "changed": replace(leaf, text="x")}
    if isinstance(shape, tuple) and len(shape) == 2 and shape[0] == "path":
        return named[shape[1]]
    if isinstance(shape, tuple | list):
        return type(shape)(value_of(item, root, leaf) for item in shape)
    return shape


SHAPES = st.recursive(
    st.one_of(ATOMS, PATHS.map(lambda name: ("path", name))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.tuples(inner, ATOMS)
    ),
    max_leaves=5,
)  # fmt: skip
GOOD_PARENTS = st.lists(st.tuples(PATHS.map(lambda name: ("path", name)), st.integers(0, 3)), max_size=3).map(tuple)


@st.composite
def yielded(draw):
    """Something that a strategy might yield: anything, or a request of which some fields are anything."""
    kind = draw(st.sampled_from(["anything", "score", "expand"]))
    if kind == "anything":
        return draw(SHAPES)
    if kind == "score":
        return Score(draw(SHAPES))
    wrong = draw(
        st.sets(st.sampled_from([field.name for field in fields(Expand) if field.name != "priority"]), max_size=2)
    )
    good = {
        "parents": draw(GOOD_PARENTS),
        "until": draw(st.sampled_from(Until)),
        "max_tokens": draw(st.integers(1, 20)),
    }
    return Expand(**(good | {name: draw(SHAPES) for name in wrong}))


def filled(drawn: object, root: Path, leaf: Path) -> object:
    if isinstance(drawn, Score):
        return Score(value_of(drawn.paths, root, leaf))  # type: ignore[arg-type]
    if isinstance(drawn, Expand):
        return ANY_EXPAND(**{field.name: value_of(getattr(drawn, field.name), root, leaf) for field in fields(Expand)})
    return value_of(drawn, root, leaf)


@given(st.lists(yielded(), min_size=1, max_size=3), SHAPES)
def test_whatever_is_yielded_every_problem_has_its_row(requests, returned):
    def strategy(root: Path) -> Strategy:
        reply = yield Expand(((root, 1),), Until.STEP, 8)
        leaf = reply.paths[0]
        for request in requests:
            yield filled(request, root, leaf)  # type: ignore[misc]
        return value_of(returned, root, leaf)  # type: ignore[return-value]

    errors = errors_in_a_world(strategy)
    assert all(errors[name] for name in BROKEN), "what it returns is no Choice, if it gets that far"


@given(st.integers(1, 5), st.floats(0.1, 0.9))
def test_a_good_strategy_behaves_as_without_its_guard(num_samples, p):
    def strategy(root: Path) -> Strategy:
        yield Score((root,))
        reply: Reply = yield Expand(((root, num_samples),), Until.STEP, 8, Scoring.LEAF)
        reply = yield Expand(tuple((path, 2) for path in reply.paths), Until.END, 40)
        return choose_by_vote(reply.paths, None)

    def asked(begin: StrategyFactory) -> tuple[object, ...]:
        toy = ToyProblem(p)
        choice = play(begin(Path(0, None, "question")), toy.reply)
        return choice.answer, [len(path.lineage) for path in choice.candidates], toy.num_samples, len(toy.requests)

    assert asked(strategy) == asked(partial(guarded, strategy, "my:own"))
