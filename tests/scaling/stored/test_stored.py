"""Stored samples: a strategy played on them does and costs what a search does that gets the same samples."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.calls import SampleCall, Sampled, Sampling, Scored
from records.path import Path
from records.problem import Problem
from records.request import Expand, Scoring, Until
from scaling.search.accounting import Models, problem_record
from scaling.search.problem_search import ProblemSearch
from scaling.search.tasks import CompareTask, SampleTask, ScoreTask, Task
from scaling.stored.problem import Cost, NotStored, StoredProblem, any_right, finished_answers, stored_problem
from scaling.stored.sample_player import play
from scaling.stored.shared_cap import play_together
from scaling.strategies.adaptive_best_of_n import adaptive_best_of_n
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.published.adaptive_consistency import adaptive_consistency
from scaling.strategies.sequential import sequential
from scaling.strategy import SearchLimits, StrategyFactory
from scaling.uncertainty.selection import Selection, choose_by_vote
from tests.support.world import NOTHING, toy_score, toy_steps

LIMITS = SearchLimits(max_tokens=40, max_step_tokens=10)
NUM_SAMPLES = 12
MODELS = Models(num_generator_parameters=3, num_prm_parameters=7, generator_sha256=None)
STRATEGIES: dict[str, StrategyFactory] = {
    "best-of-n": partial(best_of_n, limits=LIMITS, num_samples=7),
    "weighted vote": partial(best_of_n, limits=LIMITS, num_samples=12, selection=Selection.WEIGHTED_VOTE),
    "majority": partial(majority, limits=LIMITS, num_samples=5),
    "adaptive": partial(adaptive_best_of_n, limits=LIMITS, num_samples=12),
    "sequential": partial(sequential, limits=LIMITS, num_samples=11, wave_size=3),
    "consistency": partial(adaptive_consistency, limits=LIMITS, num_samples=12, wave_size=2),
}


def sampled(task: SampleTask, seed: int, place: int) -> Sampled:
    """The first samples find less in the cache than those after them."""
    call = SampleCall("", "", None, task.until, task.max_tokens, seed, Sampling(0.7))
    return Sampled(task.key, tuple(toy_steps(call)), 8, min(place, 7), 0.0, 0.0)


def scored(task: ScoreTask, place: int) -> Scored:
    before = tuple(node.text for node in task.prefix.lineage)
    score = toy_score("question", before + task.steps)
    return Scored(task.key, (score,), 20, min(2 * place, 13), False, 0.0, 0.0)


def searched(strategy: StrategyFactory, sample: Callable[[SampleTask, int], Sampled]) -> ProblemSearch:
    """The real search, its n-th sample being what `sample` says."""
    search = ProblemSearch(Problem("p", "question", "1"), strategy, run_seed=0)
    tasks: list[Task] = search.begin()
    number = num_scored = 0
    while tasks:
        task = tasks.pop(0)
        if isinstance(task, SampleTask):
            tasks += search.sampled(task, sample(task, number), granted_tokens=task.max_tokens, replica="g")
            number += 1
        elif isinstance(task, CompareTask):
            tasks += search.compared(task, {})
        elif isinstance(task, ScoreTask):
            tasks += search.scored(task, scored(task, num_scored), replica="p")
            num_scored += bool(task.steps)
    return search


def pool(seed: int) -> tuple[StoredProblem, ProblemSearch]:
    search = searched(
        partial(best_of_n, limits=LIMITS, num_samples=NUM_SAMPLES),
        lambda task, number: sampled(task, seed * 1000 + number, number),
    )
    stored = stored_problem(search.problem, search.steps, search.requests)
    answers = {sample.answer for sample in stored.samples}
    return replace(stored, verdicts={answer: answer == "1" for answer in {None, *answers}}), search


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 10**6), number=st.integers(0, 5))
def test_playing_is_searching_with_the_same_samples(name, seed, number):
    stored, _ = pool(seed)
    order = stored.order(3, number)
    outcome = play(STRATEGIES[name], stored, order)
    search = searched(STRATEGIES[name], lambda task, at: sampled(task, seed * 1000 + order[at], at))
    assert search.choice is not None
    right = search.choice.answer == "1"
    row = problem_record(search, correct=right, models=MODELS, strategy="", wall_seconds=0, share=NOTHING).problem
    names = ("generated_tokens", "prompt_tokens", "cached_tokens", "prm_tokens", "prm_cached_tokens")
    cost = Cost(**{name: getattr(row, name) for name in names})
    assert outcome.cost == cost
    assert (outcome.right, outcome.answer_p) == (right, row.answer_p_median)
    assert (outcome.num_samples, outcome.pruned_tokens) == (row.num_samples, row.pruned_tokens)
    assert outcome.covered == ("1" in finished_answers(search.problem, search.steps))


@given(seed=st.integers(0, 10**6))
def test_orders_have_names(seed):
    stored, _ = pool(seed)
    assert stored.order(seed, 0) == list(range(NUM_SAMPLES))
    orders = [stored.order(seed, number) for number in range(8)]
    assert orders == [stored.order(seed, number) for number in range(8)]
    assert all(sorted(order) == list(range(NUM_SAMPLES)) for order in orders)
    assert len({tuple(order) for order in orders}) > 5


def test_what_is_not_stored_is_said_not_guessed():
    stored, _ = pool(1)
    order = stored.order(0, 0)
    with pytest.raises(NotStored, match="sample 13 of 12"):
        play(partial(best_of_n, limits=LIMITS, num_samples=13), stored, order)
    with pytest.raises(NotStored, match="whole samples of the bare question"):
        play(partial(beam_search, limits=LIMITS, num_samples=4, beam_width=2, max_steps=9), stored, order)
    unscored = replace(stored, root=replace(stored.root, score=None))
    with pytest.raises(NotStored, match="bare question was not scored"):
        play(STRATEGIES["best-of-n"], unscored, order)


def test_any_right_knows_what_it_does_not_know():
    assert any_right([None, True]) is True
    assert any_right([None, False]) is None
    assert any_right([False]) is False
    assert any_right([]) is False


def greedy(root: Path, *, worths: dict[str, list[float]], most: int):
    """Asks for one sample after the other, each worth what a table says."""
    taken: list[Path] = []
    while len(taken) < most:
        worth = worths[root.text][len(taken)]
        reply = yield Expand(((root, 1),), Until.END, LIMITS.max_tokens, Scoring.NONE, priority=worth)
        if not reply.paths:
            break
        taken += reply.paths
    return choose_by_vote(taken, None)


@given(
    worths=st.lists(
        st.lists(st.floats(0, 1), min_size=6, max_size=6).map(lambda row: sorted(row, reverse=True)),
        min_size=2,
        max_size=4,
    ),
    total=st.integers(0, 300),
)
def test_a_cap_goes_to_the_highest_worth(worths, total):
    stored = [replace(pool(seed)[0], root=Path(0, None, str(seed))) for seed in range(len(worths))]
    orders = [item.order(0, 0) for item in stored]
    strategy = partial(greedy, worths={str(seed): row for seed, row in enumerate(worths)}, most=6)
    outcomes = play_together(strategy, stored, orders, total)
    assert sum(outcome.cost.generated_tokens for outcome in outcomes) <= total
    # The slow twin: all wishes in one list, the highest first, until one does not fit.
    left, expected = total, [0] * len(worths)
    wishes = sorted((-worth, seed, at) for seed, row in enumerate(worths) for at, worth in enumerate(row))
    for _, seed, at in wishes:
        left -= stored[seed].samples[at].cost.generated_tokens
        if left < 0:
            break
        expected[seed] += 1
    assert [outcome.num_samples for outcome in outcomes] == expected
    free = play_together(strategy, stored, orders, None)
    assert all(outcome.num_samples == 6 for outcome in free)
