"""Splits a sample into steps at the separator.

The steps' token ids concatenate to the sample, and their texts to the decoded whole: nothing is re-tokenised. A token
belongs to one step, so a step ends with the token that completes the separator, and a run of further newlines (or
separators) stays with the step that it ends. What follows the last separator without any text, such as the
end-of-answer token, is no step of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.engines.text import CONTEXT_TOKENS, TextTokenizer
from records.path import FinishReason


@dataclass(frozen=True, slots=True)
class Step:
    """Text and token ids of one step, and why it ended where another follows."""

    text: str
    token_ids: tuple[int, ...]
    ended: FinishReason = FinishReason.SEPARATOR


class StepSplitter:
    """Knows a vocabulary and a separator."""

    def __init__(self, tokenizer: TextTokenizer, separator: str) -> None:
        self._tokenizer = tokenizer
        self._separator = separator
        texts = tokenizer.vocabulary_texts()
        self.separator_ids = frozenset(at for at, text in enumerate(texts) if separator in text)
        """Tokens that end a step all by themselves."""
        ends = {separator[at:] for at in range(1, len(separator))}
        bytewise = not separator.isascii()  # a character may be bytes of several tokens, none of which is text
        self._completing_ids = frozenset(
            at
            for at, text in enumerate(texts)
            if any(text.startswith(end) for end in ends) or (bytewise and "\N{REPLACEMENT CHARACTER}" in text)
        )
        """Tokens that may complete a separator which began in the token before."""
        self.filler_ids = frozenset(
            at for at, text in enumerate(texts) if text == separator or (text and not text.strip("\n"))
        )
        """Tokens that stay with the step that they follow."""

    def ends_step(self, token_ids: Sequence[int]) -> bool:
        """Whether the last of these tokens completes a separator that several tokens make up."""
        if token_ids[-1] not in self._completing_ids:
            return False
        start = max(0, len(token_ids) - 2 - len(self._separator.encode()))
        return self._separator in self._tokenizer.decode_after(token_ids[:start][-CONTEXT_TOKENS:], token_ids[start:])

    def split(self, context_ids: Sequence[int], token_ids: Sequence[int]) -> tuple[Step, ...]:
        """The steps of a sample that followed `context_ids`; one step if there is no separator."""
        context = tuple(context_ids[-CONTEXT_TOKENS:])
        ids = context + tuple(token_ids)
        steps: list[Step] = []
        start = len(context)
        while start < len(ids):
            end = self._end_of_step(ids, start)
            text = self._text(ids, start, end)
            if steps and not text:
                steps[-1] = Step(steps[-1].text, steps[-1].token_ids + ids[start:end])
            else:
                steps.append(Step(text, ids[start:end]))
            start = end
        return tuple(steps)

    def _text(self, ids: tuple[int, ...], start: int, end: int) -> str:
        return self._tokenizer.decode_after(ids[max(0, start - CONTEXT_TOKENS) : start], ids[start:end])

    def _end_of_step(self, ids: tuple[int, ...], start: int) -> int:
        end = self._first_separator(ids, start)
        while end < len(ids) and ids[end] in self.filler_ids:
            end += 1
        return end

    def _first_separator(self, ids: tuple[int, ...], start: int) -> int:
        """Where the first separator after `start` is complete; the end of `ids` if there is none."""
        whole = next((at for at in range(start, len(ids)) if ids[at] in self.separator_ids), len(ids))
        if self._separator not in self._text(ids, start, whole):
            return min(whole + 1, len(ids))
        # Several tokens make up an earlier separator, which is rare: look for the one that completes it.
        return next(end for end in range(start + 1, whole + 1) if self._separator in self._text(ids, start, end))
