"""The budget ledger: where every generated token of the run's cap is.

A token is in exactly one place, and remaining + reserved + spent == total always:

    remaining --grant--> reserved --settle--> spent
        ^                   |
        +----- unused ------+

A spending ceiling (the lease) is committed ahead of the spending: spent + reserved never exceeds it, so after a crash
what was leased and not accounted for can be charged as lost. Without a cap everything is granted and only counted.
Where problems compete in windows, each window may spend up to an end of its own; the rest remains for those after it.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from records.request import Until


class Refusal(Enum):
    """Why nothing was granted."""

    WAIT = "wait"
    """Tokens may come back when reservations settle."""
    LEASE = "lease"
    """The committed ceiling has to be raised first."""
    EXHAUSTED = "exhausted"
    """There is nothing left and nothing will come back."""


@dataclass(kw_only=True)
class Ledger:
    """Who holds how many tokens.

    >>> ledger = Ledger(total_tokens=100, leased_tokens=100)
    >>> ledger.grant("first", wanted_tokens=60, useful_tokens=30)
    60
    >>> ledger.grant("second", wanted_tokens=60, useful_tokens=30)  # clamped to what is left
    40
    >>> ledger.grant("third", wanted_tokens=60, useful_tokens=30)  # until the others settle
    <Refusal.WAIT: 'wait'>
    >>> ledger.settle("first", used_tokens=20)
    60
    >>> ledger.grant("third", wanted_tokens=60, useful_tokens=30)
    40
    >>> ledger.remaining_tokens, ledger.reserved_tokens, ledger.spent_tokens
    (0, 80, 20)

    Attributes:
        total_tokens: the run's cap on generated tokens; None for no cap.
        spent_tokens: settled, in this and earlier epochs, lost ones included.
        leased_tokens: the committed ceiling; None while there is no cap.
        window_end_tokens: what may be spent before the next window begins; None: all there is.
    """

    total_tokens: int | None = None
    spent_tokens: int = 0
    leased_tokens: int | None = None
    window_end_tokens: int | None = None
    _reserved: dict[str, int] = field(default_factory=dict, init=False)
    _reserved_tokens: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _blocked_tokens: int = field(default=0, init=False)

    @property
    def reserved_tokens(self) -> int:
        """Tokens held by work in flight."""
        return self._reserved_tokens

    @property
    def remaining_tokens(self) -> int | None:
        """Tokens nobody holds; negative only when earlier epochs spent above a cap lowered since. None: no cap."""
        if self.total_tokens is None:
            return None
        return self.total_tokens - self.spent_tokens - self._reserved_tokens

    @property
    def exhausted(self) -> bool:
        """Nothing is left, of the run or of its present window, and nothing will come back."""
        if self._closed:
            return True
        end = self._end_tokens
        return end is not None and self.spent_tokens >= end

    def begin_window(self, *, num_problems: int, num_left: int, held_tokens: int = 0) -> None:
        """From now on spend no more than the share of the next `num_problems`; under a cap only."""
        if self.total_tokens is not None:
            left = max(0, self.total_tokens - self.spent_tokens)
            share = window_share(left, held_tokens, num_problems=num_problems, num_left=num_left)
            self.window_end_tokens = self.spent_tokens + share

    def close(self) -> None:
        """Grant nothing more (a limit in time is reached); what is in flight still settles."""
        self._closed = True

    def grant(self, key: str, *, wanted_tokens: int, useful_tokens: int) -> int | Refusal:
        """Reserve up to `wanted_tokens` for `key` and say how many.

        Near the cap the grant is clamped to what is left, as long as that is `useful_tokens` (enough for most samples);
        below that it waits for reservations to settle, and takes the rest only when none is out.
        """
        if key in self._reserved:
            return self._reserved[key]
        if self.exhausted:
            return Refusal.EXHAUSTED
        granted = self._affordable(wanted_tokens, useful_tokens)
        if isinstance(granted, int):
            self._reserved[key] = granted
            self._reserved_tokens += granted
        return granted

    def settle(self, key: str, *, used_tokens: int) -> int:
        """Spend `used_tokens` of what `key` holds and give the rest back; safe to repeat.

        Returns:
            What had been granted; 0 for a key that holds nothing.

        Raises:
            ValueError: more was used than granted, which the engine's `max_tokens` makes impossible.
        """
        granted = self._reserved.get(key)
        if granted is None:
            return 0
        if not 0 <= used_tokens <= granted:
            raise ValueError(f"{key} used {used_tokens} tokens of {granted} granted")
        del self._reserved[key]
        self._reserved_tokens -= granted
        self.spent_tokens += used_tokens
        return granted

    def next_lease(self, headroom_tokens: int) -> int | None:
        """The ceiling to commit next: ahead by the headroom, or by the grant that waits for it if that is more.

        None when there is no cap, or when the committed ceiling reaches that far.

        >>> ledger = Ledger(total_tokens=100, leased_tokens=40)
        >>> ledger.grant("first", wanted_tokens=60, useful_tokens=30)
        <Refusal.LEASE: 'lease'>
        >>> ledger.next_lease(headroom_tokens=2)
        60
        """
        if self.total_tokens is None:
            return None
        ahead = max(headroom_tokens, self._blocked_tokens)
        ceiling = min(self.total_tokens, self.spent_tokens + self._reserved_tokens + ahead)
        return ceiling if ceiling > (self.leased_tokens or 0) else None

    @property
    def _end_tokens(self) -> int | None:
        """Up to where may be spent now; None without a cap."""
        total, window_end = self.total_tokens, self.window_end_tokens
        if total is None or window_end is None:
            return window_end if total is None else total
        return min(total, window_end)

    def _affordable(self, wanted_tokens: int, useful_tokens: int) -> int | Refusal:
        end = self._end_tokens
        if end is None:
            return wanted_tokens
        remaining = end - self.spent_tokens - self._reserved_tokens
        useful = min(wanted_tokens, max(1, useful_tokens))
        if remaining < useful and self._reserved:
            return Refusal.WAIT
        granted = min(wanted_tokens, remaining)
        leased = self.leased_tokens or 0
        if self.spent_tokens + self._reserved_tokens + granted > leased:
            self._blocked_tokens = max(self._blocked_tokens, granted)
            return Refusal.LEASE
        return granted


class LengthEstimate:
    """A high quantile of the lengths (tokens) seen lately, per kind of expansion."""

    def __init__(self, *, quantile: float = 0.95, window: int = 512) -> None:
        self._quantile = quantile
        self._window = window
        self._seen = {until: deque[int]() for until in Until}
        self._ordered: dict[Until, list[int]] = {until: [] for until in Until}

    def observe(self, until: Until, num_tokens: int) -> None:
        """A sample of this kind took `num_tokens`."""
        seen, ordered = self._seen[until], self._ordered[until]
        if len(seen) == self._window:
            del ordered[bisect_left(ordered, seen.popleft())]
        seen.append(num_tokens)
        insort(ordered, num_tokens)

    def useful_tokens(self, until: Until, max_tokens: int) -> int:
        """Tokens that are enough for most samples of this kind; `max_tokens` while none was seen."""
        ordered = self._ordered[until]
        if not ordered:
            return max_tokens
        return min(max_tokens, ordered[min(len(ordered) - 1, int(self._quantile * len(ordered)))])


def window_share(left_tokens: int, held_tokens: int, *, num_problems: int, num_left: int) -> int:
    """Tokens that a window may spend: in proportion to its problems, of what the problems that are left have together.

    Args:
        left_tokens: of the run's cap.
        held_tokens: what the window's problems were given in earlier epochs; it counts as theirs.
        num_problems: in the window.
        num_left: without a row, those of the window among them.
    """
    fair = (left_tokens + held_tokens) * num_problems // num_left
    return min(max(0, fair - held_tokens), left_tokens)
