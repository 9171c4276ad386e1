"""Budgets of thinking on vLLM, greedy: a cap that is not reached changes no token, one that is reached is kept to."""

from dataclasses import replace

import pytest

from actors.engines.protocol import SampleRequest
from actors.engines.thoughts.families import ThinkingFamily
from actors.engines.thoughts.marks import MarkFinder
from actors.engines.thoughts.reader import ThinkingBudget, ThoughtReader
from actors.engines.thoughts.steps import StepTexts, ThoughtSteps
from actors.replicas.drawing import Drawing, draw_within
from records.calls import Sampling
from records.path import FinishReason
from records.request import Until

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="session")]

QUESTION = "Compute (4 + 17) * 3 - 18.\n\n"
PAIRS = (("<thought>", "\\boxed"),)
"""The example's generator works a problem out and then boxes its answer: what comes before is taken as its thought."""
CLOSING = "so\n\n\\boxed"


def reader(engine, most: int | None) -> ThoughtReader:
    tokenizer = engine.tokenizer
    budget = ThinkingBudget(
        most_tokens=most,
        closing=(tokenizer.encode(CLOSING, special=False),),
        bare_ends=(tokenizer.encode(PAIRS[0][1], special=False),),
    )
    return ThoughtReader(tokenizer, ThinkingFamily("boxed", PAIRS), MarkFinder(tokenizer, PAIRS), 0, budget)


def steps_of(tokenizer) -> ThoughtSteps:
    texts = StepTexts(tokenizer, ("\n\n",))
    return ThoughtSteps(tokenizer, texts, texts, frozenset())


async def drawn(engine, thoughts: ThoughtReader, said: tuple[int, ...] = (), until: Until = Until.END) -> Drawing:
    """Greedy, after what was said before."""
    prompt_ids = engine.tokenizer.encode(QUESTION)
    request = SampleRequest(
        prompt_ids=(*prompt_ids, *said), until=until, max_tokens=80 - len(said), seed=0, sampling=Sampling(0.0),
        num_sampled=len(said),
    )  # fmt: skip
    steps = steps_of(engine.tokenizer)
    return await draw_within(engine.sample, request, thoughts, thoughts.scan(said), steps)


async def whole(engine) -> tuple[tuple[int, ...], int]:
    """What the model says by itself, and how many tokens of it are thought."""
    plain = await engine.sample(
        SampleRequest(
            prompt_ids=engine.tokenizer.encode(QUESTION), until=Until.END, max_tokens=80, seed=0, sampling=Sampling(0.0)
        )
    )
    scan = reader(engine, None).scan(())
    scan.extend(plain.token_ids)
    assert scan.open_pair is None
    assert plain.finish_reason is FinishReason.EOS
    return plain.token_ids, scan.used


async def test_a_cap_that_is_not_reached_changes_no_token(generator_on_vllm):
    engine = generator_on_vllm.replica.engine
    token_ids, used = await whole(engine)
    for most in (used, used + 1, 1000):
        drawing = await drawn(engine, reader(engine, most))
        assert tuple(drawing.token_ids) == token_ids
        assert drawing.closed == []
        assert drawing.finish_reason is FinishReason.EOS


async def test_a_cap_that_is_reached_is_kept_to_and_the_model_goes_on_from_there(generator_on_vllm):
    engine = generator_on_vllm.replica.engine
    token_ids, used = await whole(engine)
    for most in (1, 5, used - 1):
        thoughts = reader(engine, most)
        drawing = await drawn(engine, thoughts)
        put = thoughts.budget.closing[0]
        assert tuple(drawing.token_ids[: most + len(put)]) == (*token_ids[:most], *put)
        rest = await drawn(engine, reader(engine, None), (*token_ids[:most], *put))
        assert drawing.token_ids[most + len(put) :] == rest.token_ids
        assert drawing.finish_reason is rest.finish_reason
        assert drawing.closed == [most]


async def test_a_search_by_steps_says_the_same(generator_on_vllm):
    """The cap acts within a call, or between two: the tokens are the same."""
    engine = generator_on_vllm.replica.engine
    _, used = await whole(engine)
    for most in (None, 1, 5, 9, used - 1, used):
        thoughts = reader(engine, most)
        at_once = await drawn(engine, thoughts)
        said: tuple[int, ...] = ()
        reason = FinishReason.SEPARATOR
        while reason is FinishReason.SEPARATOR:
            step = await drawn(engine, thoughts, said, Until.STEP)
            said += tuple(step.token_ids)
            reason = step.finish_reason
        assert said == tuple(at_once.token_ids)
        assert reason is at_once.finish_reason


async def test_stops_come_before_budgets(generator_on_vllm):
    engine = generator_on_vllm.replica.engine
    token_ids, _ = await whole(engine)
    stop = engine.tokenizer.decode(token_ids[3:5])
    thoughts = reader(engine, 5)
    prompt_ids = engine.tokenizer.encode(QUESTION)
    request = SampleRequest(
        prompt_ids=prompt_ids, until=Until.END, max_tokens=80, seed=0, sampling=replace(Sampling(0.0), stop=(stop,))
    )
    scan = thoughts.scan(())
    drawing = await draw_within(engine.sample, request, thoughts, scan, steps_of(engine.tokenizer))
    assert engine.tokenizer.decode(drawing.token_ids).endswith(stop)
    assert drawing.finish_reason is FinishReason.EOS
    assert scan.open_pair is not None
