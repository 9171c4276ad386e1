"""The tokenizer and the prefix cache of the scripted engines: a token is a byte, or a whole separator."""

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from actors.engines.text import Message, TextTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BEGIN, END, ASKED = "<bos>", "<eos>", "<|asked|>"
"""Special tokens: a prompt begins, a sample ends, and the prompt is over, whatever its text looks like."""
CACHED_BLOCKS = 2**18


def byte_tokenizer(separator: str) -> TextTokenizer:
    """All bytes, the separator as one token, and the special ones. Any chat is its messages, one after the other.

    Args:
        separator: the text that ends a step.
    """

    def chat(messages: Sequence[Message]) -> str:
        return BEGIN + separator.join(message["content"] for message in messages) + ASKED

    return TextTokenizer(byte_backend(separator), chat)


@functools.cache
def byte_backend(separator: str) -> "Tokenizer":
    """The tokenizer that all engines of a process share which end their steps alike."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: at for at, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (BEGIN, END)])
    backend.add_tokens([AddedToken(separator, special=False, normalized=False)])
    backend.add_special_tokens([AddedToken(ASKED, special=True, normalized=False)])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {ASKED}", special_tokens=[(text, backend.token_to_id(text)) for text in (BEGIN, ASKED)]
    )
    return backend


def special_id(separator: str, text: str) -> int:
    """The id of a special token."""
    return byte_tokenizer(separator).encode(text, special=False)[0]


def split_at(token_ids: Sequence[int], special: int, decode: Callable[[Sequence[int]], str]) -> tuple[str, str]:
    """The texts before and after the last `special`, which a question may hold too; all is before it without one."""
    at = len(token_ids) - 1
    while at >= 0 and token_ids[at] != special:
        at -= 1
    return (decode(token_ids[:at]), decode(token_ids[at + 1 :])) if at >= 0 else (decode(token_ids), "")


def num_token_ids(separator: str) -> int:
    """Tokens that there are."""
    return int(byte_backend(separator).get_vocab_size(with_added_tokens=True))


def tokenizer_sha256(separator: str) -> str:
    """The tokenizer's identity."""
    return hashlib.sha256(byte_backend(separator).to_str().encode()).hexdigest()


class BlockCache:
    """A prefix cache by blocks, as an engine's: which of a prompt's tokens an earlier call had."""

    def __init__(self, block_size: int, capacity: int = CACHED_BLOCKS) -> None:
        """Hold at most `capacity` blocks of `block_size` tokens; the ones that were not used for longest go first."""
        self._block_size, self._capacity = block_size, capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def cached_tokens(self, token_ids: Sequence[int]) -> int:
        """Whole blocks of `token_ids` that are here; from now on all are. The last token is always computed."""
        size = self._block_size
        chain, cached, unbroken = 0, 0, True
        for start in range(0, len(token_ids) - size + 1, size):
            chain = hash((chain, tuple(token_ids[start : start + size])))
            unbroken = unbroken and chain in self._blocks and start + size < len(token_ids)
            cached += size * unbroken
            self._blocks[chain] = None
            self._blocks.move_to_end(chain)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return cached
