"""The real engines against transformers in float32, under seeded load, and dying."""

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from vllm import SamplingParams

from actors.engines.protocol import EngineRefused, SampleRequest
from actors.engines.serving import engine_thread
from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from records.calls import SampleCall, Sampled, Sampling, ScoreCall, TextPrefix, TokenPrefix, root_prefix_id
from records.failure import ReplicaDied
from records.path import FinishReason
from records.request import Until
from tests.actors.conftest import REAL_GENERATOR, REAL_PRM

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="session")]

QUESTION = "Compute (4 + 17) * 3 - 18."
STEPS = ("4+17=21 so 21*3-18\n\n", "21*3=63 so 63-18\n\n", "63-18=45 so 45\n\n", "\\boxed{45}")


async def test_log_probabilities_are_those_of_transformers(generator_on_vllm):
    engine = generator_on_vllm.replica.engine
    model = AutoModelForCausalLM.from_pretrained(REAL_GENERATOR.model, dtype=torch.float32)
    prompt_ids = engine.tokenizer.encode(QUESTION + "\n\n")
    for seed, until in itertools.product(range(3), (Until.END, Until.STEP)):
        sample = await engine.sample(
            SampleRequest(prompt_ids=prompt_ids, until=until, max_tokens=60, seed=seed, sampling=Sampling(1.3, 0.9))
        )
        with torch.no_grad():
            logits = model(torch.tensor([prompt_ids + sample.token_ids])).logits[0, len(prompt_ids) - 1 : -1]
        wanted = logits.log_softmax(-1).gather(1, torch.tensor(sample.token_ids)[:, None])[:, 0]
        assert list(sample.logprobs) == pytest.approx(wanted.tolist(), abs=1e-3)


async def test_certainty_is_that_of_transformers(generator_on_vllm):
    """VLLM's log-probabilities are those before temperature; ours, after it, are what the sampler drew from."""
    replica = generator_on_vllm.replica
    model = AutoModelForCausalLM.from_pretrained(REAL_GENERATOR.model, dtype=torch.float32)
    prompt_ids = replica.engine.tokenizer.encode(QUESTION + "\n\n")
    calls = [
        SampleCall(
            f"{until}-{temperature}-{seed}", root_prefix_id(QUESTION), TokenPrefix(QUESTION, ()), until, 60, seed,
            Sampling(temperature), 20,
        )
        for until in (Until.END, Until.STEP)
        for temperature in (0.25, 0.5)
        for seed in range(4)
    ]  # fmt: skip
    for call, sampled in zip(calls, await generator_on_vllm.ask(calls), strict=True):
        token_ids = [token_id for step in sampled.steps for token_id in step.token_ids]
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt_ids, *token_ids]])).logits[0, len(prompt_ids) - 1 : -1]
        confidences = -logits.log_softmax(-1).topk(20).values.mean(-1)
        found = [confidence for step in sampled.steps for confidence in step.token_confidences]
        assert found == pytest.approx(confidences.tolist(), abs=2e-3)
        drawn = (logits / call.sampling.temperature).log_softmax(-1).gather(1, torch.tensor(token_ids)[:, None])
        assert sum(step.sampled_logprob_sum for step in sampled.steps) == pytest.approx(float(drawn.sum()), abs=2e-2)


async def test_prm_scores_are_those_of_transformers_cached_and_not(prm_on_vllm):
    replica = prm_on_vllm.replica
    form = replica.engine.format
    head = load_file(Path(REAL_PRM.model) / "head.safetensors")
    model = AutoModelForCausalLM.from_pretrained(REAL_PRM.model, dtype=torch.float32).model
    ids = list(form.question_ids(QUESTION))
    for step in STEPS:
        ids += form.step_ids(step, first=step is STEPS[0])
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state[0, -1]
        wanted = float(torch.sigmoid(head["weight"] @ hidden + head["bias"])[0])
        cached = await replica.engine.score(ids)
        await replica.engine._thread.reset_prefix_cache()
        fresh = await replica.engine.score(ids)
        assert fresh.cached_tokens == 0
        assert cached.score.median == pytest.approx(fresh.score.median, abs=1e-6)
        assert fresh.score.median == pytest.approx(wanted, abs=1e-4)
        await replica.engine.score(ids)


async def test_the_golden_scores_are_met(prm_on_vllm):
    assert prm_on_vllm.info.details["golden_max_error"] < 1e-3
    golden = [each for each in json.loads((Path(REAL_PRM.model) / "golden.json").read_text()) if each["steps"]]
    calls = [
        ScoreCall(
            str(at), root_prefix_id(each["question"]), TextPrefix(each["question"], ()), tuple(each["steps"]), True
        )
        for at, each in enumerate(golden)
    ]
    for each, scored in zip(golden, await prm_on_vllm.ask(calls), strict=True):
        assert [score.median for score in scored.scores] == pytest.approx(each["scores"][1:], abs=1e-4)


@pytest.mark.ci
async def test_many_long_seeded_requests_at_once(generator_on_vllm):
    """What kills vLLM's CPU engine where prompts are prefilled in chunks; more of it than one batch holds."""
    calls = [
        SampleCall(
            key=f"{number}",
            prefix_id=root_prefix_id(f"long-{number}"),
            prefix=TokenPrefix(f"Compute {number} + " + "1 + " * 50, tuple(range(33, 33 + number % 90))),
            until=(Until.END, Until.STEP, Until.TOKENS)[number % 3],
            max_tokens=20 + number % 60,
            seed=2**63 - 1 - number,
            sampling=Sampling(1.0),
        )
        for number in range(192)
    ]
    results = await generator_on_vllm.ask(calls)
    assert all(isinstance(result, Sampled) for result in results)
    assert min(result.prompt_tokens for result in results) > 200


@pytest.mark.parametrize("make", [lambda die: Generator(REAL_GENERATOR, die=die), lambda die: Prm(REAL_PRM, die=die)])
async def test_an_engine_that_fails_takes_its_replica_down(make):
    deaths: list[int] = []
    replica = make(deaths.append)
    info = await replica.hello()
    call: SampleCall | ScoreCall
    if isinstance(replica, Generator):
        prefix = TokenPrefix(QUESTION, ())
        call = SampleCall("a", root_prefix_id(QUESTION), prefix, Until.END, 400, 0, Sampling(1.9))
    else:
        call = ScoreCall("a", root_prefix_id(QUESTION), TextPrefix(QUESTION, ()), STEPS * 6, every=True)
    await replica.submit(info.incarnation, 1, [call])
    waiting = asyncio.create_task(replica.collect(info.incarnation, 1, 0, 60.0))
    await asyncio.sleep(0)

    def no_memory() -> NoReturn:
        raise RuntimeError("out of memory")

    replica.engine._thread.llm.engine_core.get_output = no_memory
    replica.engine._thread.llm.engine_core.shutdown = no_memory  # a device that has failed fails there too
    with pytest.raises(ReplicaDied, match="out of memory"):
        await waiting
    assert deaths == [1]
    with pytest.raises(ReplicaDied):
        await replica.check_health(5.0)
    await replica.close()


async def test_a_cancelled_sample_leaves_the_engine(generator_on_vllm):
    """Its place in the batch is free at once; what runs beside it does not notice."""
    engine = generator_on_vllm.replica.engine
    prompt_ids = engine.tokenizer.encode(QUESTION + "\n\n")

    def request(seed: int) -> SampleRequest:
        return SampleRequest(prompt_ids=prompt_ids, until=Until.END, max_tokens=400, seed=seed, sampling=Sampling(1.9))

    running = [asyncio.create_task(engine.sample(request(seed))) for seed in range(4)]
    await asyncio.sleep(0.1)
    for task in running[1:]:
        task.cancel()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in outcomes] == [False, True, True, True]
    assert (await engine.sample(request(9))).token_ids
    assert not engine._thread._flying
    assert not engine._thread._waiting


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60.0):
        while not condition():  # noqa: ASYNC110 (another thread makes it true)
            await asyncio.sleep(0)


async def test_a_recalled_sample_has_its_tokens_and_its_place_is_taken_within_two_steps(generator_on_vllm, monkeypatch):
    """The batch is full and others wait; some are recalled, and two steps later the last of all has its first token."""
    engine = generator_on_vllm.replica.engine
    thread = engine._thread
    prompt_ids = engine.tokenizer.encode(QUESTION + "\n\n")
    size, batch = thread._capacity, generator_on_vllm.info.max_concurrency
    endless = ((thread.llm.model_config.hf_config.eos_token_id, -100.0),)

    def request(seed: int) -> SampleRequest:
        hot = Sampling(1.9, logit_bias=endless)
        return SampleRequest(prompt_ids=prompt_ids, until=Until.END, max_tokens=400, seed=seed, sampling=hot)

    recalls = [asyncio.get_running_loop().create_future() for _ in range(size)]
    running = [asyncio.create_task(engine.sample(request(seed), recall)) for seed, recall in enumerate(recalls)]
    await until(lambda: thread.flying_tokens >= 4 * batch)
    assert len(thread._flying) == size
    recalled_at: list[int] = []  # engine steps, counted in the engine's own thread
    begun_at: list[int] = []
    cut_short = engine_thread.cut_short
    monkeypatch.setattr(
        engine_thread, "cut_short", lambda one: (recalled_at.append(engine.num_steps), cut_short(one))[1]
    )
    with monkeypatch.context() as patched:
        patched.setattr(engine, "_ends", lambda _: lambda ids: begun_at.append(engine.num_steps) is not None)
        late = asyncio.create_task(engine.sample(request(size)))
        await asyncio.sleep(0)
    count = size - batch + 1
    for recall in recalls[:count]:
        recall.set_result(None)
    recalled = await asyncio.gather(*running[:count])
    for sample in recalled:
        assert sample.finish_reason is FinishReason.CANCELLED
        assert 0 < len(sample.token_ids) == len(sample.logprobs) < 400
    whole = await asyncio.gather(*running[count:], late)
    assert {sample.finish_reason for sample in whole} == {FinishReason.LENGTH}
    assert len(recalled_at) == count
    assert begun_at[0] <= max(recalled_at) + 2
    assert not thread._flying
    assert not thread._waiting


async def test_a_recall_before_the_engine_has_begun_gives_no_token(generator_on_vllm):
    engine = generator_on_vllm.replica.engine
    recall = asyncio.get_running_loop().create_future()
    recall.set_result(None)
    prompt_ids = engine.tokenizer.encode(QUESTION + "\n\n")
    request = SampleRequest(prompt_ids=prompt_ids, until=Until.END, max_tokens=400, seed=1, sampling=Sampling(1.0))
    sample = await engine.sample(request, recall)
    assert sample.finish_reason is FinishReason.CANCELLED
    assert len(sample.token_ids) <= 1  # it may have come into a step that was about to begin
    assert (await engine.sample(request)).token_ids


async def test_what_breaks_one_request_breaks_no_other(generator_on_vllm):
    engine = generator_on_vllm.replica.engine

    def broken(token_ids: Sequence[int]) -> bool:
        raise ValueError(f"cannot read {len(token_ids)} tokens")

    parameters = SamplingParams(max_tokens=40, seed=1, temperature=1.0, ignore_eos=True)
    outcomes = await asyncio.gather(
        *(engine._thread.run((1, 2, 3), parameters, ends) for ends in (None, broken, None)), return_exceptions=True
    )
    assert isinstance(outcomes[1], EngineRefused)
    assert "cannot read 1 tokens" in str(outcomes[1])
    assert [len(outcomes[at].token_ids) for at in (0, 2)] == [40, 40]


async def test_a_separator_of_several_tokens_ends_a_step(generator_on_vllm):
    """It is found beside the engine, at the token that completes it; what was sampled after that is dropped."""
    replica = Generator(replace(REAL_GENERATOR, separator="-1"), die=lambda _: None)
    await replica.hello()
    engine = replica.engine
    ends = 0
    for seed in range(12):
        sample = await engine.sample(
            SampleRequest(
                prompt_ids=engine.tokenizer.encode(QUESTION + "\n\n"), until=Until.STEP, max_tokens=60, seed=seed,
                sampling=Sampling(1.0),
            )
        )  # fmt: skip
        text = engine.tokenizer.decode(sample.token_ids)
        ended = sample.finish_reason is FinishReason.SEPARATOR
        assert ("-1" in text) == ended
        assert "-1" not in engine.tokenizer.decode(sample.token_ids[:-1])
        assert len(sample.logprobs or ()) == len(sample.token_ids)
        ends += ended
    assert ends
    await replica.close()


async def test_samples_without_seeds_are_others_each_time_and_log_probabilities_are_given_if_asked_for():
    replicas = [Generator(replace(REAL_GENERATOR, seeded=False, logprobs=False), die=lambda _: None) for _ in range(2)]
    request = SampleRequest(prompt_ids=(1, 2, 3), until=Until.END, max_tokens=24, seed=1, sampling=Sampling(1.5))
    found = []
    for replica in replicas:
        await replica.hello()
        samples = [await replica.engine.sample(request) for _ in range(8)]
        assert {sample.logprobs for sample in samples} == {None}
        found.append([tuple(sample.token_ids) for sample in samples])
        sure = await replica.engine.sample(replace(request, top_logprobs=2))
        assert sure.logprobs is not None
        assert len(sure.logprobs) == len(sure.token_ids) == len(sure.top.logprobs)
        await replica.close()
    # Two may be alike by chance, not all of eight; and not the same eight from both engines.
    assert min(len(set(samples)) for samples in found) > 2
    assert found[0] != found[1]
