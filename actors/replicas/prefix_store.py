"""What a replica remembers of the prefixes that it has seen, so that a call need not carry them.

Least recently used go first. Forgetting one is harmless: the replica answers `PrefixMissing` and gets the call again,
in full. The content is small beside the engine's KV cache, which forgets by itself.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

MAX_TOKENS = 8_000_000
"""Default bound of all prefixes together: about 64 MB of token ids."""

ContentT = TypeVar("ContentT")


class PrefixStore(Generic[ContentT]):
    """Prefix id -> content, bounded by the tokens of all of them together."""

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self._max_tokens = max_tokens
        self._num_tokens = 0
        self._entries: OrderedDict[str, tuple[ContentT, int]] = OrderedDict()

    @property
    def num_tokens(self) -> int:
        """Tokens held; never above the bound."""
        return self._num_tokens

    def get(self, prefix_id: str) -> ContentT | None:
        """The content, which counts as used now; None if it is not held."""
        entry = self._entries.get(prefix_id)
        if entry is None:
            return None
        self._entries.move_to_end(prefix_id)
        return entry[0]

    def put(self, prefix_id: str, content: ContentT, num_tokens: int) -> None:
        """Hold `content`, which counts `num_tokens`; the least recently used others make room."""
        if prefix_id in self._entries:
            self._num_tokens -= self._entries.pop(prefix_id)[1]
        self._entries[prefix_id] = (content, num_tokens)
        self._num_tokens += num_tokens
        while self._num_tokens > self._max_tokens:
            _, (_, freed) = self._entries.popitem(last=False)
            self._num_tokens -= freed
