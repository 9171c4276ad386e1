"""Chat templates, rendered as transformers does, from a model's folder alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from actors.engines.model_files import read_json
from records.failure import InvalidInput

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A jinja template and the special tokens that it may name."""

    source: str
    special_tokens: dict[str, str]

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a chat up to where the model speaks.

        Raises:
            InvalidInput: the template has a fault, or refuses these messages.
        """
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        render: Any = render_jinja_template
        try:
            rendered, _ = render(
                [list(messages)], chat_template=self.source, add_generation_prompt=True, **self.special_tokens
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise InvalidInput(f"the chat template refuses a chat of the roles {roles}: {error}") from error
        return str(rendered[0])


def read_chat_template(model: Path) -> ChatTemplate | None:
    """The template of a model's folder; None where it has none."""
    if not (model / TOKENIZER_CONFIG_FILE).is_file():
        return None
    config = read_json(model / TOKENIZER_CONFIG_FILE)
    source = config.get("chat_template")
    if isinstance(source, list):
        source = {each.get("name"): each.get("template") for each in source}.get("default")
    if (model / TEMPLATE_FILE).is_file():
        source = (model / TEMPLATE_FILE).read_text(encoding="utf-8")
    return ChatTemplate(source, special_tokens(model)) if source else None


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
