"""A forced text: the replica puts it behind the prefix, samples after it, and says which tokens nobody sampled."""

from dataclasses import replace

from actors.engines.scripted.engines import ScriptedGenerator
from actors.engines.settings import GeneratorSettings
from actors.replicas.generator import Generator
from records.calls import SampleCall, Sampled, Sampling, TokenPrefix, child_prefix_id, root_prefix_id
from records.path import FinishReason
from records.request import Until
from tests.support.fakes import GENERATOR_SETTINGS

QUESTION, FORCED = "What?", "</think>\n\n\\boxed{"
SETTINGS = replace(GENERATOR_SETTINGS, kind="scripted", max_model_len=200)
CALL = SampleCall(
    "probe", root_prefix_id(QUESTION), TokenPrefix(QUESTION, ()), Until.TOKENS, 20, 7, Sampling(0.5), forced_text=FORCED
)


async def served(*calls: SampleCall, settings: GeneratorSettings = SETTINGS) -> list[Sampled]:
    """The calls one after the other, at one replica."""
    replica = Generator(settings, build_engine=ScriptedGenerator)
    info = await replica.hello()
    found: list[Sampled] = []
    for call in calls:
        await replica.submit(info.incarnation, 1, [call])
        [result] = (await replica.collect(info.incarnation, 1, len(found), 60.0)).results
        assert isinstance(result, Sampled)
        found.append(result)
    await replica.close()
    return found


async def test_it_is_a_step_of_its_own_and_its_tokens_are_prompt():
    [plain, probe] = await served(replace(CALL, key="plain", forced_text=""), CALL)
    [forced, said] = probe.steps
    assert forced.text == FORCED
    assert len(forced.token_ids) > 1
    assert forced.finish_reason is FinishReason.FORCED
    assert said.finish_reason is not FinishReason.FORCED
    assert probe.prompt_tokens == plain.prompt_tokens + len(forced.token_ids)
    assert 0 < probe.generated_tokens == len(said.token_ids) <= CALL.max_tokens


async def test_it_is_the_prefix_with_the_text_at_its_end():
    [probe] = await served(CALL)
    forced_ids = probe.steps[0].token_ids
    prefix, prefix_id = TokenPrefix(QUESTION, forced_ids), child_prefix_id(CALL.prefix_id, forced_ids)
    [same] = await served(replace(CALL, forced_text="", prefix_id=prefix_id, prefix=prefix))
    assert same.steps[-1].token_ids == probe.steps[-1].token_ids


async def test_what_follows_a_probe_finds_it():
    [probe] = await served(CALL)
    held = child_prefix_id(CALL.prefix_id, [token for step in probe.steps for token in step.token_ids])
    follows = SampleCall("after", held, None, Until.TOKENS, 5, 1, Sampling(0.5))
    [_, after] = await served(CALL, follows)
    assert isinstance(after, Sampled)


async def test_where_the_context_has_no_room_a_probe_says_nothing():
    prompt = (await served(CALL))[0].prompt_tokens
    [probe] = await served(CALL, settings=replace(SETTINGS, max_model_len=prompt))
    assert [step.finish_reason for step in probe.steps] == [FinishReason.FORCED, FinishReason.LENGTH]
    assert probe.generated_tokens == 0
