"""Engines that compute one sequence at a time: the same call gives the same tokens, whatever else is asked."""

from dataclasses import replace

import pytest

from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from records.calls import SampleCall, Sampling, ScoreCall, TextPrefix, TokenPrefix, root_prefix_id
from records.request import Until
from tests.actors.conftest import REAL_GENERATOR, REAL_PRM, Client
from tests.support.engines import ONE_AT_A_TIME

pytestmark = [pytest.mark.vllm, pytest.mark.ci, pytest.mark.asyncio(loop_scope="session")]

QUESTIONS = ("Compute (4 + 17) * 3 - 18.", "Compute 7 * 8 + 1.")
SAMPLING = Sampling(0.9)
STEPS = ("4+17=21 so 21*3-18\n\n", "21*3=63 so 63-18\n\n", "63-18=45 so 45\n\n")


async def test_samples_do_not_depend_on_what_is_sampled_beside_them():
    replica = Generator(replace(REAL_GENERATOR, **ONE_AT_A_TIME))
    client = Client(replica, await replica.hello(), real=True)
    calls = [
        SampleCall(
            f"{q}-{seed}-{until}", root_prefix_id(text), TokenPrefix(text, ()), until, 80, seed, Sampling(0.9), 2
        )
        for q, text in enumerate(QUESTIONS)
        for until in (Until.END, Until.STEP)
        for seed in range(6)
    ]
    together = dict(zip((call.key for call in calls), await client.ask(calls), strict=True))
    for call in reversed(calls):
        [alone] = await client.ask([call])
        beside = together[call.key]
        assert [step.token_ids for step in alone.steps] == [step.token_ids for step in beside.steps]
        assert [step.logprob_sum for step in alone.steps] == [step.logprob_sum for step in beside.steps]
    assert len({step.token_ids for sampled in together.values() for step in sampled.steps}) > 12
    await replica.close()


async def test_scores_do_not_depend_on_what_is_scored_beside_them_or_before():
    replica = Prm(replace(REAL_PRM, **ONE_AT_A_TIME))
    client = Client(replica, await replica.hello(), real=True)
    calls = [
        ScoreCall(f"{number}-{text}", root_prefix_id(text), TextPrefix(text, ()), STEPS[:number], every=False)
        for text in QUESTIONS
        for number in range(len(STEPS) + 1)
    ]
    together = await client.ask(calls)
    for call, beside in reversed(list(zip(calls, together, strict=True))):
        [alone] = await client.ask([call])
        assert alone.scores == beside.scores
    await replica.close()
