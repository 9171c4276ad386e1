"""Where steps end in samples that think: cut afterwards, or sampled step by step, they are the same."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engines.settings import ThinkingSettings
from actors.engines.thoughts.families import THINKING_FAMILIES
from actors.engines.thoughts.steps import ThoughtSteps, thought_steps
from records.path import FinishReason
from tests.actors.engines.thoughts.test_thoughts import FORMATS, Format, samples
from tests.support.tiers import some_of

NAMES = ("qwen3", "deepseek-r1, its template opens", "qwq, spelled", "magistral", "gpt-oss")
RULES = {
    "separator": ThinkingSettings(),
    "at most 5": ThinkingSettings(step_tokens=5),
    "words": ThinkingSettings(steps="words", step_words=("think", " a", "13")),
    "words, at most 4": ThinkingSettings(steps="words", step_words=(".", "think"), step_tokens=4),
    "whole": ThinkingSettings(steps="whole"),
    "two": ThinkingSettings(max_steps=2),
}


@cache
def rules(form: Format, name: str) -> ThoughtSteps:
    return thought_steps(
        THINKING_FAMILIES[form.name], RULES[name], form.tokenizer, separator="\n\n", filler_ids=frozenset()
    )


def cut(form: Format, steps: ThoughtSteps, ids: list[int]):
    scan = form.reader().scan(())
    scan.extend(ids)
    return steps.split((), ids, scan)


@pytest.mark.parametrize("rule", [name for name in RULES if name != "two"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=some_of(60))
@given(data=st.data())
def test_a_sample_is_cut_where_a_search_by_steps_ends_its_steps(name, rule, data):
    """The twin asks after each token, as a replica does in a search by steps; it knows no text of later ones."""
    form = FORMATS[name]
    ids = data.draw(samples(form))
    steps = rules(form, rule)
    ends, step = [], []
    scan = form.reader().scan(())
    was_open: list[bool] = []
    for at, token in enumerate(ids):
        scan.extend([token])
        was_open.append(scan.open_pair is not None)
        step.append(token)
        if (reason := steps.end_of(step, 0, thinking=scan.open_pair is not None)) is not None:
            ends.append((at + 1, reason))
            step = []
    if was_open != [cut_open(form, ids, at) for at in range(len(ids))]:
        return  # a later token shows that earlier ones were thought: no search by steps can know
    found, at = [], 0
    for one in cut(form, steps, ids)[:-1]:
        at += len(one.token_ids)
        found.append((at, one.ended))
    textless = [end for end in ends if not form.tokenizer.decode(ids[end[0] :])]  # what has no text stays where it was
    assert [end for end in found if end[0] < len(ids)] == [
        end for end in ends if end[0] < len(ids) and end not in textless and has_text(form, ids, ends, end)
    ]


def cut_open(form: Format, ids: list[int], at: int) -> bool:
    scan = form.reader().scan(())
    scan.extend(ids)
    return scan.is_open_after(at)


def has_text(form: Format, ids: list[int], ends, end) -> bool:
    """Whether the step that follows this end has any text: one without stays with the step before."""
    later = [other for other, _ in ends if other > end[0]]
    return bool(form.tokenizer.decode_after(ids[: end[0]], ids[end[0] : later[0] if later else len(ids)]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=some_of(60))
@given(data=st.data())
def test_steps_add_up_to_the_sample(name, rule, data):
    form = FORMATS[name]
    ids = data.draw(samples(form))
    steps = cut(form, rules(form, rule), ids)
    assert [token for step in steps for token in step.token_ids] == ids
    assert "".join(step.text for step in steps) == form.tokenizer.decode(ids)


THOUGHT = "<think>One.\n\nWait, two.\n\nSo be it.\n\nBut three.\n\n</think>\n\nIt is 3.\n\nDone."


def texts(rule: ThinkingSettings, sample: str = THOUGHT) -> list[str]:
    form = FORMATS["qwen3"]
    made = thought_steps(
        THINKING_FAMILIES["qwen3"], rule, form.tokenizer, separator="\n\n", filler_ids=form.splitter().filler_ids
    )
    return [step.text for step in cut(form, made, list(form.tokenizer.encode(sample, special=False)))]


def test_a_thought_is_cut_into_paragraphs_like_an_answer():
    parts = ["<think>One.\n\n", "Wait, two.\n\n", "So be it.\n\n", "But three.\n\n", "</think>\n\n"]
    assert texts(ThinkingSettings()) == [*parts, "It is 3.\n\n", "Done."]


def test_a_thought_is_cut_where_the_model_turns():
    assert texts(ThinkingSettings(steps="words")) == [
        "<think>One.\n\nWait",
        ", two.\n\nSo be it.\n\nBut",
        " three.\n\n</think>\n\n",
        "It is 3.\n\n",
        "Done.",
    ]


def test_a_thought_is_one_step_and_its_answer_has_its_own():
    assert texts(ThinkingSettings(steps="whole")) == [THOUGHT[: -len("It is 3.\n\nDone.")], "It is 3.\n\n", "Done."]


def test_a_bound_on_steps_leaves_the_rest_of_the_thought_to_the_last_one():
    found = texts(ThinkingSettings(max_steps=2))
    assert found[0] == "<think>One.\n\n"
    assert found[1].endswith("</think>\n\n")
    assert found[2:] == ["It is 3.\n\n", "Done."]


def test_a_step_that_is_cut_by_its_tokens_says_so():
    form = FORMATS["qwen3"]
    ids = list(form.tokenizer.encode("<think>abcdefgh</think>12", special=False))
    steps = cut(form, replace(rules(form, "separator"), step_tokens=3), ids)
    assert [len(step.token_ids) for step in steps] == [3, 3, 3, 3]  # the last with the mark and the answer
    assert [step.ended for step in steps[:-1]] == [FinishReason.TOKENS] * 3
