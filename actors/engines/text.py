"""Text and token ids: a thin layer over the `tokenizers` library, which both the real and the scripted engines use."""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from actors.engines.probe import tried
from records.failure import InvalidInput

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


ChatWriter = Callable[[Sequence[Message]], str]
"""The turns of a chat -> its text up to where the model speaks, special tokens and all."""

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Code points that are no characters and stand in no text: around a quoted token. A text that has one is quoted too."""
_QUOTED = re.compile(f"{_OPEN}([0-9a-f]+){_CLOSE}")

CONTEXT_TOKENS = 8
"""Tokens before a piece that decide how it decodes: a character's bytes, or the space that a sentence begins with."""


class TextTokenizer:
    """Encodes prompts and decodes samples. Decoding leaves special tokens out.

    What comes from a user's file, or from a model, goes through `quote` first: the text of a special token in it stays
    text. Any text around it is encoded as ever.
    """

    def __init__(self, backend: "Tokenizer", chat: ChatWriter | None = None) -> None:
        """Wrap `backend`.

        Args:
            backend: vocabulary and rules; nothing may be padded or truncated.
            chat: writes a chat by the model's template; None where it has none.
        """
        self._backend = backend
        self.chat = chat

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        """Token ids of `text`; with `special` as the model wants a text to begin (and end)."""
        if _OPEN in text:
            return tuple(self._backend.post_process(self._as_text(text), add_special_tokens=special).ids)
        return tuple(self._backend.encode(text, add_special_tokens=special).ids)

    def quote(self, text: str, *tags: str) -> str:
        """`text` with a stand-in for each special token's text in it, which `encode` reads as the text that it is.

        Args:
            text: of a user or a model.
            tags: texts besides that may not become the tokens which they are elsewhere.
        """
        quoted = (*self._special_texts, _OPEN, _CLOSE, *tags)
        if not any(each in text for each in quoted):
            return text
        found = re.compile("|".join(map(re.escape, quoted)))
        return found.sub(lambda match: f"{_OPEN}{match[0].encode().hex()}{_CLOSE}", text)

    def unquote(self, text: str) -> str:
        """The text that was quoted."""
        return _QUOTED.sub(lambda match: bytes.fromhex(match[1]).decode(), text)

    @cached_property
    def _special_texts(self) -> tuple[str, ...]:
        """Of the special tokens, longest first."""
        added = self._backend.get_added_tokens_decoder().values()
        return tuple(sorted((token.content for token in added if token.special), key=len, reverse=True))

    def _as_text(self, text: str) -> "Encoding":
        """Encode a text with quotations: special tokens by themselves, what is between them without any."""
        from tokenizers import Encoding

        special = "|".join(map(re.escape, self._special_texts))
        pieces = []
        for at, part in enumerate(re.split(f"({special})", text) if special else [text]):
            if at % 2:
                pieces.append(self._backend.encode(part, add_special_tokens=False))
            else:
                pieces += [self._plainly(piece) for piece in self._unquoted_pieces(part) if piece]
        return Encoding.merge(pieces, growing_offsets=True)

    def _unquoted_pieces(self, text: str) -> list[str]:
        """The text that was quoted, cut within tokens that are not special: nothing else keeps it from being one."""
        pieces = [""]
        for at, part in enumerate(_QUOTED.split(text)):
            token = bytes.fromhex(part).decode() if at % 2 else None
            if token is None or token in self._special_texts:
                pieces[-1] += part if token is None else token
            else:
                pieces[-1] += token[:1]
                pieces.append(token[1:])
        return pieces

    def _plainly(self, text: str) -> "Encoding":
        self._backend.encode_special_tokens = True
        try:
            return self._backend.encode(text, add_special_tokens=False)
        finally:
            self._backend.encode_special_tokens = False

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The special tokens, which leave no text."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in added.items() if token.special)

    def token_id(self, text: str) -> int | None:
        """The token of exactly this text in the vocabulary; None where there is none."""
        found: int | None = self._backend.token_to_id(text)
        return found

    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Text of `token_ids`, with that of special ones if asked for; bytes that are no character become U+FFFD."""
        return str(self._backend.decode(list(token_ids), skip_special_tokens=not special))

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
        InvalidInput: the file is missing or unreadable, or takes time or memory without end (`actors.engines.probe`).
    """
    from tokenizers import Tokenizer

    if not file.is_file():
        raise InvalidInput(f"{file}: missing; a fast tokenizer is needed (AutoTokenizer(...).save_pretrained makes it)")
    tried(file)
    backend = Tokenizer.from_buffer(file.read_bytes())
    backend.no_truncation()
    backend.no_padding()
    return TextTokenizer(backend)
