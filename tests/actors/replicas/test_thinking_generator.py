"""A generator replica whose model thinks: what it says of each step, whoever cuts the sample, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.engines.scripted.world import question_key
from actors.engines.settings import GeneratorSettings, Script, ThinkingSettings
from actors.engines.thoughts.families import thinking_warnings
from actors.replicas.generator import Generator
from actors.replicas.preflight import check_generator
from records.calls import SampleCall, Sampled, SampledStep, Sampling, TokenPrefix, root_prefix_id
from records.failure import InvalidInput
from records.path import FinishReason, Phases, text_after_thought
from records.request import Until
from scaling.answers.extract import extract_answer
from tests.actors.conftest import REAL_GENERATOR
from tests.support.fakes import GENERATOR_SETTINGS

QUESTION = "What is 1 + 1?"
THINKING = replace(
    GENERATOR_SETTINGS,
    kind="scripted",
    script=Script(answers={question_key(QUESTION): "2"}),
    thinking=ThinkingSettings(),
)
"""Says a step, and another, within <think> and </think>, and then its answer."""


async def served(settings: GeneratorSettings, *calls: SampleCall) -> list[Sampled]:
    replica = Generator(settings)
    info = await replica.hello()
    results: list[Sampled] = []
    acked = 0
    for call in calls:  # one after the other: a later one may follow an earlier one
        await replica.submit(info.incarnation, 1, [call])
        collected = await replica.collect(info.incarnation, 1, acked, 60.0)
        acked = collected.last
        results += [result for result in collected.results if isinstance(result, Sampled)]
    await replica.close()
    return results


def call(key: str, path: tuple[int, ...] = (), until: Until = Until.END, max_tokens: int = 400) -> SampleCall:
    prefix = TokenPrefix(QUESTION, path)
    return SampleCall(key, f"{root_prefix_id(QUESTION)}{key}", prefix, until, max_tokens, 5, Sampling(0.7))


def answer_in(sampled: Sampled) -> str | None:
    text = text_after_thought((step.text, step.phases) for step in reversed(sampled.steps))
    return None if text is None else extract_answer(text)


async def test_a_sample_says_which_of_its_tokens_are_thought():
    [sampled] = await served(THINKING, call("whole"))
    thought, _, answer = "".join(step.text for step in sampled.steps).partition("</think>")
    assert thought.startswith("<think>Step 1 of")
    assert answer.startswith("The answer is")
    num_thinking = sum(step.phases.thinking_tokens for step in sampled.steps)
    separators = thought.count("\n\n")  # one token each; a scripted token is a byte, or that, or the end
    assert num_thinking == len(thought) - separators + len("</think>")
    assert sampled.generated_tokens - num_thinking == len(answer) + 1
    assert answer_in(sampled) in ("2", "3", "4", "5")
    assert [step.phases.is_open for step in sampled.steps] == [True] * (len(sampled.steps) - 1) + [False]


@pytest.mark.parametrize("cut", [1, 4, 7, 20, 40, 60])
async def test_a_sample_that_is_cut_and_gone_on_with_says_the_same(cut):
    [whole] = await served(THINKING, call("whole"))
    [first] = await served(THINKING, call("first", until=Until.TOKENS, max_tokens=cut))
    path = first.steps[0].token_ids
    [rest] = await served(THINKING, call("rest", path))
    joined = replace(whole, steps=(*first.steps, *rest.steps))
    assert "".join(step.text for step in joined.steps) == "".join(step.text for step in whole.steps)
    assert answer_in(joined) == answer_in(whole)
    thinking = [sum(step.phases.thinking_tokens for step in one.steps) for one in (whole, joined)]
    # A mark of several tokens is known to be one when it is complete: what an earlier call had of it stands.
    assert thinking[1] == thinking[0] - (cut if cut < len("<think>") else 0)


async def test_a_thought_that_is_cut_is_no_answer_and_says_so():
    [cut] = await served(THINKING, call("cut", max_tokens=30))
    assert cut.steps[-1].finish_reason is FinishReason.UNFINISHED_THOUGHT
    assert answer_in(cut) is None
    [counted] = await served(THINKING, call("counted", until=Until.TOKENS, max_tokens=30))
    assert counted.steps[-1].finish_reason is FinishReason.TOKENS  # it can go on


async def test_a_prompt_may_open_the_thought():
    opened = replace(THINKING, prompt_template="{question}\n<think>\n")
    [sampled] = await served(opened, call("whole"))
    text = "".join(step.text for step in sampled.steps)
    assert text.startswith("Step 1 of")
    assert sampled.steps[0].phases.thinking_tokens == len(sampled.steps[0].token_ids)
    assert answer_in(sampled) is not None
    closed = replace(
        THINKING, prompt_template="{question}\n<think>\n", thinking=ThinkingSettings(opened_by_template=False)
    )
    [sampled] = await served(closed, call("whole"))
    assert "".join(step.text for step in sampled.steps).startswith("<think>Step 1 of")


async def test_marks_of_ones_own_as_text_and_as_token_ids():
    pairs = (("<thought>", "</thought>"), ((1, 2), (3, 4)))
    [sampled] = await served(replace(THINKING, thinking=ThinkingSettings(pairs=pairs)), call("whole"))
    assert "".join(step.text for step in sampled.steps).startswith("<thought>Step 1 of")
    assert answer_in(sampled) is not None


async def test_without_the_section_nothing_is_told_apart():
    [sampled] = await served(replace(THINKING, thinking=None), call("whole"))
    assert [step.phases for step in sampled.steps] == [None] * len(sampled.steps)


# --- before a run


def test_a_model_that_does_not_think_is_refused_where_nobody_says_how():
    with pytest.raises(InvalidInput, match="says how it writes thoughts: set preset to one of deepseek-r1, qwen3"):
        check_generator(replace(REAL_GENERATOR, thinking=ThinkingSettings()))
    check_generator(replace(REAL_GENERATOR, thinking=ThinkingSettings(preset="qwen3")))


TEMPLATES = {
    "qwen3": "<|im_start|>{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}",
    "qwq": "<|im_start|>{{ content.split('</think>')[-1] }}<think>\n",
    "deepseek-r1": "<|Assistant|>{{ content.split('</think>')[-1] }}<think>\n",
    None: "<|im_start|>{{ content }}",
}


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_model_that_thinks_is_told_of(family):
    settings = replace(REAL_GENERATOR, chat=True, chat_template=TEMPLATES[family])
    warned = thinking_warnings(Path(settings.model), settings)
    assert [f"thinks as {family} does" in sentence for sentence in warned] == ([True] if family else [])
    assert thinking_warnings(Path(settings.model), replace(settings, thinking=ThinkingSettings())) == ()
    silent = replace(settings, chat_template_kwargs={"enable_thinking": False})
    assert thinking_warnings(Path(settings.model), silent) == ()


async def test_a_forced_text_ends_the_thought_and_nobody_has_thought_it():
    [begun] = await served(THINKING, call("begun", until=Until.TOKENS, max_tokens=30))
    path = begun.steps[0].token_ids
    probe = replace(call("probe", path), forced_text="</think>\n\n")
    [said] = await served(THINKING, probe)
    forced, answer = said.steps
    assert forced.finish_reason is FinishReason.FORCED
    assert (forced.phases.thinking_tokens, forced.phases.thought_chars) == (0, len("</think>"))
    assert answer.phases == Phases(0, 0, is_open=False)
    assert answer_in(replace(said, steps=(*begun.steps, *said.steps))) is not None
    [unclosed] = await served(THINKING, replace(probe, forced_text="So "))
    assert unclosed.steps[0].phases.is_open
    assert unclosed.steps[0].phases.thinking_tokens == 0


@pytest.mark.parametrize(
    "thinking",
    [
        ThinkingSettings(),
        ThinkingSettings(steps="words", step_words=(" of ",)),
        ThinkingSettings(steps="whole"),
        ThinkingSettings(step_tokens=7),
        ThinkingSettings(step_tokens=7, max_thinking_tokens=31),
        ThinkingSettings(steps="whole", max_thinking_tokens=31, closing_text="</think>\n\n"),
    ],
)
async def test_a_search_by_steps_samples_what_a_sample_at_once_has(thinking):
    settings = replace(THINKING, thinking=thinking)
    greedy = Sampling(0.0)
    [whole] = await served(settings, replace(call("whole"), sampling=greedy))
    steps: list[SampledStep] = []
    path: tuple[int, ...] = ()
    while not steps or steps[-1].finish_reason in (FinishReason.SEPARATOR, FinishReason.TOKENS):
        one = replace(call(f"step {len(steps)}", path, Until.STEP), sampling=greedy)
        [sampled] = await served(settings, one)
        steps += sampled.steps
        path += sampled.steps[-1].token_ids
    assert [step.token_ids for step in steps] == [step.token_ids for step in whole.steps]
    assert [step.phases for step in steps] == [step.phases for step in whole.steps]
    assert [step.finish_reason for step in steps] == [step.finish_reason for step in whole.steps]
