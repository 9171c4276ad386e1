"""Replay: under the run's own settings it gives back the run, under others what is stored, and it never guesses."""

import itertools
import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.path import Path
from records.rows import ProblemRecord, Status
from scaling.search.accounting import Models, problem_record
from scaling.search.journal import CANCEL
from scaling.search.problem_search import ProblemSearch
from scaling.stored.problem import any_right
from scaling.stored.tree import StoredTree, stored_tree
from scaling.stored.tree_player import Replayed, replay
from scaling.strategy import StrategyFactory
from tests.scaling.strategies.test_every_strategy import CASES, Case, begin, every_case, place
from tests.support.clocks import ClockedWorld
from tests.support.tiers import some_of
from tests.support.world import NOTHING, World, problems, scheduler_for

NUM_PROBLEMS = 4
MODELS = Models(10, 20, None)


def records(world: World) -> Iterator[ProblemRecord]:
    """All rows of each problem that did not fail."""
    for one in world.concluded:
        record = problem_record(one.search, correct=None, models=MODELS, strategy="s", wall_seconds=0.0, share=NOTHING)
        if record.problem.status is not Status.FAILED:
            yield record


@cache
def whole(case: Case) -> tuple[ProblemRecord, ...]:
    """A run without a cap."""
    world = World(scheduler_for(begin(case)), random.Random(0))
    world.run(problems(NUM_PROBLEMS))
    return tuple(sorted(records(world), key=lambda record: record.problem.problem_id))


def tree_of(record: ProblemRecord) -> StoredTree:
    """Every strategy here asks for the confidences of all samples or of none."""
    asked = any(step.token_confidences is not None for step in record.steps)
    return stored_tree(record, top_logprobs=20 if asked else 0)


def played(strategy: StrategyFactory, record: ProblemRecord) -> Replayed:
    return replay(strategy, tree_of(record))


def check_is_the_run(found: Replayed, record: ProblemRecord) -> None:
    """Every number of the problem's row that a replay knows."""
    row = record.problem
    assert found.choice is not None, found.left
    assert found.choice.answer == row.answer
    p = found.answer_p
    assert (p and (p.lower, p.median, p.upper)) == (
        (row.answer_p_lower, row.answer_p_median, row.answer_p_upper) if row.answer_p_median is not None else None
    )
    cost = found.cost
    assert (cost.generated_tokens, cost.prompt_tokens, cost.cached_tokens) == (
        row.generated_tokens,
        row.prompt_tokens,
        row.cached_tokens,
    )
    assert (cost.prm_tokens, cost.prm_cached_tokens) == (row.prm_tokens, row.prm_cached_tokens)
    assert (found.num_samples, found.num_steps, found.pruned_tokens) == (
        row.num_samples,
        row.num_steps,
        row.pruned_tokens,
    )
    assert found.num_requests == sum(request.kind != CANCEL for request in record.requests)  # the strategy's own
    assert (found.root_score and found.root_score.median) == row.p_median
    assert found.is_cut == (row.status is Status.BUDGET_EXHAUSTED)
    assert not found.differs


@every_case
def test_a_run_replayed_is_the_run(case):
    for record in whole(case):
        check_is_the_run(played(begin(case), record), record)


@every_case
@pytest.mark.parametrize("every", [17, pytest.param(3, marks=pytest.mark.long)])
def test_a_run_that_was_cut_at_any_token_replays_with_its_recorded_grants(case, every):
    num_cut = 0
    most = sum(record.problem.generated_tokens for record in whole(case))
    for total in range(1 + place(case) % every, most, every):
        world = ClockedWorld(scheduler_for(begin(case), total_tokens=total), random.Random(total), seed=total)
        world.run(problems(NUM_PROBLEMS), generators=1 + total % 3)
        for record in records(world):
            check_is_the_run(played(begin(case), record), record)
            num_cut += record.problem.status is Status.BUDGET_EXHAUSTED
    assert num_cut or not case.most_children


@every_case
@given(seed=st.integers(0, 10**6), total=st.none() | st.integers(1, 40 * NUM_PROBLEMS))
@settings(max_examples=some_of(10), deadline=None)
def test_deaths_and_caps_change_nothing_of_that(case, seed, total):
    scheduler = scheduler_for(begin(case), total_tokens=total)
    world = ClockedWorld(scheduler, random.Random(seed), seed=seed, missing_rate=0.2, mean_life_s=8.0)
    world.run(problems(NUM_PROBLEMS), generators=2, prms=2)
    for record in records(world):
        check_is_the_run(played(begin(case), record), record)


# --- other settings

FULL = Case("best-of-n", "num_samples=12", 12)
FEWER = [
    Case("best-of-n", f"num_samples={count}{more}", count)
    for count in (1, 2, 5, 11, 12)
    for more in ("", ", selection='weighted-vote'", ", selection='majority'")
] + [
    Case("adaptive-best-of-n", "num_samples=12, confidence=0.9", 12),
    Case("adaptive-best-of-n", "num_samples=9, confidence=0.99, min_samples=2", 9),
]
"""What asks for the same samples in the same request, so that a run of its own draws the same ones."""


@pytest.mark.parametrize("case", FEWER, ids=str)
def test_fewer_samples_are_the_run_of_fewer_samples(case):
    for stored, own in zip(whole(FULL), whole(case), strict=True):
        found = played(begin(case), stored)
        assert found.choice is not None
        assert found.choice.answer == own.problem.answer
        assert found.cost.generated_tokens == own.problem.generated_tokens
        assert (found.cost.prm_tokens, len(found.leaves)) == (own.problem.prm_tokens, own.problem.num_samples)
        assert (found.answer_p and found.answer_p.median) == own.problem.answer_p_median
        assert found.pruned_tokens == own.problem.pruned_tokens


@pytest.mark.parametrize("case", [Case("sequential", "num_samples=12, wave_size=3", 12)], ids=str)
def test_waves_take_the_samples_in_order(case):
    [*trees] = [tree_of(record) for record in whole(FULL)]
    for tree in trees:
        found = replay(begin(case), tree)
        assert found.choice is not None
        assert list(found.leaves) == sorted(tree.by_leaf)[: len(found.leaves)]
        assert found.differs


@pytest.mark.parametrize(("name", "more"), [("adaptive-consistency", ""), ("sequential", ", min_gain=0")])
def test_side_by_side_in_their_order_stored_samples_decide_as_one_after_the_other(name, more):
    for record in whole(FULL):
        one_after_the_other = played(begin(Case(name, f"num_samples=12, wave_size=1{more}", 12)), record)
        found = played(begin(Case(name, f"num_samples=12, wave_size=4, look='order'{more}", 12)), record)
        assert found.choice is not None
        assert one_after_the_other.choice is not None
        assert found.choice.answer == one_after_the_other.choice.answer
        counted, wanted = ([path.node_id for path in one.choice.candidates] for one in (found, one_after_the_other))
        assert counted == wanted
        assert found.cost.generated_tokens >= one_after_the_other.cost.generated_tokens


@every_case
@pytest.mark.parametrize("num_others", [2, pytest.param(len(CASES), marks=pytest.mark.long)])
def test_any_strategy_on_any_tree_ends_or_says_that_it_left(case, num_others):
    """And what it takes is stored, once, with the costs of what it took."""
    others = sorted(CASES, key=lambda other: zlib.crc32(f"{case} on {other}".encode()))[:num_others]
    for record, other in itertools.product(whole(case), others):
        tree = tree_of(record)
        found = replay(begin(other), tree)
        assert (found.choice is None) == (found.left is not None)
        assert len(set(found.leaves)) == len(found.leaves)
        assert found.cost.generated_tokens <= record.problem.generated_tokens
        if found.choice is not None and found.choice.path is not None:
            nodes = {step.node_id: step.text for step in record.steps}
            assert all(nodes[node.node_id] == node.text for node in found.choice.path.lineage)
            assert found.choice.path.root.text == record.problem.question


def test_what_is_not_stored_is_said():
    [record, *_] = whole(FULL)
    left = played(begin(Case("best-of-n", "num_samples=13", 13)), record)
    assert left.choice is None
    assert left.left == "problem 'p0', node 0: 13 more children are asked for, 12 are stored"
    assert left.num_requests == 2
    beam = played(begin(Case("beam-search", "num_samples=4, max_steps=6, beam_width=2", 24)), record)
    assert beam.left == "problem 'p0', node 0: 4 more children are asked for, 0 are stored"
    steps = played(begin(Case("best-of-n", "num_samples=4, aggregation='min'", 4)), record)
    assert steps.left is not None
    assert steps.left.endswith("nobody asked for its score")
    confident = played(begin(Case("deepconf-offline", "num_samples=4, window=3", 4)), record)
    assert confident.left == "problem 'p0', node 0: confidences over 20 tokens are not stored"


def test_a_child_that_the_cap_cut_is_nobody_elses():
    """Under other settings it is not what the engine would have sampled."""
    [record, *_] = whole(FULL)
    leaf = record.requests[1].child_ids[0]
    cut = [replace(step, finish_reason="length") if step.node_id == leaf else step for step in record.steps]
    length = sum(step.generated_tokens for step in record.steps if step.node_id <= leaf)
    granted = (length, *record.requests[1].granted_tokens[1:])
    request = replace(record.requests[1], granted_tokens=granted, reply_kind="reduced")
    clamped = replace(record, steps=tuple(cut), requests=(record.requests[0], request))
    own = played(begin(FULL), clamped)
    assert own.choice is not None
    assert (own.is_cut, own.differs) == (True, False)
    other = played(begin(FEWER[3]), clamped)
    assert other.left == "problem 'p0', node 0: a stored child was cut, or is longer than is asked for"


def test_a_problem_that_was_never_begun_is_cut():
    search = ProblemSearch(problems(1)[0], begin(FULL), run_seed=1)
    search.skip()
    record = problem_record(search, correct=None, models=MODELS, strategy="s", wall_seconds=0.0, share=NOTHING)
    check_is_the_run(played(begin(FULL), record), record)


def test_answers_are_those_of_whole_solutions():
    for case in CASES:
        for record in whole(case):
            tree = tree_of(record)
            found = replay(begin(case), tree)
            assert found.choice is not None
            answers = [tree.answer_of(leaf) for leaf in found.finished]
            if found.choice.answer is not None:
                assert found.choice.answer in answers or not found.choice.path.finished
            assert any_right([answer is not None for answer in answers]) is (set(answers) - {None} != set())


def test_paths_of_whole_samples_are_made_once():
    [record, *_] = whole(FULL)
    tree = tree_of(record)
    first, second = replay(begin(FULL), tree), replay(begin(FULL), tree)
    assert first.choice is not None
    assert second.choice is not None
    assert first.choice.path is second.choice.path
    assert isinstance(first.choice.path, Path)
