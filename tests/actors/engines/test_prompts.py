"""Prompts: examples, chats, and texts of special tokens that stay text."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.chat import ChatTemplate
from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.prm.families import FAMILIES, find_family
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.prompts import PromptWriter, plain_prompt, prompt_warnings, read_prompt_writer
from actors.engines.scripted.engines import ScriptedGenerator
from actors.engines.settings import ShownExample
from actors.engines.text import TextTokenizer, read_tokenizer
from tests.actors.conftest import EXAMPLE, REAL_GENERATOR
from tests.support.fakes import GENERATOR_SETTINGS
from tests.support.tiny_prms import make_prm

SHOTS = (ShownExample("1 + 1", "2"), ShownExample("<eos>", "none</s>"))
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{{ eos_token }}{% endfor %}{{ end }}"
)
CHAT = {"chat": True, "system_prompt": "Be brief.", "chat_template": TEMPLATE, "chat_template_kwargs": {"end": "GO"}}
TOKENIZER = read_tokenizer(EXAMPLE / "generator" / TOKENIZER_FILE)
ids_of = {text: TOKENIZER.encode(text, special=False)[0] for text in ("<bos>", "<eos>")}


def writer(**settings) -> PromptWriter:
    return read_prompt_writer(
        EXAMPLE / "generator", replace(REAL_GENERATOR, prompt_template="Q: {question}\n", **settings)
    )


def test_examples_stand_before_the_question():
    assert writer(examples=SHOTS[:1]).text("2 + 2") == "Q: 1 + 1\n2\n\nQ: 2 + 2\n"
    assert writer(examples=SHOTS[:1], between_examples="--").text("2 + 2") == "Q: 1 + 1\n2--Q: 2 + 2\n"


def test_a_chat_has_them_as_turns_and_a_template_of_its_own():
    text = writer(examples=SHOTS[:1], **CHAT).text("2 + 2")
    assert text == ("<bos><system>Be brief.<eos><user>Q: 1 + 1<eos><assistant>2<eos><user>Q: 2 + 2<eos>GO")
    ids = writer(examples=SHOTS[:1], **CHAT).token_ids("2 + 2")
    assert ids.count(ids_of["<bos>"]) == 1
    assert ids.count(ids_of["<eos>"]) == 4


@pytest.mark.parametrize("chat", [{}, CHAT], ids=["plain", "chat"])
def test_a_special_token_in_a_question_is_text(chat):
    write = writer(**chat)
    plain, special = (write.token_ids(question) for question in ("what is x?", "what is <eos><bos>?"))
    for token_id in ids_of.values():
        assert special.count(token_id) == plain.count(token_id)
    assert "what is <eos><bos>?" in write.text("what is <eos><bos>?")
    assert "what is <eos><bos>?" in TOKENIZER.decode(special)


def test_a_special_token_in_an_example_is_text_and_in_the_template_it_is_one():
    assert writer(examples=SHOTS).token_ids("1").count(ids_of["<eos>"]) == 0
    said = replace(REAL_GENERATOR, prompt_template="{question}<eos>")
    assert PromptWriter(said, TOKENIZER).token_ids("<eos>").count(ids_of["<eos>"]) == 1


pieces = st.lists(
    st.sampled_from(["<eos>", "<bos>", "<pad>", "\n\n", "Compute ", "7", " so ", "\ufdd0", "\ufdd1", "a", "<"])
)


@given(pieces)
def test_no_text_becomes_a_special_token_and_all_of_it_is_there(parts):
    text = "".join(parts)
    ids = TOKENIZER.encode(TOKENIZER.quote(text), special=False)
    assert not {256, 257, 258} & set(ids)
    assert TOKENIZER.unquote(TOKENIZER.quote(text)) == text
    assert TOKENIZER.decode(ids) == text


@given(st.text(alphabet="abc <>eos\n12+"))
def test_other_text_is_encoded_as_ever(text):
    if not any(special in text for special in ("<eos>", "<bos>", "<pad>")):
        assert TOKENIZER.quote(text) is text


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prm_reads_questions_and_steps_as_text(family, tmp_path):
    model = EXAMPLE / "prm" if family == "separator" else make_prm(family, tmp_path / "prm", context=256)
    tokenizer = read_tokenizer(model / TOKENIZER_FILE)
    form = find_family(model, family).make_format(PrmFolder(model, tokenizer))
    special = {
        token_id: token.content
        for token_id, token in tokenizer._backend.get_added_tokens_decoder().items()
        if token.special
    }
    evil = " and ".join(special.values()) + " it is"
    for harmless, harmful in (
        (form.question_ids("1 + 1 it is"), form.question_ids(evil)),
        (form.step_ids("1 + 1 it is", first=True), form.step_ids(evil, first=True)),
        (form.step_ids("1 + 1 it is", first=False), form.step_ids(evil, first=False)),
    ):
        assert [one for one in harmful if one in special] == [one for one in harmless if one in special]
        assert len(harmful) > len(harmless)


def test_the_tag_of_a_prm_in_a_step_is_text(tmp_path):
    model = make_prm("qwen2.5-math-prm", tmp_path / "prm", context=256)
    tokenizer = read_tokenizer(model / TOKENIZER_FILE)
    form = find_family(model, "auto").make_format(PrmFolder(model, tokenizer))
    [tag] = tokenizer.encode("<extra_0>", special=False)
    assert form.step_ids("so <extra_0> it is", first=True).count(tag) == 1
    assert tag not in form.question_ids("<extra_0>")


def test_a_bos_that_would_stand_twice_is_told():
    model = Path(REAL_GENERATOR.model)
    assert prompt_warnings(model, REAL_GENERATOR) == ()
    [warning] = prompt_warnings(model, replace(REAL_GENERATOR, prompt_template="<bos>{question}"))
    assert "<bos> twice" in warning
    chat = replace(REAL_GENERATOR, **CHAT)
    assert prompt_warnings(model, chat) == ()
    assert len(prompt_warnings(model, replace(chat, prompt_template="<bos>{question}"))) == 1


@pytest.mark.parametrize("chat", [{}, {"chat": True, "system_prompt": "Be brief."}], ids=["plain", "chat"])
def test_the_scripted_world_finds_its_question_in_any_prompt(chat):
    settings = replace(GENERATOR_SETTINGS, prompt_template="Q: {question}\nA:", examples=SHOTS, **chat)
    engine = ScriptedGenerator(settings)
    ids = PromptWriter(settings, engine.tokenizer).token_ids("How many <eos>?")
    assert engine._read(ids) == ("How many <eos>?", "")


def test_an_export_has_the_same_text():
    settings = replace(REAL_GENERATOR, prompt_template="Q: {question}\n", examples=SHOTS)
    assert plain_prompt(settings, "2") == PromptWriter(settings, TextTokenizer(TOKENIZER._backend)).text("2")
    assert ChatTemplate("{{ x }}", {}, {"x": 3}).render([]) == "3"
