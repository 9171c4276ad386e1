"""A search that another process goes on with finds what it would have found without the interruption."""

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.failure import RunMismatch
from records.path import Path
from records.problem import Problem
from records.request import Expand, Score, Scoring, Until
from records.rows import OpenRecord, RequestRow, StepRow
from records.schemas import to_rows, to_table
from scaling.scheduler.open_search import Concluded
from scaling.search.accounting import Models, problem_record
from scaling.search.problem_search import ProblemSearch
from scaling.strategies.adaptive_beam_search import Adapt, adaptive_beam_search
from scaling.strategies.adaptive_best_of_n import adaptive_best_of_n
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.marginal import marginal
from scaling.strategies.probe import probe
from scaling.strategies.published.adaptive_consistency import adaptive_consistency
from scaling.strategies.published.backtracking import backtracking
from scaling.strategies.published.deepconf import deepconf_offline, deepconf_online
from scaling.strategies.published.dvts import dvts
from scaling.strategies.published.lookahead_beam import lookahead_beam
from scaling.strategies.published.particle_filtering import particle_filtering
from scaling.strategies.published.power_sampling import power_sampling
from scaling.strategies.published.rebase import rebase
from scaling.strategies.rollout import rollout
from scaling.strategies.sequential import sequential
from scaling.strategy import Choice, SearchLimits, Strategy, StrategyFactory
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection
from tests.support.tiers import some_of
from tests.support.world import NOTHING, World, problems, scheduler_for

pytestmark = pytest.mark.slow

LIMITS = SearchLimits(max_tokens=40, max_step_tokens=8)


def rescoring(root: Path) -> Strategy:
    """Samples steps without scores and asks for them afterwards, twice for the same path; asks for nothing between."""
    yield Score((root,))
    paths: tuple[Path, ...] = (root,)
    for _ in range(3):
        parents = tuple((path, 2) for path in paths if not path.finished)
        if not parents:
            break
        reply = yield Expand(parents, Until.STEP, 8, Scoring.NONE)
        yield Score(())
        scored = yield Score(reply.paths)
        paths = scored.paths[:2]
        yield Score(paths)
    best = max(paths, key=lambda path: path.score.median if path.score else 0.0)
    return Choice(best, best.text, paths)


STRATEGIES: dict[str, StrategyFactory] = {
    "weighted": partial(majority, limits=LIMITS, num_samples=5, weight_by=Aggregation.PRODUCT),
    "best-of-n": partial(best_of_n, limits=LIMITS, num_samples=6, aggregation=Aggregation.MIN),
    "beam": partial(beam_search, limits=LIMITS, num_samples=6, beam_width=3, max_steps=8),
    "dvts": partial(dvts, limits=LIMITS, num_samples=6, beam_width=2, max_steps=4),
    "rebase": partial(rebase, limits=LIMITS, num_samples=5, max_steps=8),
    "particles": partial(particle_filtering, limits=LIMITS, seed=7, num_samples=5, max_steps=8),
    "lookahead": partial(lookahead_beam, limits=LIMITS, num_samples=4, beam_width=2, lookahead=1, max_steps=6),
    "adaptive": partial(adaptive_consistency, limits=LIMITS, num_samples=8, wave_size=2),
    "backtracking": partial(backtracking, limits=LIMITS, num_samples=4, beam_width=2, max_steps=6, max_backtracks=3),
    "rescoring": rescoring,
    "rollout": partial(rollout, limits=LIMITS, num_trajectories=3, num_continuations=2),
    "adaptive-best-of-n": partial(adaptive_best_of_n, limits=LIMITS, num_samples=9, confidence=0.9),
    "adaptive-beam": partial(
        adaptive_beam_search, limits=LIMITS, num_samples=6, beam_width=3, max_steps=8, adapt=Adapt.BOTH,
        confidence=0.9, adapt_root=True,
    ),
    "sequential": partial(sequential, limits=LIMITS, num_samples=9, wave_size=2, threshold=0.7, min_gain=0.02),
    "marginal": partial(marginal, limits=LIMITS, num_samples=9, wave_size=2, min_gain=0.02),
    "sure-of-n": partial(best_of_n, limits=LIMITS, num_samples=6, selection=Selection.CONFIDENCE_VOTE),
    "deepconf-offline": partial(deepconf_offline, limits=LIMITS, num_samples=6, window=4, keep_share=0.5),
    "deepconf-online": partial(
        deepconf_online, limits=LIMITS, num_samples=10, num_warmup=4, wave_size=3, window=4, keep_share=0.6
    ),
    "probe": partial(probe, limits=LIMITS, num_samples=4, probe_text="</think>", probe_every=6, num_agree=2),
    "power-sampling": partial(power_sampling, limits=LIMITS, seed=7, num_samples=3, num_mcmc_steps=4),
}  # fmt: skip
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def found(concluded: Iterable[Concluded]) -> dict[str, object]:
    """What must not depend on an interruption: all rows, but for who served them and when."""
    rows: dict[str, object] = {}
    for one in concluded:
        record = problem_record(
            one.search, correct=None, models=Models(10, 20, None), strategy="s", wall_seconds=0.0, share=NOTHING
        )
        steps = [replace(step, replica="", prm_replica=None) for step in record.steps]
        rows[record.problem.problem_id] = (record.problem, steps, record.requests)
    return rows


def written(search: ProblemSearch, num_requests: int) -> OpenRecord:
    """The first requests of a search as a later process reads them: through the tables."""
    requests = search.requests[:num_requests]
    steps = [step for step in search.steps if step.request < num_requests]
    return OpenRecord(
        problem_id=search.problem.problem_id,
        steps=tuple(to_rows(StepRow, to_table("steps", steps))),
        requests=tuple(to_rows(RequestRow, to_table("requests", requests))),
    )


@cache
def uninterrupted(name: str) -> dict[str, object]:
    whole = World(scheduler_for(STRATEGIES[name]), random.Random(0))
    whole.run(problems(6))
    return found(whole.concluded)


@every_strategy
@given(seed=st.integers(0, 10**6), rounds=st.integers(0, 60), kept=st.floats(0, 1))
@settings(max_examples=some_of(25))
def test_an_interrupted_run_ends_with_the_rows_of_an_uninterrupted_one(name, seed, rounds, kept):
    first = World(scheduler_for(STRATEGIES[name]), random.Random(seed), max_rounds=rounds)
    first.run(problems(6))
    searches = first.scheduler.open_searches()
    # Some of what was delivered had not been written.
    journals = {s.problem.problem_id: written(s, round(kept * len(s.requests))) for s in searches}
    done = {one.search.problem.problem_id for one in first.concluded}
    second = World(scheduler_for(STRATEGIES[name]), random.Random(seed + 1), missing_rate=0.2, journals=journals)
    second.run([problem for problem in problems(6) if problem.problem_id not in done])
    assert found([*first.concluded, *second.concluded]) == uninterrupted(name)


@every_strategy
def test_what_is_recorded_is_not_sampled_again(name):
    whole = World(scheduler_for(STRATEGIES[name]), random.Random(0))
    whole.run(problems(3))
    journals = {one.search.problem.problem_id: written(one.search, len(one.search.requests)) for one in whole.concluded}
    again = World(scheduler_for(STRATEGIES[name]), random.Random(0), journals=journals)
    again.run(problems(3))
    assert again.scheduler.counts.generated_tokens == 0
    assert found(again.concluded) == found(whole.concluded)


@given(seed=st.integers(0, 10**6), rounds=st.integers(5, 60), total=st.integers(1, 300))
@settings(max_examples=some_of(25))
def test_a_restored_search_under_a_spent_budget_concludes_with_what_it_has(seed, rounds, total):
    first = World(scheduler_for(STRATEGIES["beam"], total_tokens=total), random.Random(seed), max_rounds=rounds)
    first.run(problems(4))
    journals = {s.problem.problem_id: written(s, len(s.requests)) for s in first.scheduler.open_searches()}
    spent = scheduler_for(STRATEGIES["beam"], total_tokens=1)
    spent.ledger.spent_tokens = 1
    second = World(spent, random.Random(seed), journals=journals)
    second.run([problem for problem in problems(4) if problem.problem_id in journals])
    assert {one.search.problem.problem_id for one in second.concluded} == journals.keys()
    assert second.scheduler.counts.generated_tokens == 0
    for one in second.concluded:
        assert len(one.search.steps) >= len(journals[one.search.problem.problem_id].steps)
        assert one.search.choice is not None


def test_a_strategy_that_asks_for_something_else_is_refused():
    whole = World(scheduler_for(STRATEGIES["beam"]), random.Random(0))
    whole.run(problems(1))
    [one] = whole.concluded
    record = written(one.search, len(one.search.requests))
    for other, number in (("weighted", 0), ("best-of-n", 1), ("rescoring", 1)):
        search = ProblemSearch(Problem("p0", "question 0", "0"), STRATEGIES[other], run_seed=1)
        with pytest.raises(RunMismatch, match=rf"problem 'p0' was begun \(request {number}\)"):
            search.restore(record)
    longer = partial(beam_search, limits=LIMITS, num_samples=6, beam_width=3, max_steps=1)
    with pytest.raises(RunMismatch, match="asks for something else"):
        ProblemSearch(Problem("p0", "question 0", "0"), longer, run_seed=1).restore(record)
