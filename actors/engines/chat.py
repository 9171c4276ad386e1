"""Chat templates, rendered as transformers does, from a model's folder alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actors.engines.model_files import read_json
from actors.engines.probe import TEMPLATE_CHARS
from actors.engines.settings import GeneratorSettings
from actors.engines.text import ChatWriter, Message
from records.bounded import quoted, read_file
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

        faults = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
        render: Any = render_jinja_template
        try:
            told = {**self.special_tokens, **self.variables}
            rendered, _ = render([list(messages)], chat_template=self.source, add_generation_prompt=True, **told)
        except faults as error:
            roles = ", ".join(message["role"] for message in messages)
            said = quoted(f"{type(error).__name__}: {error}" if not isinstance(error, TemplateError) else error)
            raise InvalidInput(f"the chat template refuses a chat of the roles {roles}: {said}") from error
        return str(rendered[0])


def read_chat_template(model: Path) -> ChatTemplate | None:
    """The template of a model's folder; None where it has none."""
    has_config = (model / TOKENIZER_CONFIG_FILE).is_file()
    config = read_json(model / TOKENIZER_CONFIG_FILE) if has_config else {}
    source = config.get("chat_template")
    if isinstance(source, list):
        source = {str(each.get("name")): each.get("template") for each in source if isinstance(each, dict)}.get(
            "default"
        )
    if (model / TEMPLATE_FILE).is_file():
        source = _template_text(model / TEMPLATE_FILE)
    return ChatTemplate(source, special_tokens(model)) if isinstance(source, str) and source else None


def _template_text(file: Path) -> str:
    try:
        return read_file(file, TEMPLATE_CHARS).decode()
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InvalidInput(f"{file}: cannot be read ({error})") from error


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
