"""The scheduler in a toy world: nothing that a cluster does may change what a problem's search finds."""

import random
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.calls import CallFailed, SampleCall, SampledStep
from records.path import FinishReason, Path
from records.rows import ProblemRecord, Status
from scaling.scheduler.open_search import Concluded
from scaling.search.accounting import Models, problem_record
from scaling.strategies.adaptive_beam_search import Adapt, adaptive_beam_search
from scaling.strategies.adaptive_best_of_n import adaptive_best_of_n
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.marginal import marginal
from scaling.strategies.sample import sample
from scaling.strategies.sequential import sequential
from scaling.strategy import SearchLimits, StrategyFactory
from scaling.uncertainty.aggregation import Aggregation
from tests.support.tiers import some_of
from tests.support.world import NOTHING, World, problems, scheduler_for, toy_steps

LIMITS = SearchLimits(max_tokens=40, max_step_tokens=8)
STRATEGIES: dict[str, StrategyFactory] = {
    "sample": partial(sample, limits=LIMITS),
    "majority": partial(majority, limits=LIMITS, num_samples=5),
    "weighted": partial(majority, limits=LIMITS, num_samples=5, weight_by=Aggregation.PRODUCT),
    "best-of-n": partial(best_of_n, limits=LIMITS, num_samples=6, aggregation=Aggregation.MIN),
    "beam": partial(beam_search, limits=LIMITS, num_samples=6, beam_width=3, max_steps=8),
    "beam, freq 2": partial(beam_search, limits=LIMITS, num_samples=6, beam_width=2, max_steps=8, frequency=2),
    "adaptive-best-of-n": partial(adaptive_best_of_n, limits=LIMITS, num_samples=9, confidence=0.9),
    "adaptive-beam": partial(
        adaptive_beam_search, limits=LIMITS, num_samples=6, beam_width=3, max_steps=8, adapt=Adapt.BOTH,
        confidence=0.9, adapt_root=True,
    ),
    "sequential": partial(sequential, limits=LIMITS, num_samples=9, wave_size=2, threshold=0.7, min_gain=0.02),
    "marginal": partial(marginal, limits=LIMITS, num_samples=9, wave_size=2, min_gain=0.02),
}  # fmt: skip
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def record(concluded: Concluded) -> ProblemRecord:
    return problem_record(
        concluded.search,
        correct=None,
        models=Models(10, 20, None),
        strategy="s",
        wall_seconds=concluded.wall_seconds,
        share=NOTHING,
    )


def results(world: World) -> dict[str, object]:
    """What must not depend on the world: all rows, but for who served them, when, and from which cache."""
    found: dict[str, object] = {}
    for concluded in world.concluded:
        rows = record(concluded)
        assert rows.problem.problem_id not in found, "a problem concluded twice"
        steps = [replace(step, replica="", prm_replica=None) for step in rows.steps]
        found[rows.problem.problem_id] = (replace(rows.problem, wall_seconds=0.0), steps, rows.requests)
    return found


@every_strategy
@given(seed=st.integers(0, 10**6), deaths=st.sampled_from([0.0, 0.02]), generators=st.integers(1, 3))
@settings(max_examples=some_of(25), deadline=None)
def test_order_of_arrival_and_lost_prefixes_change_nothing(name, seed, deaths, generators):
    calm = World(scheduler_for(STRATEGIES[name]), random.Random(0))
    calm.run(problems(6), generators=1, prms=1)
    rough = World(scheduler_for(STRATEGIES[name]), random.Random(seed), death_rate=deaths, missing_rate=0.3)
    rough.run(problems(6), generators=generators, prms=2)
    failed = {c.search.problem.problem_id for c in rough.concluded if c.search.error is not None}
    expected, found = results(calm), results(rough)
    assert expected.keys() == found.keys()
    for problem_id in expected.keys() - failed:
        assert found[problem_id] == expected[problem_id]


@every_strategy
@given(seed=st.integers(0, 10**6), total=st.integers(1, 400))
@settings(max_examples=some_of(25), deadline=None)
def test_a_cap_is_never_exceeded_and_every_problem_ends(name, seed, total):
    world = World(scheduler_for(STRATEGIES[name], total_tokens=total), random.Random(seed), missing_rate=0.1)
    world.run(problems(8))
    rows = [record(concluded) for concluded in world.concluded]
    assert sorted(row.problem.problem_id for row in rows) == [f"p{index}" for index in range(8)]
    spent = sum(row.problem.generated_tokens for row in rows)
    assert spent == world.scheduler.ledger.spent_tokens <= total
    assert world.most_spent_tokens <= total
    assert world.scheduler.ledger.reserved_tokens == 0
    cut = any(row.problem.status is Status.BUDGET_EXHAUSTED for row in rows)
    assert cut or world.scheduler.counts.generated_tokens == spent


@every_strategy
@given(seed=st.integers(0, 10**6))
@settings(max_examples=some_of(15), deadline=None)
def test_rows_hang_together(name, seed):
    world = World(scheduler_for(STRATEGIES[name]), random.Random(seed))
    world.run(problems(4))
    for concluded in world.concluded:
        rows = record(concluded)
        ids = [step.node_id for step in rows.steps]
        assert ids == list(range(1, len(ids) + 1))
        depth = {0: 0} | {step.node_id: step.depth for step in rows.steps}
        assert all(step.depth == depth[step.parent_id] + 1 for step in rows.steps)
        assert rows.problem.num_samples == sum(len(row.child_ids) for row in rows.requests)
        assert [row.request for row in rows.requests] == list(range(len(rows.requests)))
        assert 0 <= rows.problem.pruned_tokens <= rows.problem.generated_tokens
        assert all(step.generated_tokens == len(step.token_ids) for step in rows.steps)
        for row in rows.requests:
            assert len(row.p_median) == len(row.child_ids or row.node_ids)


def test_a_call_that_is_refused_for_good_fails_its_problem_only():
    strategy = STRATEGIES["best-of-n"]
    world = World(scheduler_for(strategy), random.Random(3))
    served = world._sample

    def refuse_p1(call: SampleCall):
        if call.key.startswith("p1/") and call.key.endswith("/2~1"):
            return CallFailed(call.key, "prompt too long", retryable=False)
        return served(call)

    world._sample = refuse_p1
    world.run(problems(4))
    status = {c.search.problem.problem_id: c.search.error for c in world.concluded}
    assert status == {"p0": None, "p1": "prompt too long", "p2": None, "p3": None}
    failed = record(next(c for c in world.concluded if c.search.error))
    assert failed.problem.status is Status.FAILED
    assert failed.problem.answer is None
    assert world.scheduler.samples.num_in_flight == world.scheduler.samples.num_waiting == 0


def test_a_problem_that_kills_every_engine_it_meets_is_isolated_and_failed():
    """Others that were in flight beside it come through."""
    world = World(scheduler_for(STRATEGIES["majority"]), random.Random(5))
    served = world._sample

    def poison(call: SampleCall):
        if call.key.startswith("p2/0/0~"):
            replica = next(name for name, calls in world.samples.items() if name == poisoned(world, call))
            world._kill(replica, 4)
            return CallFailed("nobody", "unused", retryable=False)
        return served(call)

    world._sample = poison
    world.run(problems(5))
    errors = {c.search.problem.problem_id: c.search.error for c in world.concluded}
    assert errors.pop("p2") == "killed its generator repeatedly: killed"
    assert set(errors.values()) == {None}


def poisoned(world: World, call: SampleCall) -> str:
    return next(name for name in world.samples if world.scheduler.samples.flying(call.key, name) is not None)


@pytest.mark.parametrize("reason", [FinishReason.SEPARATOR, FinishReason.LENGTH, FinishReason.EOS])
@every_strategy
def test_adversarial_steps_still_end(name, reason):
    """Endless steps, empty texts, nothing but cuts: every strategy ends within its bounds."""

    def adversary(call: SampleCall) -> list[SampledStep]:
        return [SampledStep("", (1,) * min(2, call.max_tokens), reason, None)]

    world = World(scheduler_for(STRATEGIES[name]), random.Random(1), steps=adversary)
    world.run(problems(3))
    assert len(world.concluded) == 3
    for concluded in world.concluded:
        assert concluded.search.choice is not None
        assert concluded.search.choice.answer is None


def test_every_child_is_seeded_by_its_name():
    seeds: dict[str, int] = {}

    def spy(call: SampleCall) -> list[SampledStep]:
        assert seeds.setdefault(call.key, call.seed) == call.seed
        return toy_steps(call)

    for seed in (1, 2):
        world = World(scheduler_for(STRATEGIES["beam"]), random.Random(seed), steps=spy)
        world.run(problems(3))
    assert len(set(seeds.values())) == len(seeds) > 20


def test_a_deadline_lets_everything_conclude():
    world = World(scheduler_for(STRATEGIES["beam"]), random.Random(2))
    world.scheduler.ledger.close()
    world.run(problems(5))
    assert {record(c).problem.status for c in world.concluded} == {Status.BUDGET_EXHAUSTED}
    assert all(isinstance(c.search.root, Path) and record(c).problem.generated_tokens == 0 for c in world.concluded)
