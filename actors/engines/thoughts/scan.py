"""One sample while its tokens come: which thought is open, and how many tokens thoughts have taken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.engines.thoughts.marks import FoundMark, LastMark, MarkFinder
from records.path import Phases


class EarlyEnd(NamedTuple):
    """An end of a thought that came too early and has not been taken as one.

    Attributes:
        num_tokens: the last ones, with which it is spelled.
        lead: text before it in the first of them.
    """

    num_tokens: int
    lead: str


@dataclass(slots=True)
class ThoughtScan:
    """Begins after the prompt. What came before `start_call` are earlier steps, and what they were counted as stands.

    With a limit, no thought is begun, nor found to have been one, that would take thoughts above it.

    Attributes:
        finder: of the marks.
        open_pair: of the thought that goes on; None: the answer.
        most_tokens: of thoughts in a sample; None: any number.
        least_tokens: of thoughts before one may end.
        used: tokens of thoughts so far.
        early: the end that came just now with fewer than `least_tokens`: nothing more is taken in before it is dropped
            or accepted.
    """

    finder: MarkFinder
    open_pair: int | None
    most_tokens: int | None = None
    least_tokens: int = 0
    used: int = 0
    early: EarlyEnd | None = None
    _ids: list[int] = field(default_factory=list)
    _is_thinking: bytearray = field(default_factory=bytearray)  # [tokens]
    _open_after: bytearray = field(default_factory=bytearray)  # [tokens]
    _ends: list[LastMark] = field(default_factory=list)  # of thoughts
    _last: LastMark | None = None
    _refused: FoundMark | None = None
    _call_start: int = 0

    def start_call(self) -> None:
        """What came so far are the steps before."""
        self._call_start = len(self._ids)

    @property
    def num_tokens(self) -> int:
        """Taken in since `start_call`."""
        return len(self._ids) - self._call_start

    @property
    def at_limit(self) -> bool:
        """A thought is open that may have no further token."""
        return self.open_pair is not None and self.most_tokens is not None and self.used >= self.most_tokens

    def follow(self, token_ids: Sequence[int], begin: int) -> bool:
        """Take in what is new of a sample; whether it is to end here: at the limit, or at an early end.

        Args:
            token_ids: of the sample so far.
            begin: value of `num_tokens` when it began.
        """
        self.extend(token_ids[self.num_tokens - begin :])
        return self.early is not None or self.at_limit

    def extend(self, token_ids: Sequence[int]) -> None:
        """Take in what was sampled next."""
        begin, completing = len(self._ids), self.finder.completing_ids
        self._ids += token_ids
        for at in range(begin, len(self._ids)):
            if self._ids[at] in completing:
                self._fill(at)
                self._complete(at)
        self._fill(len(self._ids))

    def put(self, token_ids: Sequence[int]) -> None:
        """Take in tokens that nobody sampled: they may end a thought, and count to none."""
        begin, least_tokens = len(self._ids), self.least_tokens
        self.least_tokens = 0
        self.extend(token_ids)
        self.least_tokens = least_tokens
        self.used -= sum(self._is_thinking[begin:])
        self._is_thinking[begin:] = bytes(len(self._ids) - begin)

    def drop_early(self) -> None:
        """The early end was never sampled."""
        if self.early is None:
            raise ValueError("no end has come too early")
        left = len(self._ids) - self.early.num_tokens
        self.used -= sum(self._is_thinking[left:])
        del self._ids[left:], self._is_thinking[left:], self._open_after[left:]
        self.early = self._refused = None

    def accept_early(self) -> None:
        """It ends its thought after all, as every later end does."""
        if self._refused is None:
            raise ValueError("no end has come too early")
        at, mark = len(self._ids) - 1, self._refused
        self.early, self._refused, self.least_tokens = None, None, 0
        self._last = LastMark(at, mark.rest_chars)
        self._mark(at, mark)
        self._open_after[at] = self.open_pair is not None

    def is_open_after(self, place: int) -> bool:
        """Whether a thought is open behind the token at this place since `start_call`."""
        return bool(self._open_after[self._call_start + place])

    def was_put(self, place: int) -> bool:
        """Whether the token at this place is within a thought, and nobody sampled it."""
        return self.is_open_after(place) and not self._is_thinking[self._call_start + place]

    def phases(self, begin: int, end: int, text: str) -> Phases:
        """Of the step of the tokens [begin, end) since `start_call`, whose text is given."""
        begin, end = begin + self._call_start, end + self._call_start
        is_open = bool(self._open_after[end - 1]) if end else self.open_pair is not None
        ended = [mark for mark in self._ends if begin <= mark.token < end]
        if is_open:
            thought_chars = len(text)
        elif not ended:
            thought_chars = 0
        else:
            token, rest_chars = ended[-1]
            after = self.finder.tokenizer.decode_after(self._ids[: token + 1], self._ids[token + 1 : end])
            thought_chars = max(0, len(text) - len(after) - rest_chars)
        return Phases(sum(self._is_thinking[begin:end]), thought_chars, is_open)

    def _fill(self, until: int) -> None:
        """Tokens up to there have changed nothing."""
        count, is_open = until - len(self._is_thinking), self.open_pair is not None
        self._is_thinking += (b"\x01" if is_open else b"\x00") * count
        self._open_after += (b"\x01" if is_open else b"\x00") * count
        self.used += count * is_open

    def _complete(self, at: int) -> None:
        """Take in a token that may complete marks."""
        self._fill(at + 1)
        for mark in self.finder.found(self._ids, at, self._last):
            if self._is_early(at, mark):
                self.early, self._refused = EarlyEnd(mark.num_tokens, mark.lead), mark
                break
            self._last = LastMark(at, mark.rest_chars)
            self._mark(at, mark)
        self._open_after[at] = self.open_pair is not None

    def _is_early(self, at: int, mark: FoundMark) -> bool:
        """Whether a mark ends the open thought with too few tokens; not where an earlier call has begun it."""
        if self.open_pair is None or self.open_pair not in mark.ends:
            return False
        return self.used - mark.num_tokens < self.least_tokens and at + 1 - mark.num_tokens >= self._call_start

    def _mark(self, at: int, mark: FoundMark) -> None:
        if self.open_pair is not None and self.open_pair in mark.ends:
            self.open_pair = None
            self._ends.append(LastMark(at, mark.rest_chars))
        elif self.open_pair is None and mark.opens:
            if self._count(max(self._call_start, at + 1 - mark.num_tokens), at):
                self.open_pair = mark.opens[0]
        elif self.open_pair is None and self._count(self._call_start, at):
            self._open_after[self._call_start : at] = b"\x01" * (at - self._call_start)
            self._ends.append(LastMark(at, mark.rest_chars))

    def _count(self, begin: int, at: int) -> bool:
        """Count the tokens [begin, at] as thinking, unless that would be too many."""
        added = self._is_thinking[begin : at + 1].count(0)
        if self.most_tokens is not None and self.used + added > self.most_tokens:
            return False
        self._is_thinking[begin : at + 1] = b"\x01" * (at + 1 - begin)
        self.used += added
        return True
