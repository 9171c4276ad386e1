"""How tokens are drawn, and what ends a sample: settings of `[generator]` on the scripted engine and on vLLM."""

from dataclasses import replace

import pytest

from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.text import read_tokenizer
from records.calls import SampleCall, Sampling, TokenPrefix, child_prefix_id, root_prefix_id
from records.path import FinishReason
from records.request import Until
from tests.actors.conftest import EXAMPLE

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "Compute 17 + 5 * 3 + 4."
WARM = Sampling(0.7)
TOKENIZER = read_tokenizer(EXAMPLE / "generator" / TOKENIZER_FILE)


def call(key, sampling, *, until=Until.END, path=(), max_tokens=120, seed=3, top_logprobs=0):
    prefix_id = child_prefix_id(root_prefix_id(QUESTION), path) if path else root_prefix_id(QUESTION)
    prefix = TokenPrefix(QUESTION, tuple(path))
    return SampleCall(key, prefix_id, prefix, until, max_tokens, seed, sampling, top_logprobs)


def ids_of(sampled):
    return tuple(token_id for step in sampled.steps for token_id in step.token_ids)


def text_of(sampled):
    return "".join(step.text for step in sampled.steps)


async def test_a_sample_ends_where_a_stop_string_is_complete(generator):
    [whole] = await generator.ask([call("whole", WARM)])
    text = text_of(whole)
    stop = text[len(text) // 2 : len(text) // 2 + 4]
    end = text.index(stop) + len(stop)
    for until in (Until.END, Until.TOKENS):
        [stopped] = await generator.ask([call(f"stopped-{until}", replace(WARM, stop=(stop,)), until=until)])
        assert stopped.steps[-1].finish_reason is FinishReason.EOS
        assert ids_of(stopped) == ids_of(whole)[: len(ids_of(stopped))]
        assert stop in text_of(stopped)
        assert text_of(stopped)[:end] == text[:end]
        assert stop not in text_of(stopped)[: end - 1]


async def test_a_stop_string_may_begin_in_the_step_before(generator):
    [whole] = await generator.ask([call("whole", WARM)])
    first, second = whole.steps[:2]
    stop = first.text[-3:] + second.text[:2]
    [alone] = await generator.ask([call("alone", replace(WARM, stop=(stop,)), until=Until.STEP)])
    assert alone.steps[0].finish_reason is FinishReason.SEPARATOR
    sampling = Sampling(0.0, stop=(stop,))
    [greedy] = await generator.ask([call("greedy", Sampling(0.0))])
    first, second = greedy.steps[:2]
    sampling = replace(sampling, stop=(first.text[-3:] + second.text[:2],))
    [stopped] = await generator.ask([call("next", sampling, until=Until.STEP, path=first.token_ids)])
    assert stopped.steps[-1].finish_reason is FinishReason.EOS
    assert len(ids_of(stopped)) < len(second.token_ids)
    [end] = await generator.ask([call("end", sampling)])
    assert text_of(end) == first.text + text_of(stopped)


async def test_a_stop_string_in_the_prompt_stops_nothing(generator):
    [whole] = await generator.ask([call("whole", WARM)])
    stops = tuple(stop for stop in ("Compute", "4.\n\n") if stop not in text_of(whole))
    assert stops
    [same] = await generator.ask([call("same", replace(WARM, stop=stops))])
    assert ids_of(same) == ids_of(whole)


@pytest.mark.vllm
class TestOnVllm:
    """What a model does with them."""

    async def greedy(self, client):
        [found] = await client.ask([call("greedy", Sampling(0.0))])
        return ids_of(found)

    @pytest.mark.parametrize("one", [{"top_k": 1}, {"min_p": 1.0}, {"top_p": 1e-6}], ids=str)
    async def test_one_token_to_choose_from_is_the_likeliest(self, generator_on_vllm, one):
        calls = [call(f"{one}-{seed}", Sampling(1.5, **one), seed=seed) for seed in range(3)]
        greedy = await self.greedy(generator_on_vllm)
        for sampled in await generator_on_vllm.ask(calls):
            assert ids_of(sampled) == greedy

    async def test_a_bias_brings_a_token_or_keeps_it_away(self, generator_on_vllm):
        [seven] = TOKENIZER.encode("7", special=False)
        always = call("always", Sampling(0.7, logit_bias=((seven, 100.0),)), max_tokens=8)
        never = [call(f"never-{seed}", Sampling(1.5, logit_bias=((seven, -100.0),)), seed=seed) for seed in range(4)]
        only, *others = await generator_on_vllm.ask([always, *never])
        assert ids_of(only) == (seven,) * 8
        assert seven not in {token_id for sampled in others for token_id in ids_of(sampled)}

    async def test_penalties_bring_other_tokens(self, generator_on_vllm):
        two = [TOKENIZER.encode(text, special=False)[0] for text in "xy"]
        forced = Sampling(0.0, logit_bias=tuple((token_id, 100.0) for token_id in sorted(two)))
        repeated, frequent = await generator_on_vllm.ask([
            call(f"{penalty}", replace(forced, **penalty), until=Until.TOKENS, max_tokens=30)
            for penalty in ({"repetition_penalty": 5.0}, {"frequency_penalty": 2.0})
        ])  # fmt: skip
        assert set(ids_of(repeated)) | set(ids_of(frequent)) == set(two)
        assert ids_of(repeated)[0] != ids_of(repeated)[1]
        assert min(ids_of(frequent).count(token_id) for token_id in two) >= 5
        hot = [call(f"hot-{seed}", Sampling(1.5), seed=seed) for seed in range(4)]
        there = [call(f"new-{seed}", Sampling(1.5, presence_penalty=2.0), seed=seed) for seed in range(4)]
        found = await generator_on_vllm.ask([*hot, *there])
        assert [ids_of(one) for one in found[:4]] != [ids_of(one) for one in found[4:]]

    async def test_what_reshapes_the_distribution_leaves_its_log_probability_unknown(self, generator_on_vllm):
        plain, cut, stopped = await generator_on_vllm.ask([
            call("plain", WARM, top_logprobs=5), call("cut", replace(WARM, top_k=3), top_logprobs=5),
            call("stopped", replace(WARM, stop=("zzz",)), top_logprobs=5),
        ])  # fmt: skip
        assert plain.steps[0].sampled_logprob_sum is not None
        assert cut.steps[0].sampled_logprob_sum is None
        assert stopped.steps[0].sampled_logprob_sum is not None
        assert cut.steps[0].logprob_sum is not None
