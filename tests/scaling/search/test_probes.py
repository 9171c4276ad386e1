"""Probes are charged, recorded and fed again as everything is, and are no samples where their path goes on."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.calls import SampleCall, SampledStep
from records.failure import StrategyFailed
from records.path import FinishReason, Path
from records.request import Expand, Until
from scaling.answers.stated import answer_of
from scaling.guarded import guarded
from scaling.search.accounting import Models, problem_record
from scaling.search.journal import request_hash
from scaling.search.probes import ProbeStep, passing_probes
from scaling.stored.problem import finished_answers
from scaling.stored.tree import stored_tree
from scaling.stored.tree_player import replay
from scaling.strategy import Choice, Strategy
from scaling.toy import ToyProblem, toy_run
from tests.support.world import NOTHING, World, problems, scheduler_for, toy_steps

TEXT = "</think>"


def probing(root: Path) -> Strategy:
    """Two paths, three tokens at a time, each asked after every piece; the last probes are the answers."""
    growing: tuple[Path, ...] = (root, root)
    last: tuple[Path, ...] = ()
    for _ in range(3):
        reply = yield Expand(tuple((path, 1) for path in growing), Until.TOKENS, 3)
        growing = tuple(path for path in reply.paths if not path.finished)
        if not growing:
            break
        reply = yield Expand(tuple((path, 1) for path in growing), Until.END, 4, temperature=0.0, forced_text=TEXT)
        last = reply.paths
    return Choice(last[0] if last else None, "4", last)


def pieces(call: SampleCall) -> list[SampledStep]:
    """Pieces of as many tokens as are asked for, of which the last one ends; behind a forced text an answer."""
    if call.until is not Until.TOKENS:
        return toy_steps(call)
    ends = random.Random(call.seed).random() < 0.25
    reason = FinishReason.EOS if ends else FinishReason.TOKENS
    return [SampledStep("\\boxed{4}" if ends else "so ", (1,) * call.max_tokens, reason, -0.5)]


def searched(seed: int):
    world = World(scheduler_for(probing), random.Random(seed), steps=pieces)
    world.run(problems(4))
    models = Models(num_generator_parameters=3, num_prm_parameters=None, generator_sha256=None)
    return world, [
        problem_record(one.search, correct=True, models=models, strategy="s", wall_seconds=0.0, share=NOTHING)
        for one in world.concluded
    ]


def test_forced_tokens_are_in_the_path_and_cost_nothing():
    world, records = searched(1)
    steps = [step for record in records for step in record.steps]
    forced = [step for step in steps if step.finish_reason == FinishReason.FORCED]
    assert forced
    assert all(step.text == TEXT and step.generated_tokens == 0 and step.token_ids for step in forced)
    assert sum(step.generated_tokens for step in steps) == world.scheduler.ledger.spent_tokens
    for record in records:
        assert record.problem.generated_tokens == sum(step.generated_tokens for step in record.steps)
    kept = [record for record in records if record.problem.pruned_tokens < record.problem.generated_tokens]
    assert kept
    asked = [request for record in records for request in record.requests]
    assert {request.forced_text for request in asked} == {None, TEXT}
    for record in records:
        asked_plainly = [row for row in record.requests if row.forced_text is None]
        assert record.problem.num_samples == sum(len(row.child_ids) for row in asked_plainly)


def test_a_probe_is_a_sample_only_where_its_path_ends_with_it():
    _, records = searched(2)
    some_pass = False
    for record, problem in zip(records, problems(4), strict=True):
        parents = {step.parent_id for step in record.steps if step.finish_reason != FinishReason.FORCED}
        forced = {step.node_id: step.parent_id for step in record.steps if step.finish_reason == FinishReason.FORCED}
        tree = stored_tree(record, top_logprobs=0)
        ended = [step.node_id for step in record.steps if step.answer is not None]
        wanted = []
        for node in ended:
            first = node
            while first and first not in forced:
                first = record.steps[first - 1].parent_id
            some_pass |= first > 0 and forced[first] in parents
            if not first or forced[first] not in parents:
                wanted.append(node)
        assert sorted(tree.finished) == wanted
        assert record.problem.num_finished == len(wanted) == len(finished_answers(problem, record.steps))
    assert some_pass


def test_a_replay_comes_to_the_same():
    _, records = searched(3)
    for record in records:
        found = replay(probing, stored_tree(record, top_logprobs=0))
        assert found.choice is not None
        assert not found.differs
        assert found.cost.generated_tokens == record.problem.generated_tokens
        assert len(found.finished) == record.problem.num_finished


def test_a_replay_does_not_take_a_probe_for_a_sample():
    def plain(root: Path) -> Strategy:
        reply = yield Expand(((root, 1),), Until.END, 4, temperature=0.0)
        return Choice(reply.paths[0], None, reply.paths)

    def forced(root: Path) -> Strategy:
        reply = yield Expand(((root, 1),), Until.END, 4, temperature=0.0, forced_text=TEXT)
        return Choice(reply.paths[0], None, reply.paths)

    world = World(scheduler_for(forced), random.Random(0))
    world.run(problems(1))
    models = Models(num_generator_parameters=3, num_prm_parameters=None, generator_sha256=None)
    [one] = world.concluded
    record = problem_record(one.search, correct=True, models=models, strategy="s", wall_seconds=0.0, share=NOTHING)
    tree = stored_tree(record, top_logprobs=0)
    assert replay(forced, tree).left is None
    assert "more children are asked for" in str(replay(plain, tree).left)


def test_the_toy_world_answers_a_probe():
    toy = ToyProblem(p=1.0)
    choice = toy_run(lambda root, limits: probing_once(root), toy)
    assert (choice.answer, toy.num_samples, toy.tokens) == ("right", 2, 10)
    assert [node.finish_reason for node in choice.path.lineage] == ["separator", "forced", "eos"]


def probing_once(root: Path) -> Strategy:
    [step] = (yield Expand(((root, 1),), Until.STEP, 9)).paths
    reply = yield Expand(((step, 1),), Until.END, 9, forced_text="so")
    return Choice(reply.paths[0], answer_of(reply.paths[0]), reply.paths)


def test_fingerprints_without_a_forced_text_are_as_they_were():
    plain = Expand(((Path(0, None, "q"), 2),), Until.END, 10)
    assert request_hash(plain) == "34385e93db697ba9576b53673e56dff5"
    assert request_hash(replace(plain, forced_text="x")) != request_hash(plain)


@pytest.mark.parametrize("text", [None, 3, "\ud800"])
def test_a_forced_text_has_to_be_text(text):
    def theirs(root: Path) -> Strategy:
        yield Expand(((root, 1),), Until.END, 4, forced_text=text)
        raise AssertionError("it went through")

    with pytest.raises(StrategyFailed, match="forced_text: must be text"):
        next(guarded(theirs, "theirs", Path(0, None, "q")))


@given(parents=st.lists(st.integers(0, 30), max_size=30), forced=st.sets(st.integers(1, 30)))
def test_passing_probes_are_found_as_one_would_by_hand(parents, forced):
    steps = [
        ProbeStep(node, parent % node, "forced" if node in forced else "tokens")
        for node, parent in enumerate(parents, 1)
    ]
    at = {step.node_id: step for step in steps}

    def passes(node: int) -> bool:
        if node == 0:
            return False
        beside = [step for step in steps if step.parent_id == at[node].parent_id and step.finish_reason != "forced"]
        return (at[node].finish_reason == "forced" and bool(beside)) or passes(at[node].parent_id)

    assert passing_probes(steps) == {step.node_id for step in steps if passes(step.node_id)}
