"""Formats of published PRMs, held against their authors' way: the whole text, written and tokenised at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SentencePieceExtractor

from actors.engines.formats import PrmFormat
from actors.engines.prm.families import FAMILIES, find_family
from actors.engines.prm.public_formats import ShepherdFormat
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.text import TextTokenizer
from tests.support.tiny_prms import (
    CHATML,
    FAMILY_NAMES,
    LLAMA_CHAT,
    STEP_TAG,
    sentencepiece_of,
    tokenizer_of,
    write_tokenizer,
)

QUESTION = "Janet's ducks lay 16 eggs per day. How much does she make?"
STEPS = ["Step 1: She sells 16 - 3 - 4 = 9 eggs.", "## Step 2\nShe makes 9 * 2 = $18 every day!", "\\boxed{18}"]
QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


def fast(family: str, **config: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer_of(family), **config)


def qwen(question: str, steps: list[str]) -> list[int]:
    """The card: one chat with a tag after every step."""
    messages = [
        {"role": "system", "content": QWEN_SYSTEM},
        {"role": "user", "content": question},
        {"role": "assistant", "content": "".join(f"{step}<extra_0>" for step in steps) or "<extra_0>"},
    ]
    text = fast("qwen2.5-math-prm", chat_template=CHATML).apply_chat_template(messages, tokenize=False)
    ids = tokenizer_of("qwen2.5-math-prm").encode(text, add_special_tokens=False).ids
    last = max(at for at, each in enumerate(ids) if each == tokenizer_of("qwen2.5-math-prm").token_to_id("<extra_0>"))
    return ids[: last + 1]


def shepherd(question: str, steps: list[str]) -> list[int]:
    """The card: a line for every step, each with a tag."""
    lines = "\n".join(f"{step} {STEP_TAG}" for step in steps)
    return tokenizer_of("math-shepherd").encode(f"{question} {lines}" if steps else f"{question} {STEP_TAG}").ids


def rlhflow(question: str, steps: list[str]) -> list[int]:
    """The authors' evaluation: every step a user turn answered by "+", read three tokens before the end."""
    turns = [f"{question} {steps[0]}", *steps[1:]] if steps else [question]
    chat = [
        message
        for turn in turns
        for message in ({"role": "user", "content": turn}, {"role": "assistant", "content": "+"})
    ]
    tokenizer = fast("rlhflow", chat_template=LLAMA_CHAT, bos_token="<|begin_of_text|>")  # noqa: S106
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    return tokenizer_of("rlhflow").encode(text, add_special_tokens=False).ids[:-2]


def skywork(question: str, steps: list[str]) -> list[int]:
    """The authors' inference code: line by line."""
    tokenizer = tokenizer_of("skywork-o1-prm")
    ids = tokenizer.encode(f"<|endoftext|>{question}\n").ids
    for line in "\n".join(steps).split("\n") if steps else []:
        ids += tokenizer.encode(line).ids + tokenizer.encode("\n").ids[-1:]
    return ids


def reasoneval(question: str, steps: list[str]) -> list[int]:
    """The authors' example: cut by padding tokens, which are then deleted; here the padding token begins a text too."""
    tokenizer = tokenizer_of("reasoneval")
    text = f"Question:\n{question}\nAnswer:\nLet's think step by step.\n<s>" + "".join(f"{step}<s>" for step in steps)
    return [1, *(each for each in tokenizer.encode(text).ids if each != 1)]


PUBLISHED: dict[str, Callable[[str, list[str]], list[int]]] = {
    "qwen2.5-math-prm": qwen,
    "math-shepherd": shepherd,
    "rlhflow": rlhflow,
    "skywork-o1-prm": skywork,
    "reasoneval": reasoneval,
}


@pytest.fixture(scope="module")
def formats(tmp_path_factory) -> dict[str, PrmFormat]:
    found = {}
    for family in FAMILY_NAMES:
        folder = tmp_path_factory.mktemp(family)
        write_tokenizer(family, folder)
        found[family] = FAMILIES[family].make_format(PrmFolder(folder, TextTokenizer(tokenizer_of(family))))
    return found


def path_ids(form: PrmFormat, question: str, steps: list[str]) -> list[int]:
    ids = list(form.question_ids(question))
    for number, step in enumerate(steps):
        ids += form.step_ids(step, first=number == 0)
    return ids if steps else [*ids, *form.root_suffix]


def test_every_public_family_has_a_twin():
    assert {*PUBLISHED, "separator"} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("num_steps", range(4))
def test_a_path_reads_as_its_authors_write_it(formats, family, num_steps):
    sampled = [f"{step}\n\n" for step in STEPS[:num_steps]]
    assert path_ids(formats[family], QUESTION, sampled) == PUBLISHED[family](QUESTION, STEPS[:num_steps])


TEXT = st.text(alphabet="ab 1.?+-\\{$*#'E", min_size=1, max_size=12).map(str.strip).filter(bool)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@settings(max_examples=40)
@given(question=TEXT, steps=st.lists(TEXT, max_size=3))
def test_any_path_reads_as_its_authors_write_it(formats, family, question, steps):
    assert path_ids(formats[family], question, steps) == PUBLISHED[family](question, steps)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_step_without_text_adds_nothing(formats, family):
    for first in (True, False):
        assert formats[family].step_ids(" \n\n", first=first) == ()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_white_space_around_a_step_does_not_count(formats, family):
    form = formats[family]
    for first in (True, False):
        assert form.step_ids("\n a = 1\n\n\n", first=first) == form.step_ids("a = 1", first=first) != ()


@pytest.fixture(scope="module")
def mistral() -> tuple[SentencePieceProcessor, Tokenizer]:
    """The vocabulary of Mistral 7B, which vLLM's requirements bring along: as published, and as a tokenizer.json."""
    file = str(Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1")
    extracted: Any = SentencePieceExtractor(file).extract(None)
    vocabulary, merges, *_ = extracted.values()
    return SentencePieceProcessor(model_file=file), sentencepiece_of(vocabulary, merges)


@pytest.mark.parametrize("num_steps", range(4))
def test_math_shepherd_in_the_vocabulary_of_mistral(mistral, num_steps):
    published, tokenizer = mistral
    form = ShepherdFormat(TextTokenizer(tokenizer))
    lines = "\n".join(f"{step} {STEP_TAG}" for step in STEPS[:num_steps]) or STEP_TAG
    ids = path_ids(form, QUESTION, STEPS[:num_steps])
    assert ids == [1, *published.encode(f"{QUESTION} {lines}")]
    assert ids.count(12902) == max(1, num_steps)
    assert [TextTokenizer(tokenizer).encode(text, special=False)[-1] for text in "+-"] == [648, 387]


def test_a_family_of_ones_own(tmp_path):
    assert find_family(tmp_path, "tests.support.plugins:reasoneval_by_another_name").name == "mine"
    (tmp_path / "prm_config.json").write_text(json.dumps({}))
    assert find_family(tmp_path, "tests.support.plugins:reasoneval_by_another_name").name == "mine"
