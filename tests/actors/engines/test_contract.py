"""What a generator and a PRM replica promise: the same for the scripted engines and (mark `vllm`) the real ones."""

import asyncio
import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from actors.engines.model_files import identity_files, sha256_of
from actors.engines.text import TextTokenizer
from records.calls import (
    NOTHING_SAMPLED,
    CallFailed,
    PrefixMissing,
    SampleCall,
    Sampled,
    Sampling,
    ScoreCall,
    Scored,
    TextPrefix,
    TokenPrefix,
    child_prefix_id,
    root_prefix_id,
)
from records.path import FinishReason
from records.request import Until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEPARATOR = "\n\n"
WARM = Sampling(temperature=0.7)
HOT = Sampling(temperature=1.5)
QUESTIONS = [f"Compute {left} + {right} * 3." for left in (4, 17) for right in (5, 38)]
_numbers = itertools.count()


def fresh_question() -> str:
    """One that no prefix cache has seen, and long enough for a few blocks."""
    return f"Compute {next(_numbers)} + " + " + ".join(str(number) for number in range(30)) + "."


def sample_call(key, question, *, token_ids=(), until=Until.END, max_tokens=100, seed=0, sampling=WARM):
    """A call that carries its prefix, whose tokens were sampled as one piece."""
    prefix_id = root_prefix_id(question)
    if token_ids:
        prefix_id = child_prefix_id(prefix_id, token_ids)
    return SampleCall(key, prefix_id, TokenPrefix(question, tuple(token_ids)), until, max_tokens, seed, sampling)


def without_prefix(call):
    return SampleCall(call.key, call.prefix_id, None, call.until, call.max_tokens, call.seed, call.sampling)


def token_ids_of(sampled: Sampled) -> tuple[int, ...]:
    return tuple(token_id for step in sampled.steps for token_id in step.token_ids)


def tokenizer_of(client) -> TextTokenizer:
    tokenizer: TextTokenizer = client.replica.engine.tokenizer
    return tokenizer


@pytest_asyncio.fixture(loop_scope="session")
async def samples(generator):
    """A few samples of each kind, hot ones among them, which are full of broken text."""
    calls = [
        sample_call(f"{until}-{seed}-{question}", question, until=until, seed=seed, sampling=sampling)
        for question in QUESTIONS
        for until in Until
        for seed, sampling in enumerate((WARM, WARM, HOT))
    ]
    return list(zip(calls, await generator.ask(calls), strict=True))


async def test_the_info_names_model_and_tokenizer(generator):
    info = generator.info
    assert info.role == "generator"
    assert len(info.tokenizer_sha256) == 64
    assert info.details["separator"] == SEPARATOR
    if generator.real:
        assert info.model_sha256 == sha256_of(identity_files(Path(info.model)))
        assert info.device == "cpu"
        assert 1_000_000 < info.num_parameters < 5_000_000
    assert await generator.replica.hello() == info


async def test_texts_concatenate_to_the_decoded_sample(generator, samples):
    tokenizer = tokenizer_of(generator)
    for _, sampled in samples:
        assert isinstance(sampled, Sampled)
        assert "".join(step.text for step in sampled.steps) == tokenizer.decode(token_ids_of(sampled))


async def test_tokens_of_samples_in_flight_are_told_as_they_are_made(generator):
    """A scripted engine that takes no time has none in flight; a real one tells of some before any sample has ended."""
    seen = []
    for number in range(20):  # a sample may end before anybody looks
        epoch = generator.new_epoch()
        call = sample_call(f"flying-{number}", QUESTIONS[0], max_tokens=200, seed=number, sampling=HOT)
        await generator.replica.submit(generator.info.incarnation, epoch, [call])
        results = ()
        while not results:
            collected = await generator.replica.collect(generator.info.incarnation, epoch, 0, 0.001)
            results = collected.results
            seen.append((len(results), collected.flying_tokens))
        assert seen[-1] == (1, 0)
        if not generator.real or any(tokens for _, tokens in seen):
            break
    flying = [tokens for ended, tokens in seen if not ended]
    assert any(0 < tokens <= 200 for tokens in flying) == generator.real


async def test_a_sample_never_exceeds_its_tokens(generator):
    calls = [
        sample_call(f"{until}-{limit}", QUESTIONS[0], until=until, max_tokens=limit, seed=limit)
        for until in Until
        for limit in (1, 2, 7, 50)
    ]
    for call, sampled in zip(calls, await generator.ask(calls), strict=True):
        assert 1 <= sampled.generated_tokens <= call.max_tokens
        if call.until is Until.TOKENS and sampled.steps[-1].finish_reason is not FinishReason.EOS:
            assert sampled.generated_tokens == call.max_tokens
            assert sampled.steps[-1].finish_reason is FinishReason.TOKENS
        if sampled.steps[-1].finish_reason is FinishReason.LENGTH:
            assert sampled.generated_tokens == call.max_tokens


async def test_steps_end_at_the_separator(samples):
    for call, sampled in samples:
        assert all(step.finish_reason is FinishReason.SEPARATOR for step in sampled.steps[:-1])
        for step in sampled.steps:
            assert (step.finish_reason is FinishReason.SEPARATOR) <= (SEPARATOR in step.text)
            assert SEPARATOR not in step.text.rstrip("\n") or call.until is Until.TOKENS
        if call.until is Until.END:
            assert sampled.steps[-1].finish_reason in (FinishReason.EOS, FinishReason.LENGTH)


async def test_only_samples_to_the_end_have_several_steps(samples):
    assert all(len(sampled.steps) == 1 for call, sampled in samples if call.until is not Until.END)
    assert any(len(sampled.steps) > 1 for call, sampled in samples if call.until is Until.END)
    by_step = [sampled.steps[0] for call, sampled in samples if call.until is Until.STEP]
    assert any(step.finish_reason is FinishReason.SEPARATOR for step in by_step)


async def test_log_probabilities_are_there_and_negative(samples):
    for _, sampled in samples:
        assert all(step.logprob_sum is not None and step.logprob_sum <= 0 for step in sampled.steps)
        assert sampled.queued_s >= 0
        assert sampled.run_s >= 0


async def test_confidences_and_log_probabilities_as_drawn_come_where_they_are_asked_for(generator):
    calls = {
        (until, temperature, num_top): replace(
            sample_call(f"{until}-{temperature}-{num_top}", QUESTIONS[1], until=until, sampling=Sampling(temperature)),
            top_logprobs=num_top,
        )
        for until in Until
        for temperature in (0.0, 0.25, 1.0)
        for num_top in (1, 20)
    }
    sampled = dict(zip(calls, await generator.ask(list(calls.values())), strict=True))
    for (_, temperature, num_top), each in sampled.items():
        for step in each.steps:
            assert len(step.token_confidences) == len(step.token_ids)
            # Jensen: k tokens that share at most 1 have a mean log-probability of at most -log k.
            assert min(step.token_confidences) >= math.log(num_top) - 1e-4
            assert step.token_confidences == tuple(np.float32(step.token_confidences).tolist())
            assert step.sampled_logprob_sum <= 1e-6
            if temperature == 0:
                assert step.sampled_logprob_sum == 0
            elif temperature == 1:
                assert step.sampled_logprob_sum == step.logprob_sum
            elif generator.real and num_top == 20:  # a lower temperature makes the likeliest tokens likelier
                assert step.sampled_logprob_sum > step.logprob_sum - 1e-4


async def test_without_asking_there_are_none_and_top_p_has_no_log_probability(generator, samples):
    for _, sampled in samples:
        assert all(step.token_confidences is step.sampled_logprob_sum is None for step in sampled.steps)
    (cut,) = await generator.ask(
        [replace(sample_call("cut", QUESTIONS[0], sampling=Sampling(0.7, top_p=0.9)), top_logprobs=3)]
    )
    assert all(step.token_confidences and step.sampled_logprob_sum is None for step in cut.steps)


async def test_more_log_probabilities_than_the_engine_was_built_for_fail_the_call_alone(generator):
    bad, good = await generator.ask(
        [replace(sample_call("bad", QUESTIONS[0]), top_logprobs=21), sample_call("good", QUESTIONS[0])]
    )
    assert bad == CallFailed("bad", bad.error, retryable=False)
    assert isinstance(good, Sampled)


async def test_a_path_grown_step_by_step_is_carried_by_its_ids(generator):
    """Each call carries only the id of what the replica itself returned before."""
    question = fresh_question()
    call = sample_call("step-0", question, until=Until.STEP)
    path: list[int] = []
    for number in range(1, 5):
        (sampled,) = await generator.ask([call])
        assert isinstance(sampled, Sampled)
        assert sampled.prompt_tokens == len(tokenizer_of(generator).encode(question + SEPARATOR)) + len(path)
        path += token_ids_of(sampled)
        if sampled.steps[-1].finish_reason is not FinishReason.SEPARATOR:
            break
        prefix_id = child_prefix_id(call.prefix_id, token_ids_of(sampled))
        call = SampleCall(f"step-{number}", prefix_id, None, Until.STEP, 100, number, WARM)
    if generator.real:
        assert sampled.cached_tokens > 0


async def test_a_missing_prefix_is_asked_for_and_then_known(generator):
    call = sample_call("a", fresh_question(), token_ids=(10, 11, 12))
    assert await generator.ask([without_prefix(call)]) == [PrefixMissing("a")]
    (full,) = await generator.ask([call])
    assert isinstance(full, Sampled)
    (again,) = await generator.ask([without_prefix(call)])
    assert again.prompt_tokens == full.prompt_tokens


async def test_a_repeated_prompt_is_found_in_the_prefix_cache(generator):
    question = fresh_question()
    (first,) = await generator.ask([sample_call("a", question)])
    (second,) = await generator.ask([sample_call("b", question)])
    assert first.cached_tokens < second.cached_tokens < second.prompt_tokens


async def test_the_same_seed_gives_the_same_sample_on_an_idle_engine(generator):
    for seed in (0, 1, 2**63 - 1):
        call = sample_call("a", QUESTIONS[1], seed=seed, sampling=HOT)
        (first,) = await generator.ask([call])
        (second,) = await generator.ask([call])
        assert token_ids_of(first) == token_ids_of(second)


async def test_other_seeds_give_other_samples(generator):
    calls = [sample_call(str(seed), QUESTIONS[2], seed=seed, sampling=HOT) for seed in range(20)]
    assert len({token_ids_of(sampled) for sampled in await generator.ask(calls)}) > 1


async def test_an_overlong_prompt_fails_for_good_and_says_why(generator):
    limit = generator.info.max_model_len
    prompt = len(tokenizer_of(generator).encode(QUESTIONS[0] + SEPARATOR))
    full, one_left = (
        sample_call(str(free), QUESTIONS[0], token_ids=[10] * (limit - prompt - free), max_tokens=50) for free in (0, 1)
    )
    failed, sampled = await generator.ask([full, one_left])
    assert failed == CallFailed("0", failed.error, retryable=False)
    assert str(limit) in failed.error
    assert sampled.generated_tokens == 1


async def test_a_nonsensical_temperature_fails_the_call_alone(generator):
    bad, good = await generator.ask(
        [sample_call("bad", QUESTIONS[0], sampling=Sampling(-1.0)), sample_call("good", QUESTIONS[0])]
    )
    assert bad == CallFailed("bad", bad.error, retryable=False)
    assert isinstance(good, Sampled)


async def test_a_cancelled_call_has_its_tokens_so_far_as_result_and_leaves_room(generator):
    epoch, incarnation = generator.new_epoch(), generator.info.incarnation
    many = [sample_call(f"long-{seed}", QUESTIONS[2], max_tokens=400, seed=seed, sampling=HOT) for seed in range(32)]
    await generator.replica.submit(incarnation, epoch, many)
    await asyncio.sleep(0)
    await generator.replica.cancel(incarnation, epoch, [call.key for call in many])
    await generator.replica.submit(incarnation, epoch, [sample_call("after", QUESTIONS[2])])
    results: dict[str, Any] = {}
    acked = 0
    async with asyncio.timeout(60.0):
        while len(results) < 33:
            collected = await generator.replica.collect(incarnation, epoch, acked, 60.0)
            acked = collected.last
            assert not results.keys() & {result.key for result in collected.results}
            results |= {result.key: result for result in collected.results}
    after = results.pop("after")
    assert after.steps[-1].finish_reason is not FinishReason.CANCELLED
    for result in results.values():
        if isinstance(result, CallFailed):
            assert result.error == NOTHING_SAMPLED
        else:
            assert [step.finish_reason for step in result.steps[:-1]] == [FinishReason.SEPARATOR] * (
                len(result.steps) - 1
            )
            assert result.generated_tokens <= 400


async def test_the_replicas_are_healthy(generator, prm):
    await generator.replica.check_health(60.0)
    await prm.replica.check_health(60.0)


STEPS = ("4*3=12 so 12+17" + SEPARATOR, "12+17=29 so 29" + SEPARATOR, "\\boxed{29}")


def score_call(key, question, steps, *, before=(), every=False):
    """A call that carries its prefix."""
    prefix_id = root_prefix_id(question)
    for step in before:
        prefix_id = child_prefix_id(prefix_id, [step])
    return ScoreCall(key, prefix_id, TextPrefix(question, tuple(before)), tuple(steps), every)


async def test_a_score_is_a_probability_after_every_step(prm):
    (scored,) = await prm.ask([score_call("a", fresh_question(), STEPS, every=True)])
    assert isinstance(scored, Scored)
    assert len(scored.scores) == len(STEPS)
    assert all(0 <= score.lower <= score.median <= score.upper <= 1 for score in scored.scores)
    assert not scored.truncated


async def test_a_path_scores_the_same_whole_grown_or_cached(prm):
    question = fresh_question()
    (whole,) = await prm.ask([score_call("a", question, STEPS)])
    (grown,) = await prm.ask([score_call("a", question, STEPS, every=True)])
    (last,) = await prm.ask([score_call("a", question, STEPS[2:], before=STEPS[:2])])
    assert whole.scores[0].median == pytest.approx(grown.scores[-1].median, abs=1e-5)
    assert whole.scores[0].median == pytest.approx(last.scores[0].median, abs=1e-5)
    assert last.cached_tokens > 0


async def test_trailing_newlines_of_a_sampled_step_do_not_change_its_score(prm):
    question = fresh_question()
    plain, padded = await prm.ask(
        [score_call("a", question, ["1+1=2" + SEPARATOR]), score_call("b", question, ["1+1=2" + SEPARATOR + "\n"])]
    )
    assert plain.scores[0].median == pytest.approx(padded.scores[0].median, abs=1e-5)


async def test_a_prm_asks_for_a_missing_prefix_and_knows_the_steps_that_it_scored(prm):
    question = fresh_question()
    full = score_call("a", question, STEPS[:2])
    short = ScoreCall("a", full.prefix_id, None, full.steps, every=False)
    assert await prm.ask([short]) == [PrefixMissing("a")]
    assert isinstance((await prm.ask([full]))[0], Scored)
    then = score_call("b", question, STEPS[2:], before=STEPS[:2])
    (scored,) = await prm.ask([ScoreCall("b", then.prefix_id, None, then.steps, every=False)])
    assert isinstance(scored, Scored)


async def test_an_overlong_path_keeps_its_tail_and_says_so(prm):
    step = "1" * (prm.info.max_model_len // 4) + SEPARATOR
    (scored,) = await prm.ask([score_call("a", QUESTIONS[0], [step] * 6)])
    assert scored.truncated
    assert scored.prm_tokens <= prm.info.max_model_len
    room = prm.info.max_model_len - len(prm.replica.engine.format.question_ids(QUESTIONS[0]))
    (full,) = await prm.ask([score_call("c", QUESTIONS[0], ["1" * (room - 1)])])
    assert not full.truncated
    assert full.prm_tokens == prm.info.max_model_len
    (failed,) = await prm.ask([score_call("b", QUESTIONS[0], ["1" * room])])
    assert failed == CallFailed("b", failed.error, retryable=False)
