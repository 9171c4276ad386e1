"""How a generator's prompt is written: the one place, for replicas, `check`, the checks before a run, and exports.

    question --template--> text --examples before it--> text, or turns --chat template--> text --> token ids

What a user's file holds (the question, the examples) is text and never control: the text of a special token in it does
not become that token. What the recipe says itself (the template, the system message, a chat template) is taken as it
is written.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from actors.engines.chat import chat_writer, special_tokens
from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.settings import GeneratorSettings
from actors.engines.text import ChatWriter, Message, TextTokenizer, read_tokenizer
from records.failure import InvalidInput

QUESTION = "{question}"
"""Where the text of a problem goes in a template."""
ANY_QUESTION = "\x00question\x00"
"""Stands in no file of problems: to look at what a prompt has around its question."""


class PromptWriter:
    """Writes the prompts of one generator.

    Args:
        settings: what the prompt is made of.
        tokenizer: of the model; its chat template writes the chat, unless the settings bring one of their own.
    """

    def __init__(self, settings: GeneratorSettings, tokenizer: TextTokenizer) -> None:
        self._settings, self._tokenizer = settings, tokenizer
        self._chat: ChatWriter | None = tokenizer.chat if settings.chat else None

    def token_ids(self, question: str) -> tuple[int, ...]:
        """The prompt of a question as the model sees it; a chat template writes the special tokens of its own."""
        return self._tokenizer.encode(self._written(question), special=self._chat is None)

    def text(self, question: str) -> str:
        """The same as text; without the special tokens that the tokenizer begins a plain text with."""
        return self._tokenizer.unquote(self._written(question))

    def _written(self, question: str) -> str:
        quote = self._tokenizer.quote
        if self._chat is None:
            return plain_prompt(self._settings, quote(question), quote=quote)
        return self._chat(prompt_messages(self._settings, quote(question), quote=quote))


def plain_prompt(settings: GeneratorSettings, question: str, *, quote: Callable[[str], str] = str) -> str:
    """The prompt without a chat: each example with its answer, and the question.

    Args:
        settings: template and examples.
        question: the text of the problem.
        quote: what is done to the text of an example.
    """
    shown = (
        framed(settings.prompt_template, quote(example.question)) + quote(example.answer) + settings.between_examples
        for example in settings.examples
    )
    return "".join((*shown, framed(settings.prompt_template, question)))


def prompt_messages(settings: GeneratorSettings, question: str, *, quote: Callable[[str], str] = str) -> list[Message]:
    """The turns of the chat: the system message, each example and its answer, the question. As `plain_prompt`."""
    turns: list[Message] = []
    if settings.system_prompt is not None:
        turns.append({"role": "system", "content": settings.system_prompt})
    for example in settings.examples:
        turns.append({"role": "user", "content": framed(settings.prompt_template, quote(example.question))})
        turns.append({"role": "assistant", "content": quote(example.answer)})
    return [*turns, {"role": "user", "content": framed(settings.prompt_template, question)}]


def framed(template: str, text: str) -> str:
    """A template with the text of a problem in its place."""
    return template.replace(QUESTION, text)


def read_prompt_writer(model: Path, settings: GeneratorSettings) -> PromptWriter:
    """What writes the prompts of a generator whose files are in `model`, without its weights.

    Raises:
        InvalidInput: no tokenizer can be read there, or no chat template where one is needed.
    """
    tokenizer = read_tokenizer(model / TOKENIZER_FILE)
    tokenizer.chat = chat_writer(model, settings)
    if settings.chat and tokenizer.chat is None:
        raise InvalidInput(f"generator.chat is true, and {settings.model} has no chat template")
    return PromptWriter(settings, tokenizer)


def prompt_warnings(model: Path, settings: GeneratorSettings) -> tuple[str, ...]:
    """What the user should be told of the prompt, a sentence each. Raises as `read_prompt_writer`."""
    begin = special_tokens(model).get("bos_token")
    if begin is None:
        return ()
    said = read_tokenizer(model / TOKENIZER_FILE).encode(begin, special=False)
    ids = read_prompt_writer(model, replace(settings, examples=())).token_ids("1 + 1")
    begins_twice = ids[:2] == said * 2
    if len(said) != 1 or not (begins_twice or (begin in settings.prompt_template and ids.count(said[0]) > 1)):
        return ()  # some chat templates begin each turn with it
    sentence = (
        f"the prompt has {begin} twice: the tokenizer or the chat template writes it by itself, so take it out of "
        "generator.prompt_template"
    )
    return (sentence,)
