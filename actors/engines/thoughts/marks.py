"""Finds the marks that begin and end thoughts in token ids, as each mark becomes complete."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from actors.engines.settings import Mark
from actors.engines.text import CONTEXT_TOKENS, TextTokenizer


class FoundMark(NamedTuple):
    """A mark that a token completes.

    Attributes:
        opens: the pairs that it is the beginning of, by number.
        ends: the pairs that it is the end of.
        num_tokens: that it is spelled with, the last one included.
        rest_chars: of the last token's text that follow the mark.
        lead: text of the first token before the mark.
    """

    opens: tuple[int, ...]
    ends: tuple[int, ...]
    num_tokens: int
    rest_chars: int
    lead: str = ""


class LastMark(NamedTuple):
    """Where a mark ended, so that no other one begins before: index of its last token, and `rest_chars`."""

    token: int
    rest_chars: int


@dataclass(frozen=True, slots=True)
class _Mark:
    spelling: Mark
    opens: tuple[int, ...]
    ends: tuple[int, ...]


class MarkFinder:
    """Knows a vocabulary and the marks of some pairs.

    Of marks that end at the same character the longest counts; marks do not overlap, the one that is complete first
    counts.

    Attributes:
        completing_ids: tokens at which a mark may be complete.
        pairs: as given.
        tokenizer: whose vocabulary it is.
    """

    def __init__(self, tokenizer: TextTokenizer, pairs: Sequence[tuple[Mark, Mark]]) -> None:
        """Look through the vocabulary once."""
        self.pairs = tuple(pairs)
        self.tokenizer = tokenizer
        self._by_last_id: defaultdict[int, list[tuple[tuple[int, ...], _Mark]]] = defaultdict(list)
        self._texts: list[tuple[str, _Mark]] = []
        for mark in _distinct(pairs):
            ids = _ids_of(tokenizer, mark.spelling)
            if ids is not None:
                self._by_last_id[ids[-1]].append((ids, mark))
            else:
                self._texts.append((str(mark.spelling), mark))
        for found in self._by_last_id.values():
            found.sort(key=lambda each: -len(each[0]))
        self._texts.sort(key=lambda each: -len(each[0]))
        self._window = 2 + max((len(text.encode()) for text, _ in self._texts), default=0)
        self._completing_text = completing_ids(tokenizer, [text for text, _ in self._texts])
        self.completing_ids = self._completing_text | frozenset(self._by_last_id)

    def opened_by(self, prompt: str) -> int | None:
        """The pair whose beginning is the last that a prompt says, white space aside; None: it says none."""
        said = prompt.rstrip()
        for number, (start, _) in enumerate(self.pairs):
            text = start if isinstance(start, str) else self.tokenizer.decode(start, special=True)
            if text.strip() and said.endswith(text.rstrip()):
                return number
        return None

    def found(self, ids: Sequence[int], at: int, last: LastMark | None) -> list[FoundMark]:
        """The marks that the token `ids[at]` completes, in the order of the text.

        Args:
            ids: sampled so far, from the beginning.
            at: index of a token in `completing_ids`.
            last: where the mark before ended.
        """
        earliest = 0 if last is None else last.token + 1
        for spelled, mark in self._by_last_id.get(ids[at], ()):
            begin = at + 1 - len(spelled)
            if begin >= earliest and tuple(ids[begin : at + 1]) == spelled:
                return [FoundMark(mark.opens, mark.ends, len(spelled), 0)]
        return self._found_in_text(ids, at, last) if ids[at] in self._completing_text else []

    def _found_in_text(self, ids: Sequence[int], at: int, last: LastMark | None) -> list[FoundMark]:
        start = max(0, at + 1 - self._window)
        ends = [len(self._settled(ids, start, end)) for end in range(start, at + 1)]  # [tokens]: where each begins
        text = self._text(ids, start, at + 1)
        consumed = 0
        if last is not None and last.token >= start:
            consumed = len(self._text(ids, start, last.token + 1)) - last.rest_chars
        found = []
        for end in range(ends[-1] + 1, len(text) + 1):
            for spelled, mark in self._texts:
                begin = end - len(spelled)
                if begin >= consumed and text.startswith(spelled, begin):
                    later = [place for place in ends if place > begin]
                    lead = text[ends[-len(later) - 1] : begin]
                    found.append(FoundMark(mark.opens, mark.ends, len(later) + 1, len(text) - end, lead))
                    consumed = end
                    break
        return found

    def _text(self, ids: Sequence[int], start: int, end: int) -> str:
        return self.tokenizer.decode_after(ids[max(0, start - CONTEXT_TOKENS) : start], ids[start:end])

    def _settled(self, ids: Sequence[int], start: int, end: int) -> str:
        """The text without a character at its end that further bytes may still change."""
        return self._text(ids, start, end).rstrip("\N{REPLACEMENT CHARACTER}")


def _distinct(pairs: Sequence[tuple[Mark, Mark]]) -> list[_Mark]:
    """Each spelling once: several pairs may begin, or end, with the same."""
    spellings = dict.fromkeys(mark for pair in pairs for mark in pair)
    return [
        _Mark(
            spelling,
            opens=tuple(number for number, (start, _) in enumerate(pairs) if start == spelling),
            ends=tuple(number for number, (_, end) in enumerate(pairs) if end == spelling),
        )
        for spelling in spellings
    ]


def _ids_of(tokenizer: TextTokenizer, mark: Mark) -> tuple[int, ...] | None:
    """The token ids by which a mark is found; None where it is found by its text."""
    if not isinstance(mark, str):
        return tuple(mark)
    ids = tokenizer.encode(mark, special=False)
    by_ids = len(ids) == 1 or any(token_id in tokenizer.special_ids for token_id in ids)
    return ids if by_ids else None


def completing_ids(tokenizer: TextTokenizer, texts: Sequence[str]) -> frozenset[int]:
    """Tokens that may complete one of these texts; looks through the vocabulary once."""
    if not texts:
        return frozenset()
    endings = tuple({text[at:] for text in texts for at in range(len(text))})
    bytewise = any(not text.isascii() for text in texts)  # a character may be bytes of several tokens
    return frozenset(
        at
        for at, token in enumerate(tokenizer.vocabulary_texts())
        if any(text in token for text in texts)
        or token.startswith(endings)
        or (bytewise and "\N{REPLACEMENT CHARACTER}" in token)
    )
