"""Marginal allocation: offers, competition under a cap, windows, resume; and that it beats what it has to beat."""

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.path import FinishReason, Path, PrmScore
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from records.rows import OpenRecord, RequestRow, StepRow
from scaling.scheduler.open_search import Concluded
from scaling.search.journal import request_hash
from scaling.strategies.adaptive_best_of_n import adaptive_best_of_n
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.marginal import Objective, marginal
from scaling.strategy import Choice, SearchLimits, Strategy
from scaling.toy import TOY_LIMITS as LIMITS
from scaling.toy import TOY_ROOT as ROOT
from scaling.toy import ToyProblem
from scaling.toy import play_strategy as play
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection
from tests.support.tiers import some_of
from tests.support.world import World, problems, scheduler_for

pytestmark = pytest.mark.slow

SMALL = SearchLimits(max_tokens=40, max_step_tokens=8)
STRATEGY = partial(marginal, limits=SMALL, num_samples=6, typical_tokens=8)

every_objective = pytest.mark.parametrize("objective", Objective)


def question(lower: float, median: float, upper: float) -> Reply:
    return Reply(ReplyKind.FULL, (Path(0, None, "q", score=PrmScore(lower, median, upper)),))


def sample(answer: str | None, p: float, num_tokens: int = 10) -> Reply:
    text = "no idea" if answer is None else f"\\boxed{{{answer}}}"
    path = Path(1, ROOT, text, (1,) * num_tokens, FinishReason.EOS, None, PrmScore(p, p, p))
    return Reply(ReplyKind.FULL, (path,))


def offers(root: Reply, replies: Sequence[Reply], **options: object) -> list[float]:
    """The worth of each request of a strategy that gets these replies."""
    strategy = marginal(ROOT, limits=LIMITS, num_samples=64, **options)  # type: ignore[arg-type]
    next(strategy)
    found = []
    for reply in (root, *replies):
        request = strategy.send(reply)
        assert isinstance(request, Expand)
        assert request.priority is not None
        found.append(request.priority)
    return found


# --- what a sample is worth


@every_objective
def test_the_first_offer_is_the_chance_of_success_per_expected_token(objective):
    for typical_tokens, tokens in ((None, 250.0), (40, 40.0)):
        [worth] = offers(question(0.3, 0.3, 0.3), [], objective=objective, typical_tokens=typical_tokens)
        assert worth == pytest.approx(0.3 / tokens)


@every_objective
def test_a_sample_that_the_prm_is_sure_of_lowers_the_next_offer_and_a_poor_one_too(objective):
    root = question(0.2, 0.5, 0.8)
    options = {"objective": objective, "typical_tokens": 10}
    before, after_sure = offers(root, [sample("4", 0.97)], **options)
    _, after_poor = offers(root, [sample("4", 0.03)], **options)
    _, after_poorer = offers(root, [sample("4", 0.001)], **options)
    assert after_sure < 0.5 * before
    assert after_sure < after_poor < before
    assert after_poor < after_poorer, "a poor sample leaves more to win the surer it is that it is poor"


@every_objective
def test_agreement_lowers_the_offer_and_hopeless_questions_offer_nothing(objective):
    root = question(0.2, 0.5, 0.8)
    agreeing = offers(root, [sample("4", 0.5)] * 4, objective=objective)
    differing = offers(root, [sample(str(number), 0.5) for number in range(4)], objective=objective)
    assert agreeing[-1] < differing[-1]
    hopeless = offers(question(0.0, 0.001, 0.01), [sample("4", 0.01)] * 4, objective=objective)
    assert max(hopeless) < 0.05 * differing[0]


def test_the_problems_own_samples_say_what_a_token_buys():
    root, replies = question(0.2, 0.5, 0.8), [sample(None, 0.3, 10), sample(None, 0.3, 10)]
    short = offers(root, replies, typical_tokens=10)
    long = offers(root, [sample(None, 0.3, 40), sample(None, 0.3, 40)], typical_tokens=10)
    assert [one / other for one, other in zip(short, long, strict=True)] == pytest.approx([1, 25 / 10, 30 / 10])
    [_, wave_of_one] = offers(root, replies[:1], objective=Objective.COVERAGE, typical_tokens=10)
    [_, wave_of_two] = offers(root, replies[:1], objective=Objective.COVERAGE, typical_tokens=10, wave_size=2)
    assert 0.5 * wave_of_one < wave_of_two < wave_of_one


def test_the_worth_of_a_request_is_no_part_of_its_hash_and_never_nan():
    request = Expand(((ROOT, 1),), Until.END, 10, Scoring.LEAF, priority=0.1)
    assert request_hash(request) == request_hash(replace(request, priority=None))
    with pytest.raises(ValueError, match="priority is NaN"):
        replace(request, priority=math.nan)


# --- one problem


@pytest.mark.parametrize("min_gain", [0.0, 0.05])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_without_a_cap_it_ends_at_most_samples_or_where_a_sample_is_not_worth_it(p, min_gain):
    problem = ToyProblem(p, 3)
    choice = play(marginal(ROOT, limits=LIMITS, num_samples=20, wave_size=3, min_gain=min_gain), problem.reply)
    waves = [request.parents[0][1] for request in problem.requests if isinstance(request, Expand)]
    assert waves == [3, 3, 3, 3, 3, 3, 2][: len(waves)]
    assert sum(waves) == 20 if min_gain == 0 else sum(waves) < 20
    assert len(choice.candidates) == problem.num_samples == sum(waves)
    assert choice.answer_p is not None


@given(
    text=st.sampled_from(["", "\n\n", "\\boxed{", "\\boxed{1}"]),
    p=st.sampled_from([0.0, 0.5, 1.0, 1e-300, math.nan]),
    num_tokens=st.sampled_from([0, 300]),
    objective=st.sampled_from(Objective),
    selection=st.none() | st.sampled_from([Selection.BEST, Selection.WEIGHTED_VOTE, Selection.MAJORITY]),
    aggregation=st.sampled_from(Aggregation),
    prior_strength=st.none() | st.sampled_from([1e-9, 1e4]),
)
@settings(deadline=None)
def test_empty_replies_and_scores_that_say_nothing_end(
    text, p, num_tokens, objective, selection, aggregation, prior_strength
):
    score, worths = PrmScore(p, p, p), []

    def answer(request: Expand | Score) -> Reply:
        if isinstance(request, Score):
            return Reply(ReplyKind.FULL, (replace(ROOT, score=score),))
        worths.append(request.priority)
        return Reply(ReplyKind.FULL, (Path(1, ROOT, text, (1,) * num_tokens, FinishReason.LENGTH, None, score),))

    strategy = marginal(
        ROOT, limits=LIMITS, num_samples=16, objective=objective, selection=selection, aggregation=aggregation,
        prior_strength=prior_strength,
    )  # fmt: skip
    choice = play(strategy, answer)
    assert len(worths) == 16
    assert all(math.isfinite(worth) and worth > -1e-9 for worth in worths)
    assert choice.path is not None
    assert (choice.answer is None) == (text != "\\boxed{1}")


# --- problems that compete


def rows_of(concluded: Sequence[Concluded]) -> dict[str, tuple[list[StepRow], list[RequestRow]]]:
    """What each problem came to, without who served it and how much was reserved for it; each concludes once."""
    found = {}
    for one in concluded:
        assert one.search.error is None
        assert one.search.problem.problem_id not in found
        steps = [replace(step, replica="", prm_replica=None) for step in one.search.steps]
        found[one.search.problem.problem_id] = (steps, [replace(row, granted_tokens=()) for row in one.search.requests])
    return found


@given(seed=st.integers(0, 10**6), generators=st.integers(1, 3), window=st.sampled_from([None, 3, 8]))
@settings(max_examples=some_of(25), deadline=None)
def test_without_a_cap_arrival_replicas_and_windows_change_nothing(seed, generators, window):
    calm = World(scheduler_for(STRATEGY), random.Random(0))
    calm.run(problems(8), generators=1, prms=1)
    rough = World(scheduler_for(STRATEGY), random.Random(seed), missing_rate=0.2, window=window)
    rough.run(problems(8), generators=generators, prms=2)
    assert rows_of(rough.concluded) == rows_of(calm.concluded)


@given(
    seed=st.integers(0, 10**6),
    generators=st.integers(1, 3),
    window=st.sampled_from([1, 3, 8]),
    total=st.integers(1, 500),
)
@settings(max_examples=some_of(40), deadline=None)
def test_under_a_cap_arrival_decides_only_where_problems_are_cut(seed, generators, window, total):
    whole = World(scheduler_for(STRATEGY), random.Random(0))
    whole.run(problems(8), generators=1, prms=1)
    uncut = rows_of(whole.concluded)
    world = World(scheduler_for(STRATEGY, total_tokens=total), random.Random(seed), missing_rate=0.2, window=window)
    world.run(problems(8), generators=generators, prms=2)
    assert world.most_spent_tokens <= total
    assert world.scheduler.ledger.reserved_tokens == 0
    found = rows_of(world.concluded)
    assert found.keys() == uncut.keys()
    for one in world.concluded:
        steps, requests = found[one.search.problem.problem_id]
        full_steps, full_requests = uncut[one.search.problem.problem_id]
        full = [row for row in requests if row.reply_kind == "full"]
        assert full == full_requests[: len(full)], "whatever the budget let through is what it would have been"
        kept = [step for step in steps if step.request < len(full)]
        assert kept == full_steps[: len(kept)]
        assert one.search.cut == (len(full) < len(full_requests))
    assert (found == uncut) == (not any(one.search.cut for one in world.concluded))


@given(seed=st.integers(0, 10**6), total=st.integers(60, 400), window=st.integers(1, 4))
@settings(max_examples=some_of(30), deadline=None)
def test_a_window_spends_no_more_than_its_share(seed, total, window):
    world = World(scheduler_for(STRATEGY, total_tokens=total), random.Random(seed), window=window)
    world.run(problems(8))
    tokens = {
        one.search.problem.problem_id: sum(step.generated_tokens for step in one.search.steps)
        for one in world.concluded
    }
    left, num_left = total, 8
    for begin in range(0, 8, window):
        names = [f"p{index}" for index in range(begin, min(begin + window, 8))]
        spent = sum(tokens[name] for name in names)
        assert spent <= left * len(names) // num_left
        left, num_left = left - spent, num_left - len(names)


def test_no_sample_is_granted_before_all_questions_are_read_and_the_best_offer_goes_first():
    world = World(scheduler_for(STRATEGY, total_tokens=400), random.Random(3), window=8)
    samples = world.scheduler.samples
    take, worths, num_read = samples.take, [], []

    def spied(key, replica):
        waiting = [item.task.priority or 0.0 for item in samples._items.values() if item.replica is None]
        worths.append((samples._items[key].task.priority, max(waiting)))
        num_read.append(sum(search.root_score is not None for search in world.scheduler.open_searches()))
        return take(key, replica)

    samples.take = spied
    world.run(problems(8), generators=1, prms=2, slots=1)
    assert len(worths) > 20
    assert num_read[0] == 8
    assert all(worth == best for worth, best in worths)
    first = [one.search.requests[1].worth for one in world.concluded]
    assert max(first) == worths[0][0]


def test_a_problem_that_fails_does_not_hold_up_its_window():
    world = World(scheduler_for(STRATEGY), random.Random(3), window=3)
    world.scheduler._has_prm = False
    world.run(problems(5))
    assert len(world.concluded) == 5
    assert all(one.search.error for one in world.concluded)


def test_an_exhausted_budget_lets_every_window_conclude():
    world = World(scheduler_for(STRATEGY, total_tokens=50), random.Random(3), window=3)
    world.scheduler.ledger.close()
    world.run(problems(8))
    assert len(world.concluded) == 8
    assert world.scheduler.counts.generated_tokens == 0


@given(seed=st.integers(0, 10**6), rounds=st.integers(0, 80), total=st.integers(40, 400), window=st.integers(1, 8))
@settings(max_examples=some_of(40), deadline=None)
def test_an_interrupted_run_goes_on_under_the_same_cap(seed, rounds, total, window):
    whole = World(scheduler_for(STRATEGY), random.Random(0))
    whole.run(problems(8))
    uncut = rows_of(whole.concluded)
    first = World(scheduler_for(STRATEGY, total_tokens=total), random.Random(seed), max_rounds=rounds, window=window)
    first.run(problems(8))
    journals = {
        search.problem.problem_id: OpenRecord(
            problem_id=search.problem.problem_id, steps=tuple(search.steps), requests=tuple(search.requests)
        )
        for search in first.scheduler.open_searches()
    }
    done = rows_of(first.concluded)
    second = World(
        scheduler_for(STRATEGY, total_tokens=total), random.Random(seed + 1), journals=journals, window=window
    )
    kept = [steps for steps, _ in done.values()] + [list(record.steps) for record in journals.values()]
    second.scheduler.ledger.spent_tokens = sum(step.generated_tokens for steps in kept for step in steps)
    second.run([problem for problem in problems(8) if problem.problem_id not in done])
    found = done | rows_of(second.concluded)
    assert found.keys() == uncut.keys()
    assert sum(step.generated_tokens for steps, _ in found.values() for step in steps) <= total
    for name, (_, requests) in found.items():
        full = [row for row in requests if row.reply_kind == "full"]
        assert full == uncut[name][1][: len(full)]


# --- what it is for: more right answers for the same tokens

CHANCES = (0.95, 0.8, 0.6, 0.4, 0.2, 0.1, 0.03, 0.0)
NUM_PROBLEMS = 160


def toys() -> list[ToyProblem]:
    return [ToyProblem(CHANCES[seed % len(CHANCES)], seed, noise=1.5) for seed in range(NUM_PROBLEMS)]


OF_THE_TOY: dict[str, float] = {"wrong_spread": 3.0, "score_weight": 0.5}
"""Its wrong answers are six, and its scores err one by one."""


def score_of(choices: Sequence[Choice | None]) -> tuple[float, float]:
    """Coverage, and accuracy: shares of problems."""
    covered = right = 0
    for choice in choices:
        if choice is not None:
            covered += any("right}" in path.text for path in choice.candidates)
            right += choice.answer == "right"
    return covered / len(choices), right / len(choices)


def alone(strategy: Callable[[Path], Strategy]) -> tuple[float, float, int]:
    """Coverage, accuracy and tokens of a strategy that decides problem by problem."""
    worlds = toys()
    return (*score_of([play(strategy(ROOT), problem.reply) for problem in worlds]), sum(one.tokens for one in worlds))


def together(strategy: Callable[[Path], Strategy], total_tokens: int) -> tuple[float, float, list[int]]:
    """The same where problems compete: the best offer is served, one at a time, until the cap is reached.

    The tokens are those of each problem.
    """
    worlds, running = toys(), [strategy(ROOT) for _ in range(NUM_PROBLEMS)]
    heap: list[tuple[float, int, Expand]] = []
    choices: list[Choice | None] = [None] * NUM_PROBLEMS
    for index, (problem, search) in enumerate(zip(worlds, running, strict=True)):
        request = search.send(problem.reply(next(search)))
        assert isinstance(request, Expand)
        heap.append((-(request.priority or 0.0), index, request))
    heapq.heapify(heap)
    left_tokens = total_tokens
    while heap:
        _, index, asked = heapq.heappop(heap)
        left_tokens -= 5 * worlds[index].num_steps
        reply = worlds[index].reply(asked) if left_tokens >= 0 else Reply(ReplyKind.BUDGET_EXHAUSTED, ())
        try:
            request = running[index].send(reply)
        except StopIteration as stop:
            choices[index] = stop.value
        else:
            assert isinstance(request, Expand)
            heapq.heappush(heap, (-(request.priority or 0.0), index, request))
    return (*score_of(choices), [one.tokens for one in worlds])


@every_objective
@pytest.mark.parametrize("widths", [(8,), pytest.param((4, 8, 16), marks=pytest.mark.long)], ids=str)
def test_for_the_same_tokens_it_covers_more_than_fixed_n_and_n_ias(objective, widths):
    compete = partial(marginal, limits=LIMITS, num_samples=64, objective=objective, **OF_THE_TOY)
    for num_samples in widths:
        coverage, accuracy, tokens = alone(partial(best_of_n, limits=LIMITS, num_samples=num_samples))
        found_coverage, found_accuracy, spent = together(compete, tokens)
        assert 0.99 * tokens < sum(spent) <= tokens
        assert found_coverage >= coverage + 0.03
        assert found_accuracy >= accuracy + 0.03
    coverage, accuracy, tokens = alone(partial(adaptive_best_of_n, limits=LIMITS, num_samples=64))
    found_coverage, found_accuracy, _ = together(compete, tokens // 2)
    assert found_coverage >= coverage
    assert found_accuracy >= accuracy


def test_hopeless_problems_eat_less_than_n_ias_gives_them():
    """The eighth of the problems that nobody can solve, of which the PRM thinks that some can."""
    hopeless = slice(CHANCES.index(0.0), None, len(CHANCES))
    worlds = toys()
    for problem in worlds:
        play(adaptive_best_of_n(ROOT, limits=LIMITS, num_samples=64), problem.reply)
    by_n_ias = [problem.tokens for problem in worlds]
    compete = partial(marginal, limits=LIMITS, num_samples=64, objective=Objective.COVERAGE, **OF_THE_TOY)
    *_, by_worth = together(compete, 25_600)
    shares = [sum(tokens[hopeless]) / sum(tokens) for tokens in (by_n_ias, by_worth)]
    assert shares[0] > 0.18
    assert shares[1] < 0.85 * shares[0]
