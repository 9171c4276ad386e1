"""Chat templates, rendered as transformers does, from a model's folder alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actors.engines.model_files import read_json
from actors.engines.settings import GeneratorSettings
from actors.engines.text import ChatWriter, Message
from records.failure import InvalidInput

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A jinja template, the special tokens that it may name, and what else it is told."""

    source: str
    special_tokens: dict[str, str]
    variables: Mapping[str, Any] = field(default_factory=dict)

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a chat up to where the model speaks.

        Raises:
            InvalidInput: the template has a fault, or refuses these messages.
        """
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        render: Any = render_jinja_template
        try:
            told = {**self.special_tokens, **self.variables}
            rendered, _ = render([list(messages)], chat_template=self.source, add_generation_prompt=True, **told)
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise InvalidInput(f"the chat template refuses a chat of the roles {roles}: {error}") from error
        return str(rendered[0])


def read_chat_template(model: Path) -> ChatTemplate | None:
    """The template of a model's folder; None where it has none."""
    has_config = (model / TOKENIZER_CONFIG_FILE).is_file()
    config = read_json(model / TOKENIZER_CONFIG_FILE) if has_config else {}
    source = config.get("chat_template")
    if isinstance(source, list):
        source = {each.get("name"): each.get("template") for each in source}.get("default")
    if (model / TEMPLATE_FILE).is_file():
        source = (model / TEMPLATE_FILE).read_text(encoding="utf-8")
    return ChatTemplate(source, special_tokens(model)) if source else None


def chat_writer(model: Path, settings: GeneratorSettings) -> ChatWriter | None:
    """What writes the chats of a generator: the template of its settings, or else of its folder; None without one."""
    template = read_chat_template(model)
    if settings.chat_template is not None:
        template = ChatTemplate(settings.chat_template, special_tokens(model))
    return None if template is None else replace(template, variables=settings.chat_template_kwargs).render


def special_tokens(model: Path) -> dict[str, str]:
    """Texts of the special tokens that tokenizer_config.json names: "bos_token", "pad_token", ..."""
    if not (model / TOKENIZER_CONFIG_FILE).is_file():
        return {}
    tokens = {}
    for name, value in read_json(model / TOKENIZER_CONFIG_FILE).items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            tokens[name] = text
    return tokens
