"""Rollouts: every distinct prefix once, counts that an obvious tally confirms, and no count from a cut request."""

import random
from collections import Counter
from dataclasses import fields
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from records.calls import SampleCall, SampledStep, Sampling
from records.path import FinishReason, Path
from records.request import Expand, Reply, ReplyKind, Until
from records.rows import RolloutRow
from scaling.answers.extract import extract_answer
from scaling.search.rollouts import answers_of, rollout_rows
from scaling.strategies.rollout import distinct_prefixes, rollout
from scaling.strategy import SearchLimits
from tests.support.tiers import some_of
from tests.support.world import World, problems, scheduler_for

LIMITS = SearchLimits(max_tokens=12, max_step_tokens=6)


def few_words(call: SampleCall) -> list[SampledStep]:
    """A generator with so few things to say that samples often agree, in whole or in part."""
    rng = random.Random(call.seed)
    steps: list[SampledStep] = []
    for left in range(call.max_tokens, 0, -1):
        last = rng.random() < 0.4
        reason = FinishReason.EOS if last else FinishReason.LENGTH if left == 1 else FinishReason.SEPARATOR
        token = rng.randrange(2)
        steps.append(SampledStep(f"\\boxed{{{token}}}" if last else f"{token}\n\n", (token,), reason, -0.5))
        if reason is not FinishReason.SEPARATOR:
            break
    return steps


def search(num_trajectories: int, num_continuations: int, *, seed: int, total_tokens: int | None = None):
    strategy = partial(rollout, limits=LIMITS, num_trajectories=num_trajectories, num_continuations=num_continuations)
    world = World(
        scheduler_for(strategy, total_tokens=total_tokens, run_seed=seed), random.Random(seed), steps=few_words
    )
    world.run(problems(1))
    [concluded] = world.concluded
    return concluded.search


def rows_of(found) -> tuple[RolloutRow, ...]:
    answers = answers_of(found.choice.prefixes)
    reference = found.problem.reference
    return rollout_rows(
        found,
        found.choice.prefixes,
        lambda path: answers[path] == reference,
        generator="abc",
        sampling=Sampling(0.7, top_p=0.9),
    )


@given(seed=st.integers(0, 10**6), trajectories=st.integers(1, 6), continuations=st.integers(1, 5))
@settings(max_examples=some_of(60))
def test_each_prefix_is_a_row_with_the_counts_of_its_continuations(seed, trajectories, continuations):
    found = search(trajectories, continuations, seed=seed)
    rows = rows_of(found)
    texts = {step.node_id: step for step in found.steps}

    def steps_to(node_id: int) -> tuple[tuple[int, ...], ...]:
        above = steps_to(texts[node_id].parent_id) if node_id else ()
        return (*above, texts[node_id].token_ids) if node_id else ()

    # The obvious way: walk the tables. Every trajectory and its prefixes by their tokens, then who continued whom.
    leaves = found.requests[0].child_ids
    passing = Counter(sum(path[:depth], ()) for path in map(steps_to, leaves) for depth in range(len(path) + 1))
    assert Counter({row.token_ids: row.num_trajectories for row in rows}) == passing
    by_node = {request.node_ids[0]: request for request in found.requests[1:]}
    assert len({row.token_ids for row in rows}) == len(rows)
    for row in rows:
        assert row.steps == tuple(texts[node].text for node in ancestry(texts, row.node_id))
        assert row.depth == len(row.steps)
        children = (row.node_id,) if row.terminal else by_node[row.node_id].child_ids
        solutions = ["".join(texts[node].text for node in ancestry(texts, child)) for child in children]
        right = [extract_answer(text) == found.problem.reference for text in solutions]
        assert (row.successes, row.trials) == (sum(right), 1 if row.terminal else continuations)
        assert row.cut_trials == sum(texts[child].finish_reason == FinishReason.LENGTH for child in children)
        assert (row.generator, row.temperature) == ("abc", 0.7)
    assert sum(row.generated_tokens for row in rows) + trajectory_tokens(found) == sum(
        step.generated_tokens for step in found.steps
    )


def ancestry(steps, node_id: int) -> list[int]:
    return [*ancestry(steps, steps[node_id].parent_id), node_id] if node_id else []


def trajectory_tokens(found) -> int:
    return sum(step.generated_tokens for step in found.steps if step.request == 0)


@given(seed=st.integers(0, 10**6), total=st.integers(1, 60))
@settings(max_examples=some_of(60))
def test_a_request_that_the_budget_cut_gives_no_counts(seed, total):
    found = search(3, 4, seed=seed, total_tokens=total)
    if not found.choice.prefixes:
        return
    granted = {request.node_ids[0]: request for request in found.requests[1:]}
    for row in rows_of(found):
        assert row.terminal or (row.trials == 4 and granted[row.node_id].reply_kind == "full")


def test_a_continuation_gets_what_its_prefix_has_left_of_a_whole_solution():
    root = Path(0, None, "q")
    strategy = rollout(root, limits=LIMITS, num_trajectories=1, num_continuations=2)
    assert next(strategy) == Expand(((root, 1),), Until.END, 12)
    step = Path(1, root, "a\n\n", (1, 2, 3), FinishReason.SEPARATOR)
    leaf = Path(2, step, "\\boxed{1}", (4,), FinishReason.EOS)
    assert strategy.send(Reply(ReplyKind.FULL, (leaf,))) == Expand(((root, 2),), Until.END, 12)
    assert strategy.send(Reply(ReplyKind.FULL, (leaf, leaf))) == Expand(((step, 2),), Until.END, 9)


def test_prefixes_with_the_same_tokens_are_one():
    root = Path(0, None, "q")
    steps = [Path(node, root, "a\n\n", (1,), FinishReason.SEPARATOR) for node in (1, 3)]
    leaves = [
        Path(node + 1, step, str(node), (node,), FinishReason.EOS) for node, step in zip((1, 3), steps, strict=True)
    ]
    found = distinct_prefixes(root, leaves)
    assert found == [(root, 2), (steps[0], 2), (leaves[0], 1), (leaves[1], 1)]


def test_what_could_not_be_graded_is_no_trial():
    found = search(3, 4, seed=5)
    answers = answers_of(found.choice.prefixes)
    ungraded = {path for path in answers if path.node_id % 2}
    rows = rollout_rows(
        found,
        found.choice.prefixes,
        lambda path: None if path in ungraded else answers[path] == found.problem.reference,
        generator=None,
        sampling=Sampling(0.7, top_p=0.9),
    )
    whole = {row.node_id: row for row in rows_of(found)}
    assert {field.name for field in fields(RolloutRow)} >= {"successes", "trials"}
    assert all(0 < row.trials <= whole[row.node_id].trials for row in rows)
    assert 0 < sum(row.trials for row in rows) < sum(row.trials for row in whole.values())
