"""Budgets of thinking on the example that thinks, on vLLM: what a user of them sees in every sample."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from actors.engines.settings import GeneratorSettings
from actors.replicas.generator import Generator
from jobs.recipes.load import load_recipe
from jobs.recipes.settings import generator_settings
from records.calls import SampleCall, Sampled, Sampling, TokenPrefix, root_prefix_id
from records.path import FinishReason
from records.request import Until

pytestmark = [pytest.mark.vllm, pytest.mark.ci, pytest.mark.asyncio(loop_scope="session")]

EXAMPLE = Path(__file__).parents[4] / "examples/thinking"
GREEDY, DRAWN = Sampling(0.0), Sampling(0.7)
NUM_PROBLEMS = 12


@cache
def settings() -> GeneratorSettings:
    return generator_settings(load_recipe(EXAMPLE / "majority.toml", []))


@cache
def questions() -> list[str]:
    """Of every difficulty."""
    lines = [json.loads(line) for line in (EXAMPLE / "test.jsonl").read_text().splitlines()]
    return [line["question"] for line in lines[:: len(lines) // NUM_PROBLEMS]][:NUM_PROBLEMS]


def calls(sampling: Sampling) -> list[SampleCall]:
    return [
        SampleCall(f"c{number}", root_prefix_id(question), TokenPrefix(question, ()), Until.END, 900, number, sampling)
        for number, question in enumerate(questions())
    ]


async def served(found: GeneratorSettings, asked: Sequence[SampleCall]) -> list[Sampled]:
    """All calls at once, at a replica of its own; in their order."""
    replica = Generator(found)
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, asked)
    results: dict[str, Sampled] = {}
    acked = 0
    while len(results) < len(asked):
        collected = await replica.collect(info.incarnation, 1, acked, 60.0)
        acked = collected.last
        results |= {result.key: result for result in collected.results if isinstance(result, Sampled)}
    await replica.close()
    return [results[call.key] for call in asked]


def within(most: int | None = None, least: int = 0) -> GeneratorSettings:
    own = settings().thinking
    assert own is not None
    return replace(settings(), thinking=replace(own, max_thinking_tokens=most, min_thinking_tokens=least))


def thinking_tokens(sampled: Sampled) -> int:
    return sum(step.phases.thinking_tokens for step in sampled.steps if step.phases is not None)


def token_ids(sampled: Sampled) -> tuple[int, ...]:
    return tuple(token for step in sampled.steps for token in step.token_ids)


def times(sampled: Sampled, what: str) -> int:
    return sum(getattr(step.phases, what) for step in sampled.steps if step.phases is not None)


async def test_greedy_a_budget_that_is_not_reached_changes_no_token():
    plain = await served(settings(), calls(GREEDY))
    most = max(map(thinking_tokens, plain))
    capped = await served(within(most), calls(GREEDY))
    assert [token_ids(one) for one in capped] == [token_ids(one) for one in plain]
    assert not any(times(one, "is_closed") for one in capped)
    assert len({thinking_tokens(one) for one in plain}) > NUM_PROBLEMS // 2  # lengths that spread


@pytest.mark.parametrize("most", [40, *(pytest.param(most, marks=pytest.mark.long) for most in (1, 120))])
async def test_a_cap_is_never_passed_and_what_is_closed_is_answered(most):
    found = await served(within(most), calls(DRAWN))
    closed = [one for one in found if times(one, "is_closed")]
    assert closed
    assert all(thinking_tokens(one) <= most for one in found)
    assert all(thinking_tokens(one) == most for one in closed)
    assert all(one.steps[-1].finish_reason is FinishReason.EOS for one in closed)
    assert all("\\boxed{" in one.steps[-1].text for one in closed)


async def test_a_thought_that_ends_too_early_goes_on():
    least = 150
    plain = await served(settings(), calls(DRAWN))
    early = [number for number, one in enumerate(plain) if thinking_tokens(one) < least]
    found = await served(within(least=least), calls(DRAWN))
    assert early
    for number in early:
        ended = found[number].steps[-1].finish_reason is FinishReason.EOS
        assert times(found[number], "num_prolonged") >= 1
        assert thinking_tokens(found[number]) >= least or not ended
    for number in set(range(NUM_PROBLEMS)) - set(early):
        assert token_ids(found[number]) == token_ids(plain[number])
