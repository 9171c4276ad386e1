"""Stop strings: texts that end a sample, wherever tokens or steps cut them.

They are looked for in what was sampled, earlier steps of the path included, never in the prompt. As a separator does, a
stop string stays in the text: the token that completes it is the sample's last.
"""

from collections.abc import Sequence

from actors.engines.text import CONTEXT_TOKENS, TextTokenizer


class StopStrings:
    """Knows a vocabulary and the texts that end a sample."""

    def __init__(self, tokenizer: TextTokenizer, stops: Sequence[str]) -> None:
        """Look through the vocabulary once; an empty sequence stops nothing."""
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        endings = {stop[at:] for stop in stops for at in range(len(stop))}
        bytewise = any(not stop.isascii() for stop in stops)  # a character may be bytes of several tokens
        texts = tokenizer.vocabulary_texts() if stops else []
        self._completing_ids = frozenset(
            at
            for at, text in enumerate(texts)
            if any(stop in text for stop in stops)
            or any(text.startswith(ending) for ending in endings)
            or (bytewise and "\N{REPLACEMENT CHARACTER}" in text)
        )
        self._window = 2 + max((len(stop.encode()) for stop in stops), default=0)

    def ended(self, path_ids: Sequence[int], token_ids: Sequence[int]) -> bool:
        """Whether the last token completes a stop string.

        Args:
            path_ids: sampled before, in earlier steps; a stop string may have begun there.
            token_ids: sampled since.
        """
        if token_ids[-1] not in self._completing_ids:
            return False
        sampled = [*path_ids[-self._window - CONTEXT_TOKENS :], *token_ids[-self._window - CONTEXT_TOKENS :]]
        start = max(0, len(sampled) - self._window)
        text = self._tokenizer.decode_after(sampled[:start], sampled[start:])
        return any(stop in text for stop in self._stops)
