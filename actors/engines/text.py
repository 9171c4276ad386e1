"""Text and token ids: a thin layer over the `tokenizers` library, which both the real and the scripted engines use."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from records.failure import InvalidInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ChatRenderer = Callable[[str, str | None], tuple[int, ...]]
"""(user message, system message or None) -> token ids of the chat up to where the model speaks."""

CONTEXT_TOKENS = 8
"""Tokens before a piece that decide how it decodes: a character's bytes, or the space that a sentence begins with."""


class TextTokenizer:
    """Encodes prompts and decodes samples. Decoding leaves special tokens out."""

    def __init__(self, backend: "Tokenizer", chat: ChatRenderer | None = None) -> None:
        """Wrap `backend`.

        Args:
            backend: vocabulary and rules; nothing may be padded or truncated.
            chat: renders the model's chat template; None where it has none.
        """
        self._backend = backend
        self.chat = chat

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        """Token ids of `text`; with `special` as the model wants a text to begin (and end)."""
        return tuple(self._backend.encode(text, add_special_tokens=special).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of `token_ids`; bytes that are no character become U+FFFD."""
        return str(self._backend.decode(list(token_ids), skip_special_tokens=True))

    def decode_after(self, context_ids: Sequence[int], token_ids: Sequence[int]) -> str:
        """What `token_ids` add to the text of `context_ids`.

        Some tokenizers write a word's leading space only where the word does not begin the text, so a step decoded by
        itself would lose it.
        """
        context = list(context_ids[-CONTEXT_TOKENS:])
        before = self.decode(context)
        text = self.decode([*context, *token_ids])
        return text[len(before) :] if text.startswith(before) else self.decode(token_ids)

    def vocabulary_texts(self) -> list[str]:
        """The text of every token by itself, special ones included: [vocabulary size]."""
        size = self._backend.get_vocab_size(with_added_tokens=True)
        return list(self._backend.decode_batch([[token_id] for token_id in range(size)], skip_special_tokens=False))


def read_tokenizer(file: Path) -> TextTokenizer:
    """The tokenizer in a tokenizer.json, without transformers.

    Raises:
        InvalidInput: the file is missing or unreadable.
    """
    from tokenizers import Tokenizer

    if not file.is_file():
        raise InvalidInput(f"{file}: missing; a fast tokenizer is needed (AutoTokenizer(...).save_pretrained makes it)")
    try:
        backend = Tokenizer.from_buffer(file.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{file}: cannot be read ({error})") from error
    backend.no_truncation()
    backend.no_padding()
    return TextTokenizer(backend)
