"""The scripted engines: what `test_contract.py` does not ask of them."""

import asyncio
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from actors.engines.build import build_generator, build_prm
from actors.engines.protocol import SampleRequest
from actors.engines.scripted.engines import identity
from actors.engines.scripted.tokens import BlockCache
from actors.engines.scripted.world import question_key, right_answer, success_rate, wrong_answer
from actors.engines.settings import Script
from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from records.calls import (
    SampleCall,
    Sampled,
    Sampling,
    ScoreCall,
    Scored,
    TextPrefix,
    TokenPrefix,
    root_prefix_id,
)
from records.request import Until
from tests.support.fakes import GENERATOR_SETTINGS, PRM_SETTINGS

GENERATOR = replace(GENERATOR_SETTINGS, kind="scripted")
PRM = replace(PRM_SETTINGS, kind="scripted")
WARM = Sampling(0.7)
QUESTION = "Two lines:\n\nwhat is <|asked|> 1 + 1?\n\n"
"""It looks like the end of a prompt, in words and otherwise."""


async def samples(settings, question, num_samples, sampling=WARM):
    """As many of one question, in full."""
    replica = Generator(settings)
    info = await replica.hello()
    prefix = TokenPrefix(question, ())
    calls = [
        SampleCall(f"{seed}", root_prefix_id(question), prefix, Until.END, 400, seed, sampling)
        for seed in range(num_samples)
    ]
    await replica.submit(info.incarnation, 1, calls)
    found: dict[str, Sampled] = {}
    acked = 0
    while len(found) < len(calls):
        collected = await replica.collect(info.incarnation, 1, acked, 60.0)
        acked = collected.last
        found |= {result.key: result for result in collected.results}
    await replica.close()
    return [found[call.key] for call in calls]


def text_of(sampled: Sampled) -> str:
    return "".join(step.text for step in sampled.steps)


@pytest.mark.parametrize(
    "prompting",
    [
        {},
        {"prompt_template": "Solve this.\n\n{question}\n\nThink.\n\n"},
        {"chat": True, "system_prompt": "Be {question} brief.\n\nAlways."},
        {"separator": "\n"},
    ],
)
async def test_the_answer_is_the_key_of_the_question_that_stands_in_the_prompt(prompting):
    question = "Two lines:\n\nwhat is 1 + 1?"
    answers = {question_key(question): "two (2)"}
    settings = replace(GENERATOR, script=Script(answers=answers), **prompting)
    texts = [text_of(sampled) for sampled in await samples(settings, question, 60)]
    right = [text for text in texts if text.endswith("\\boxed{two (2)}.")]
    assert 0 < len(right) < 60
    assert all(("slip" in text) != (text in right) for text in texts)
    assert len(right) / 60 == pytest.approx(success_rate(question), abs=0.2)


async def test_whatever_a_question_holds_it_is_served():
    [sampled] = await samples(GENERATOR, QUESTION, 1)
    assert "boxed" in text_of(sampled)


def test_wrong_answers_are_wrong_and_of_the_same_kind():
    for right, kind in (("17", str.isdigit), ("B", "ABCD".__contains__), ("x + 1", str.isprintable)):
        wrong = {wrong_answer(right, seed) for seed in range(50)}
        assert right not in wrong
        assert len(wrong) == 3
        assert all(map(kind, wrong))


def test_without_keys_the_answer_is_a_number_that_the_question_decides():
    assert right_answer("What?") == right_answer("What?") != right_answer("Why?")
    assert 0 <= int(right_answer("What?")) < 1000


async def test_greedy_samples_are_all_alike():
    assert len({text_of(one) for one in await samples(GENERATOR, "What?", 20, Sampling(0.0))}) == 1
    assert len({text_of(one) for one in await samples(GENERATOR, "What?", 20, Sampling(1.0))}) > 1


async def test_the_prm_sees_the_slip_and_is_surer_with_every_step():
    replica = Prm(PRM)
    info = await replica.hello()
    prefix = TextPrefix(QUESTION.rstrip(), ())
    steps = {"fine": ("Step 1 of 2: fine\n", "Step 2 of 2: fine\n"), "slip": ("Step 1 of 2: slip\n", "Step 2: fine\n")}
    calls = [ScoreCall(name, root_prefix_id(QUESTION), prefix, each, every=True) for name, each in steps.items()]
    await replica.submit(info.incarnation, 1, calls)
    found: dict[str, Scored] = {}
    while len(found) < 2:
        found |= {one.key: one for one in (await replica.collect(info.incarnation, 1, 0, 60.0)).results}
    await replica.close()
    first, second = found["fine"].scores
    assert first.median < second.median
    assert second.upper - second.lower < first.upper - first.lower
    assert {score.median for score in found["slip"].scores} == {0.02}


async def test_tokens_take_their_time_and_a_batch_has_its_size():
    engine = build_generator(replace(GENERATOR, max_num_seqs=2, script=Script(tokens_per_s=100.0)))
    request = SampleRequest(
        prompt_ids=engine.tokenizer.encode("What?\n\n"),
        until=Until.TOKENS,
        max_tokens=10,
        seed=1,
        sampling=Sampling(1.0),
    )
    begun_s = time.monotonic()
    sampled = await asyncio.gather(*(engine.sample(request) for _ in range(4)))
    assert time.monotonic() - begun_s >= 0.2
    assert [one.run_s for one in sampled] == [0.1] * 4
    assert sorted(one.queued_s >= 0.09 for one in sampled) == [False, False, True, True]
    assert engine.num_steps == 4


async def test_a_prm_takes_time_for_what_is_not_cached_only():
    engine = build_prm(replace(PRM, script=Script(tokens_per_s=1000.0)))
    ids = engine.format.question_ids("one and a half hundred tokens, or so " * 4)
    first, again = await engine.score(ids), await engine.score(ids)
    assert first.run_s == len(ids) / 1000
    assert again.run_s == (len(ids) - again.cached_tokens) / 1000 < 0.02


def test_the_prefix_cache_forgets_what_was_not_used_for_longest():
    cache = BlockCache(2, capacity=4)
    assert cache.cached_tokens([1, 2, 3, 4, 5]) == 0
    assert cache.cached_tokens([1, 2, 3, 4, 5]) == 4
    assert cache.cached_tokens([1, 2, 3, 4]) == 2  # the last token is always computed
    cache.cached_tokens([9, 9, 8, 8, 7, 7, 6, 6])
    assert cache.cached_tokens([1, 2, 3, 4, 5]) == 0


def test_the_identity_is_that_of_the_answers_and_not_of_the_speed():
    answers = replace(GENERATOR, script=Script(answers={question_key("What?"): "1"}))
    assert identity(answers) != identity(GENERATOR)
    assert identity(replace(answers, script=replace(answers.script, tokens_per_s=5.0))) == identity(answers)
    assert identity(GENERATOR).model_sha256 != identity(PRM).model_sha256


def test_nothing_heavy_is_loaded():
    probe = """
import sys
from dataclasses import replace
from tests.support.fakes import GENERATOR_SETTINGS, PRM_SETTINGS
from actors.engines.build import build_generator, build_prm
build_generator(replace(GENERATOR_SETTINGS, kind="scripted"))
build_prm(replace(PRM_SETTINGS, kind="scripted"))
print(*({"torch", "vllm", "transformers", "ray"} & sys.modules.keys()))
"""
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stderr
