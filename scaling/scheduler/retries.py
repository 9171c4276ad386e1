"""Calls whose engine lives and had no use for them: which are sent again, and how."""

from records.calls import CallFailed, PrefixMissing

MAX_ATTEMPTS = 3
"""Times that a call is tried whose engine refuses it with a passing error."""


class Retries:
    """By task."""

    def __init__(self) -> None:
        self._attempts: dict[str, int] = {}
        self._in_full: set[str] = set()

    def in_full(self, key: str) -> bool:
        """Whether the call has to carry its whole prefix."""
        return key in self._in_full

    def error(self, key: str, result: PrefixMissing | CallFailed) -> str | None:
        """Why a task is given up; None: it is worth another try."""
        if isinstance(result, PrefixMissing):
            self._in_full.add(key)
            return None
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        return None if result.retryable and attempts < MAX_ATTEMPTS else result.error

    def forget(self, key: str) -> None:
        """A task is over."""
        self._attempts.pop(key, None)
        self._in_full.discard(key)
