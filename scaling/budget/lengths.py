"""How long samples turn out, so that near the cap a grant is big enough to be of use."""

from bisect import bisect_left, insort
from collections import deque

from records.request import Until


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
