"""Chat templates without an engine: rendered as transformers does, and refused where they would lose a message."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from transformers import AutoTokenizer

from actors.engines.chat import read_chat_template
from actors.engines.prompts import PromptWriter
from actors.engines.serving.common import load_tokenizer
from actors.engines.text import Message
from actors.replicas.preflight import check_generator
from records.failure import InvalidInput
from tests.actors.conftest import REAL_GENERATOR
from tests.support.tiny_prms import CHATML, LLAMA_CHAT, make_generator

MESSAGES: list[Message] = [
    {"role": "system", "content": "Put it in \\boxed{}.\n"},
    {"role": "user", "content": "What is 1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "And 2 + 2?"},
]


@pytest.fixture(scope="module", params=["qwen2.5-math-prm", "rlhflow"])
def generator(request, tmp_path_factory) -> Path:
    return make_generator(request.param, tmp_path_factory.mktemp("models") / "generator", context=1024)


@pytest.mark.parametrize("kept", ["inline", "named", "file"])
@pytest.mark.parametrize("messages", [MESSAGES[:2], MESSAGES[1:2], MESSAGES], ids=["system", "user", "turns"])
def test_a_chat_is_rendered_as_by_transformers(generator, tmp_path, kept, messages):
    folder = Path(shutil.copytree(generator, tmp_path / "model"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    template = config.pop("chat_template")
    if kept == "inline":
        config["chat_template"] = template
    elif kept == "named":
        config["chat_template"] = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]
    else:
        (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    found = read_chat_template(folder)
    assert found is not None
    wanted = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    assert found.render(messages) == wanted
    assert messages[-1]["content"] in wanted


@pytest.mark.parametrize("system", [None, "Put it in \\boxed{}."])
def test_the_generators_prompt_is_the_rendered_chat(generator, system):
    """As a generator's engine makes it, with the tokenizer that vLLM loads for a folder: no second <bos>, no cut."""
    hugging_face = AutoTokenizer.from_pretrained(generator)
    hugging_face("a", truncation=True, max_length=1)  # what leaves a limit behind in a tokenizer that is not a copy
    settings = replace(
        REAL_GENERATOR, model=str(generator), chat=True, system_prompt=system, prompt_template="{question}"
    )
    tokenizer = load_tokenizer(cast(Any, SimpleNamespace(get_tokenizer=lambda: hugging_face)), settings)
    ids = PromptWriter(settings, tokenizer).token_ids("What is 1 + 1?")
    messages = [*([{"role": "system", "content": system}] if system else []), MESSAGES[1]]
    wanted = AutoTokenizer.from_pretrained(generator).apply_chat_template(messages, add_generation_prompt=True)
    assert list(ids) == wanted["input_ids"]
    begin = tokenizer.encode("<|begin_of_text|>", special=False)
    assert len(begin) != 1 or ids.count(begin[0]) == 1


def check(folder: Path, system_prompt: str | None = "Think.") -> None:
    settings = replace(REAL_GENERATOR, model=str(folder), chat=True, system_prompt=system_prompt)
    check_generator(replace(settings, prompt_template="{question}"))


@pytest.mark.parametrize("template", [CHATML, LLAMA_CHAT])
def test_a_template_that_takes_the_system_prompt_passes(generator, tmp_path, template):
    folder = Path(shutil.copytree(generator, tmp_path / "model"))
    (folder / "chat_template.jinja").write_text(template)
    check(folder)
    check(folder, None)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "{% if messages[0].role == 'system' %}{{ raise_exception('No system!') }}{% endif %}x",
            "refuses .*No system!",
        ),
        ("{{ messages[-1]['content'] }}", "leaves out the system message"),
        ("{{ messages[0]['content'] }}", "leaves out the user message"),
        ("{% for", "refuses"),
    ],
)
def test_a_template_that_loses_a_message_is_refused(generator, tmp_path, template, words):
    folder = Path(shutil.copytree(generator, tmp_path / "model"))
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(InvalidInput, match=words):
        check(folder)
