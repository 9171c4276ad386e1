"""What failures have in common: many fail for one reason, each with names and numbers of its own in its error."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_MAX_LENGTH = 200


def reason_of(error: str) -> str:
    """An error without what is one problem's own: its first line, quoted names and numbers left out.

    >>> reason_of("problem 'p7': 2100 tokens do not fit into 2048")
    "problem '...': N tokens do not fit into N"
    """
    line = error.partition("\n")[0]
    return _NUMBER.sub("N", _QUOTED.sub("'...'", line))[:_MAX_LENGTH]


@dataclass(frozen=True, slots=True)
class FailureReason:
    """One reason why problems failed.

    Attributes:
        problems: that failed for it.
        example: the first line of the error of the first of them.
    """

    problems: int
    example: str


class FailureReasons:
    """Counts errors by their reason."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def add(self, errors: Iterable[str]) -> None:
        """Count some more."""
        for error in errors:
            reason = reason_of(error)
            self._counts[reason] = self._counts.get(reason, 0) + 1
            self._examples.setdefault(reason, error.partition("\n")[0][:_MAX_LENGTH])

    def __len__(self) -> int:
        """Number of reasons."""
        return len(self._counts)

    def commonest(self, most: int) -> tuple[FailureReason, ...]:
        """The reasons of most problems, at most so many; among equals the one that came first."""
        ranked = sorted(self._counts, key=lambda reason: -self._counts[reason])
        return tuple(FailureReason(self._counts[reason], self._examples[reason]) for reason in ranked[:most])
