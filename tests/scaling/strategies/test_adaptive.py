"""Adaptive strategies: their rules written out a second time, their bounds, and what they spend on easy and hard."""

import itertools
import math
import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score
from scaling.search.accounting import Models, problem_record
from scaling.strategies.adaptive_beam_search import Adapt, adaptive_beam_search
from scaling.strategies.adaptive_best_of_n import adaptive_best_of_n
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.marginal import marginal
from scaling.strategies.sequential import sequential
from scaling.strategy import Request, Strategy
from scaling.toy import TOY_LIMITS as LIMITS
from scaling.toy import TOY_ROOT as ROOT
from scaling.toy import ToyProblem
from scaling.toy import play_strategy as play
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate
from scaling.uncertainty.selection import Selection, choose
from tests.support.world import NOTHING, World, problems, scheduler_for

ADAPTS = st.sampled_from(list(Adapt))
EASY, HARD = 0.9, 0.1


def expansions(problem: ToyProblem) -> list[Expand]:
    return [request for request in problem.requests if isinstance(request, Expand)]


def spent(strategy: Callable[..., Strategy], p: float, num_problems: int = 60) -> tuple[float, float]:
    """Mean tokens per problem, and the share of right answers."""
    tokens = right = 0
    for seed in range(num_problems):
        problem = ToyProblem(p, seed)
        right += play(strategy(ROOT), problem.reply).answer == "right"
        tokens += problem.tokens
    return tokens / num_problems, right / num_problems


# --- adaptive best-of-N


@given(
    p=st.floats(0.001, 0.999),
    seed=st.integers(0, 10**6),
    estimate=st.sampled_from(list(ScoreEstimate)),
    bounds=st.sampled_from([(1, 64), (8, 8), (4, 16)]),
)
def test_best_of_n_draws_what_the_question_looks_like(p, seed, estimate, bounds):
    problem = ToyProblem(p, seed)
    score = problem.scored(ROOT).score
    assert score is not None
    play(
        adaptive_best_of_n(ROOT, limits=LIMITS, min_samples=bounds[0], num_samples=bounds[1], estimate=estimate),
        problem.reply,
    )
    chance = {"lower": score.lower, "median": score.median, "upper": score.upper}.get(
        estimate, 0.3 * score.lower + 0.4 * score.median + 0.3 * score.upper
    )
    needed = math.ceil(math.log(0.01) / math.log(1 - min(max(chance, 1e-4), 1 - 1e-4)))
    assert problem.num_samples == min(max(needed, bounds[0]), bounds[1])


def test_with_the_same_number_of_samples_it_is_best_of_n():
    for seed in range(20):
        adaptive, fixed = ToyProblem(0.3, seed), ToyProblem(0.3, seed)
        one = play(adaptive_best_of_n(ROOT, limits=LIMITS, num_samples=6, min_samples=6), adaptive.reply)
        other = play(best_of_n(ROOT, limits=LIMITS, num_samples=6), fixed.reply)
        assert adaptive.requests == fixed.requests
        assert one.answer == other.answer


def test_a_hopeless_question_gets_the_fewest_samples():
    hopeless = PrmScore(0.0, 0.005, 0.02)
    for threshold, expected in ((0.0, 64), (0.01, 64), (0.03, 2)):
        strategy = adaptive_best_of_n(ROOT, limits=LIMITS, num_samples=64, min_samples=2, min_upper_quantile=threshold)
        next(strategy)
        request = strategy.send(Reply(ReplyKind.FULL, (Path(0, None, "q", score=hopeless),)))
        assert isinstance(request, Expand)
        assert request.parents[0][1] == expected


# --- adaptive beam search


def napkin_widths(candidates: list[Path], adapt: Adapt, *, n: int, m: int, confidence: float) -> tuple[int, int]:
    """K and M as the paper's code has them, M under both as ours: from candidates with scores."""

    def needed(p: float) -> float:
        return math.log(1 - confidence) / math.log(1 - min(max(p, 1e-4), 1 - 1e-4))

    lower = sorted((path.score.lower for path in candidates if path.score), reverse=True)
    k = k_max = n // m
    if adapt in ("beams", "both"):
        fits = [k for k in range(1, len(lower) + 1) if k * m >= math.ceil(needed(lower[k - 1]))]
        k = min([*fits, k_max, len(lower)])
    if adapt == "beams":
        return k, m
    kept = sorted(candidates, key=lambda path: -path.score.median if path.score else 0)[:k]
    worst = min(path.score.lower for path in kept if path.score)
    return k, min(m, math.ceil(needed(worst) / (len(kept) if adapt == "both" or len(candidates) < k_max else k_max)))


def napkin_search(
    problem: ToyProblem, adapt: Adapt, first: int, *, n: int, m: int, frequency: int, max_steps: int, confidence: float
) -> str | None:
    """Adaptive beam search that scores everything at birth."""

    def grow(parent: Path) -> Path:
        return problem.scored(problem._step(parent))

    beams = [grow(ROOT) for _ in range(first)]
    for step in range(1, max_steps):
        num_children = 1
        if all(beam.finished for beam in beams):
            break
        if step % frequency == 0:
            k, num_children = napkin_widths(beams, adapt, n=n, m=m, confidence=confidence)
            beams = sorted(beams, key=lambda path: -path.score.median if path.score else 0)[:k]
        children = [grow(beam) for beam in beams if not beam.finished for _ in range(num_children)]
        beams = [beam for beam in beams if beam.finished] + children
    pool = [beam for beam in beams if "boxed" in beam.text] or beams
    best = max(pool, key=lambda path: path.score.median if path.score else 0)
    return best.text.partition("\\boxed{")[2].removesuffix("}") or None


@given(
    seed=st.integers(0, 10**6),
    p=st.sampled_from([0.02, 0.3, 0.7, 0.95]),
    adapt=ADAPTS,
    shape=st.sampled_from([(16, 4), (8, 4), (6, 1), (4, 4)]),
    frequency=st.integers(1, 3),
    max_steps=st.integers(1, 7),
    confidence=st.sampled_from([0.5, 0.9, 0.99]),
    adapt_root=st.booleans(),
)
@settings(deadline=None)
def test_beam_search_is_its_slow_twin(seed, p, adapt, shape, frequency, max_steps, confidence, adapt_root):
    n, m = shape
    fast, slow = ToyProblem(p, seed, num_steps=5), ToyProblem(p, seed, num_steps=5)
    choice = play(
        adaptive_beam_search(
            ROOT, limits=LIMITS, num_samples=n, beam_width=m, max_steps=max_steps, adapt=adapt,
            frequency=frequency, confidence=confidence, adapt_root=adapt_root,
        ),
        fast.reply,
    )  # fmt: skip
    root = slow.scored(ROOT).score
    assert root is not None
    first = min(n, math.ceil(math.log(1 - confidence) / math.log(1 - root.lower))) if adapt_root else n
    answer = napkin_search(
        slow, adapt, first, n=n, m=m, frequency=frequency, max_steps=max_steps, confidence=confidence
    )
    assert (choice.answer, fast.tokens) == (answer, slow.tokens)


@given(seed=st.integers(0, 10**6), p=st.floats(0, 1), adapt=ADAPTS, aggregation=st.sampled_from(list(Aggregation)))
@settings(deadline=None)
def test_it_never_costs_more_children_than_its_fixed_width(seed, p, adapt, aggregation):
    problem = ToyProblem(p, seed)
    play(
        adaptive_beam_search(
            ROOT, limits=LIMITS, num_samples=16, beam_width=4, max_steps=9, adapt=adapt, aggregation=aggregation
        ),
        problem.reply,
    )
    for request in expansions(problem):
        assert sum(count for _, count in request.parents) <= 16
        assert all(1 <= count <= 16 for _, count in request.parents)


def test_with_no_confidence_to_reach_it_is_fixed_beam_search():
    """C next to 1 asks for full width always."""
    for seed, adapt in itertools.product(range(10), Adapt):
        adaptive, fixed = ToyProblem(0.5, seed), ToyProblem(0.5, seed)
        shape = {"limits": LIMITS, "num_samples": 16, "beam_width": 4, "max_steps": 9}
        one = play(adaptive_beam_search(ROOT, **shape, adapt=adapt, confidence=1 - 1e-15), adaptive.reply)
        other = play(beam_search(ROOT, **shape), fixed.reply)
        assert adaptive.tokens == fixed.tokens
        assert one.answer == other.answer


def test_first_steps_adapt_only_where_asked():
    for adapt_root in (False, True):
        problem = ToyProblem(0.97, noise=0.1)
        play(
            adaptive_beam_search(ROOT, limits=LIMITS, num_samples=64, beam_width=8, max_steps=9, adapt_root=adapt_root),
            problem.reply,
        )
        first = expansions(problem)[0].parents[0][1]
        assert first < 5 if adapt_root else first == 64


def test_the_first_steps_of_a_low_frequency_cost_full_width():
    """Five steps at frequency 5: nothing is ever pruned, however easy the problem is."""
    frequent, rare = ToyProblem(EASY, num_steps=5), ToyProblem(EASY, num_steps=5)
    for problem, frequency in ((frequent, 1), (rare, 5)):
        play(
            adaptive_beam_search(ROOT, limits=LIMITS, num_samples=64, beam_width=8, max_steps=40, frequency=frequency),
            problem.reply,
        )
    assert rare.num_samples == 5 * 64
    assert frequent.num_samples < 0.5 * rare.num_samples


# --- sequential stopping


def test_waves_end_when_the_answer_is_sure_or_the_cap_is_reached():
    for p, threshold in itertools.product((0.0, 0.3, 1.0), (0.5, 0.95, 1.0)):
        problem = ToyProblem(p, 3)
        choice = play(sequential(ROOT, limits=LIMITS, num_samples=10, threshold=threshold, min_gain=0), problem.reply)
        waves = [request.parents[0][1] for request in expansions(problem)]
        assert waves == [4, 4, 2][: len(waves)]
        assert choice.answer_p is not None
        assert choice.answer_p.median >= threshold or sum(waves) == 10
        assert len(choice.candidates) == sum(waves)
        if threshold == 1.0:
            assert sum(waves) == 10


def test_hopeless_problems_stop_where_a_sample_has_a_price():
    free, priced = ToyProblem(0.0, 1), ToyProblem(0.0, 1)
    play(sequential(ROOT, limits=LIMITS, num_samples=64, min_gain=0), free.reply)
    play(sequential(ROOT, limits=LIMITS, num_samples=64, min_gain=0.02), priced.reply)
    assert free.num_samples == 64
    assert priced.num_samples <= 20


@given(seed=st.integers(0, 10**6), p=st.floats(0, 1), prices=st.tuples(st.floats(0, 0.1), st.floats(0, 0.1)))
@settings(deadline=None)
def test_a_higher_price_or_a_lower_threshold_never_costs_more(seed, p, prices):
    low, high = sorted(prices)

    def num_samples(*, min_gain: float = 0.0, threshold: float = 0.95) -> int:
        problem = ToyProblem(p, seed)
        play(sequential(ROOT, limits=LIMITS, num_samples=24, min_gain=min_gain, threshold=threshold), problem.reply)
        return problem.num_samples

    assert num_samples(min_gain=high) <= num_samples(min_gain=low)
    assert num_samples(threshold=0.8) <= num_samples(threshold=0.95)


@pytest.mark.parametrize("selection", Selection)
def test_the_chosen_answer_is_the_one_that_has_to_be_sure(selection):
    """The best-scored sample says 1, all others 2."""

    def sample(node_id: int) -> Path:
        best = node_id == 1
        p = 0.9 if best else 0.7
        text = f"\\boxed{{{1 if best else 2}}}"
        return Path(node_id, ROOT, text, (1,), FinishReason.EOS, None, PrmScore(p, p, p), (p,))

    drawn = itertools.count(1)

    def answer(request: Request) -> Reply:
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, (Path(0, None, "q", score=PrmScore(0.5, 0.5, 0.5)),))
        assert isinstance(request, Expand)
        return Reply(ReplyKind.FULL, tuple(sample(next(drawn)) for _ in range(request.parents[0][1])))

    choice = play(sequential(ROOT, limits=LIMITS, num_samples=40, selection=selection), answer)
    assert choice.answer == ("1" if selection is Selection.BEST else "2")
    assert choice.answer_p is not None
    if selection is Selection.BEST:
        assert next(drawn) == 41, "an answer that most samples contradict is never sure"
        assert choice.answer_p.median < 0.5
    else:
        assert next(drawn) < 41


# --- what all of them must do

EVERY: dict[str, Callable[..., Strategy]] = {
    "best-of-n": partial(adaptive_best_of_n, limits=LIMITS, num_samples=16),
    "beams": partial(adaptive_beam_search, limits=LIMITS, num_samples=16, beam_width=4, max_steps=12),
    "children": partial(
        adaptive_beam_search, limits=LIMITS, num_samples=16, beam_width=4, max_steps=12, adapt=Adapt.CHILDREN
    ),
    "both, first": partial(
        adaptive_beam_search, limits=LIMITS, num_samples=16, beam_width=4, max_steps=12, adapt=Adapt.BOTH,
        adapt_root=True,
    ),
    "sequential": partial(sequential, limits=LIMITS, num_samples=16),
    "marginal": partial(marginal, limits=LIMITS, num_samples=16, min_gain=0.005),
}  # fmt: skip
every = pytest.mark.parametrize("name", EVERY)


@every
@pytest.mark.parametrize("selection", [Selection.BEST, Selection.WEIGHTED_VOTE, Selection.MAJORITY])
def test_easy_problems_get_less_and_accuracy_stays(name, selection):
    easy_tokens, easy_right = spent(partial(EVERY[name], selection=selection), EASY)
    hard_tokens, _ = spent(partial(EVERY[name], selection=selection), HARD)
    assert easy_tokens < 0.75 * hard_tokens
    assert easy_right >= 0.9


@every
def test_the_same_replies_give_the_same_search(name):
    first, second = ToyProblem(0.4, 7), ToyProblem(0.4, 7)
    random.seed(1)
    play(EVERY[name](ROOT), first.reply)
    random.seed(2)
    play(EVERY[name](ROOT), second.reply)
    assert [_asked(one) for one in first.requests] == [_asked(one) for one in second.requests]


def _asked(request: Request) -> object:
    if isinstance(request, Score):
        return [path.node_id for path in request.paths]
    assert isinstance(request, Expand)
    return [(path.node_id, count) for path, count in request.parents], request.until, request.scoring


# --- answer selection


@pytest.mark.parametrize(
    ("selection", "expected"), [(Selection.BEST, "a"), (Selection.WEIGHTED_VOTE, "b"), (Selection.MAJORITY, "c")]
)
def test_selections_differ(selection, expected):
    """One good a, two fair b's, three poor c's: the same candidates, whatever search found them."""
    answers = [("a", 0.9), ("b", 0.6), ("b", 0.5), ("c", 0.1), ("c", 0.1), ("c", 0.1)]
    paths = tuple(
        Path(number, ROOT, f"\\boxed{{{answer}}}", (1,), FinishReason.EOS, None, PrmScore(p, p, p))
        for number, (answer, p) in enumerate(answers, 1)
    )
    assert choose(paths, selection, Aggregation.LAST).answer == expected
    root = Path(0, None, "q", score=PrmScore(0.5, 0.5, 0.5))

    def answer(request: Request) -> Reply:
        return Reply(ReplyKind.FULL, (root,) if isinstance(request, Score) else paths)

    strategies = (
        best_of_n(ROOT, limits=LIMITS, num_samples=6, selection=selection),
        adaptive_best_of_n(ROOT, limits=LIMITS, num_samples=6, selection=selection),
        beam_search(ROOT, limits=LIMITS, num_samples=6, beam_width=3, max_steps=3, selection=selection),
        adaptive_beam_search(ROOT, limits=LIMITS, num_samples=6, beam_width=3, max_steps=3, selection=selection),
        sequential(ROOT, limits=LIMITS, num_samples=6, wave_size=6, selection=selection),
    )
    assert [play(strategy, answer).answer for strategy in strategies] == [expected] * 5


def test_the_row_carries_the_posterior_of_a_sequential_answer():
    world = World(scheduler_for(partial(sequential, limits=LIMITS, num_samples=8)), random.Random(1))
    world.run(problems(5))
    for one in world.concluded:
        row = problem_record(
            one.search,
            correct=None,
            models=Models(10, 20, None),
            strategy="sequential",
            wall_seconds=0.0,
            share=NOTHING,
        ).problem
        choice = one.search.choice
        assert choice is not None
        if choice.answer_p is not None:
            assert row.answer_p_lower == row.answer_p_median == row.answer_p_upper == choice.answer_p.median
    assert any(one.search.choice and one.search.choice.answer_p for one in world.concluded)
