"""Children that are delivered one by one, in a world that loses, kills and comes too late: what must hold always.

tokens     every one that came back is in a row, and the ledger has them all, with cancellations at every turn
decisions  the journal has them: it is fed to a new strategy up to any row, by a resume and by a replay
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.failure import StrategyFailed
from records.path import FinishReason, Path
from records.request import Deliver, Expand, Next, Reply, ReplyKind, Score, Scoring, Until
from records.rows import OpenRecord, ProblemRecord, RequestRow, Status, StepRow
from records.schemas import to_rows, to_table
from scaling.answers.stated import answer_of
from scaling.scheduler.open_search import Concluded
from scaling.search.accounting import Models, problem_record
from scaling.search.problem_search import ProblemSearch
from scaling.stored.problem import stored_problem
from scaling.stored.tree import stored_tree
from scaling.stored.tree_player import replay
from scaling.strategy import Choice, SearchLimits, Strategy, StrategyFactory
from scaling.uncertainty.selection import choose_by_vote
from tests.support.tiers import some_of
from tests.support.world import NOTHING, World, problems, scheduler_for

LIMITS = SearchLimits(max_tokens=40, max_step_tokens=8)
EACH = Deliver.EACH


def first_two_alike(root: Path, num_samples: int = 6, scoring: Scoring = Scoring.NONE) -> Strategy:
    """Ends when two samples have the same answer."""
    paths: list[Path] = []
    reply = yield Expand(((root, num_samples),), Until.END, 40, scoring, deliver=EACH)
    while True:
        paths += reply.paths
        stated = Counter(answer_of(path) for path in paths)
        if not reply.num_open or any(count > 1 and answer for answer, count in stated.items()):
            return choose_by_vote(paths, None)
        reply = yield Next()


def topped_up(root: Path, at_once: int = 2, num_samples: int = 7) -> Strategy:
    """Keeps so many under way until enough have come."""
    paths: list[Path] = []
    begun = at_once
    reply = yield Expand(((root, at_once),), Until.END, 40, deliver=EACH)
    while True:
        paths += reply.paths
        if len(paths) >= 4 or not (reply.num_open or begun < num_samples) or reply.kind is not ReplyKind.FULL:
            return choose_by_vote(paths, None)
        if begun < num_samples:
            begun += 1
            reply = yield Expand(((root, 1),), Until.END, 40, deliver=EACH)
        else:
            reply = yield Next()


def onwards(root: Path, scoring: Scoring = Scoring.STEPS) -> Strategy:
    """Goes on from the first step that comes, again and again, and asks for something whole at the end."""
    yield Score((root,))
    path = root
    for _ in range(4):
        reply = yield Expand(((path, 3),), Until.STEP, 8, scoring, deliver=EACH)
        if not reply.paths:
            return Choice(None, None, ())
        path = reply.paths[0]
        if path.finished or reply.kind is not ReplyKind.FULL:
            return choose_by_vote((path,), None)
    reply = yield Expand(((path, 2),), Until.END, 40, scoring)
    return choose_by_vote(reply.paths or (path,), None)


def nothing_open(root: Path) -> Strategy:
    """Asks for the next of nothing."""
    reply = yield Next()
    assert reply == Reply(ReplyKind.FULL, ())
    reply = yield Expand((), Until.END, 40, deliver=EACH)
    assert reply == Reply(ReplyKind.FULL, ())
    reply = yield Expand(((root, 2),), Until.END, 40, deliver=EACH)
    paths = [*reply.paths]
    while reply.num_open:
        reply = yield Next()
        paths += reply.paths
    reply = yield Next()
    assert not reply.paths
    return choose_by_vote(paths, None)


STRATEGIES: dict[str, StrategyFactory] = {
    "two alike": first_two_alike,
    "two alike, scored": partial(first_two_alike, scoring=Scoring.LEAF),
    "topped up": topped_up,
    "onwards": onwards,
    "onwards, unscored": partial(onwards, scoring=Scoring.NONE),
    "nothing open": nothing_open,
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
worlds = given(
    seed=st.integers(0, 10**6),
    deaths=st.sampled_from([0.0, 0.02]),
    total=st.sampled_from([None, None, 25, 120, 300]),
    generators=st.integers(1, 3),
)


def record_of(concluded: Concluded) -> ProblemRecord:
    return problem_record(
        concluded.search, correct=None, models=Models(10, 20, None), strategy="s", wall_seconds=0.0, share=NOTHING
    )


def written(search: ProblemSearch, num_requests: int | None = None) -> OpenRecord:
    """The first rows of a search as a later process reads them: through the tables."""
    requests = search.requests[:num_requests]
    num_steps = max((leaf for row in requests for leaf in row.child_ids), default=0)
    return OpenRecord(
        problem_id=search.problem.problem_id,
        steps=tuple(to_rows(StepRow, to_table("steps", search.steps[:num_steps]))),
        requests=tuple(to_rows(RequestRow, to_table("requests", requests))),
    )


def run(name: str, seed: int, deaths: float, total: int | None, generators: int) -> World:
    scheduler = scheduler_for(STRATEGIES[name], total_tokens=total)
    world = World(scheduler, random.Random(seed), death_rate=deaths, missing_rate=0.1)
    world.run(problems(6), generators=generators, slots=3)
    return world


def decided(concluded: Concluded) -> tuple[object, ...]:
    choice = concluded.search.choice
    chosen = None if choice is None else (choice.path and choice.path.node_id, choice.answer)
    return concluded.search.error, chosen, [replace(step, replica="") for step in concluded.search.steps]


@every_strategy
@worlds
@settings(max_examples=some_of(60), deadline=None)
def test_every_token_that_came_back_is_in_a_row_and_the_ledger_has_them_all(name, seed, deaths, total, generators):
    world = run(name, seed, deaths, total, generators)
    ledger = world.scheduler.ledger
    rows = [record_of(concluded) for concluded in world.concluded]
    assert sorted(row.problem.problem_id for row in rows) == [f"p{index}" for index in range(6)]
    spent = sum(row.problem.generated_tokens for row in rows)
    assert spent == ledger.spent_tokens == world.scheduler.counts.generated_tokens
    assert ledger.reserved_tokens == 0
    assert total is None or (world.most_spent_tokens <= total and ledger.remaining_tokens == total - spent)
    assert world.scheduler.samples.num_in_flight == world.scheduler.samples.num_waiting == 0
    assert world.scheduler.num_paths == 0
    for row in rows:
        cancelled = [request for request in row.requests if request.kind == "cancel"]
        leaves = {leaf for request in cancelled for leaf in request.child_ids}
        assert row.problem.num_cancelled == len(leaves)
        assert row.problem.cancelled_tokens <= row.problem.pruned_tokens <= row.problem.generated_tokens
        of_leaves = [step for step in row.steps if step.finish_reason == FinishReason.CANCELLED]
        assert {step.node_id for step in of_leaves} <= leaves
        assert [step.node_id for step in row.steps] == list(range(1, len(row.steps) + 1))
        assert row.problem.num_samples == sum(len(request.child_ids) for request in row.requests)


@every_strategy
@worlds
@settings(max_examples=some_of(40), deadline=None)
def test_a_journal_that_is_fed_again_takes_the_same_decisions(name, seed, deaths, total, generators):
    world = run(name, seed, deaths, total, generators)
    whole = [one for one in world.concluded if one.search.error is None and one.search.requests]
    journals = {one.search.problem.problem_id: written(one.search) for one in whole}
    again = World(scheduler_for(STRATEGIES[name]), random.Random(seed), journals=journals)
    again.run([one.search.problem for one in whole])
    assert again.scheduler.counts.generated_tokens == 0
    found = {one.search.problem.problem_id: decided(one) for one in again.concluded}
    assert found == {one.search.problem.problem_id: decided(one) for one in whole}
    for one in again.concluded:
        assert one.search.requests == list(journals[one.search.problem.problem_id].requests)


@every_strategy
@given(seed=st.integers(0, 10**6), rounds=st.integers(0, 60), kept=st.floats(0, 1))
@settings(max_examples=some_of(60), deadline=None)
def test_a_resume_goes_on_where_the_written_rows_end(name, seed, rounds, kept):
    first = World(scheduler_for(STRATEGIES[name]), random.Random(seed), max_rounds=rounds, missing_rate=0.1)
    first.run(problems(6), slots=2)
    searches = first.scheduler.open_searches()
    journals = {s.problem.problem_id: written(s, round(kept * len(s.requests))) for s in searches}
    done = {one.search.problem.problem_id for one in first.concluded}
    second = World(scheduler_for(STRATEGIES[name]), random.Random(seed + 1), missing_rate=0.2, journals=journals)
    second.run([problem for problem in problems(6) if problem.problem_id not in done])
    assert done | {one.search.problem.problem_id for one in second.concluded} == {f"p{index}" for index in range(6)}
    for one in second.concluded:
        assert one.search.error is None
        if (before := journals.get(one.search.problem.problem_id)) is not None:
            assert one.search.requests[: len(before.requests)] == list(before.requests)
            assert one.search.steps[: len(before.steps)] == list(before.steps)
    recorded = sum(journal.generated_tokens for journal in journals.values())
    all_tokens = sum(record_of(one).problem.generated_tokens for one in second.concluded)
    assert all_tokens == recorded + second.scheduler.counts.generated_tokens


@every_strategy
@worlds
@settings(max_examples=some_of(40), deadline=None)
def test_a_replay_of_such_a_run_gives_its_rows(name, seed, deaths, total, generators):
    world = run(name, seed, deaths, total, generators)
    for one in world.concluded:
        record = record_of(one)
        if one.search.error is not None:
            continue
        found = replay(STRATEGIES[name], stored_tree(record, top_logprobs=0))
        assert (found.left, found.error) == (None, None)
        choice = one.search.choice
        assert (found.choice.answer, found.choice.path and found.choice.path.node_id) == (
            choice.answer,
            choice.path and choice.path.node_id,
        )
        row, cost = record.problem, found.cost
        assert (len(found.leaves), found.num_steps, found.pruned_tokens) == (
            row.num_samples,
            row.num_steps,
            row.pruned_tokens,
        )
        assert (cost.generated_tokens, cost.prompt_tokens, cost.prm_tokens) == (
            row.generated_tokens,
            row.prompt_tokens,
            row.prm_tokens,
        )
        assert not found.differs
        assert found.is_cut == (row.status is Status.BUDGET_EXHAUSTED)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=some_of(30), deadline=None)
def test_what_a_child_says_follows_from_its_name_alone(seed):
    """Another order of arrival ends the search elsewhere; a child that came in both is the same."""
    texts: dict[str, dict[tuple[int, int], str]] = {}
    for number in (seed, seed + 1):
        world = run("two alike", number, 0.0, None, 2)
        for one in world.concluded:
            stored = stored_problem(one.search.problem, one.search.steps, one.search.requests)
            own = texts.setdefault(stored.problem_id, {})
            for name, text in _whole(one.search):
                assert own.setdefault(name, text) == text


def _whole(search: ProblemSearch) -> Iterable[tuple[tuple[int, int], str]]:
    node = 0
    for row in search.requests:
        for number, leaf in zip(row.child_numbers or (), row.child_ids, strict=True):
            rows, node = search.steps[node:leaf], leaf
            if rows[-1].finish_reason != FinishReason.CANCELLED:
                yield (rows[0].request, number), "".join(step.text for step in rows)


def test_a_strategy_that_fails_while_children_are_open_ends_with_their_last_words():
    def breaks(root: Path) -> Strategy:
        yield Expand(((root, 6),), Until.END, 40, deliver=EACH)
        raise StrategyFailed("no more")

    world = World(scheduler_for(breaks), random.Random(4))
    world.run(problems(3), slots=8)
    assert [one.search.error for one in world.concluded] == ["no more"] * 3
    spent = sum(record_of(one).problem.generated_tokens for one in world.concluded)
    assert spent == world.scheduler.ledger.spent_tokens
    assert any(record_of(one).problem.num_cancelled for one in world.concluded)
