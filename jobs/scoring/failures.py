"""Why problems failed, read from the rows of a run: each part once, and none beyond the last failed row."""

from collections.abc import Sequence

from actors.writer.parts import read_columns
from records.reasons import FailureReason, FailureReasons
from records.run_folder.commits import Part
from records.run_folder.store import Store

MAX_PARTS = 200
"""Parts that are read for reasons, so that the status of a long run stays quick; failures that matter come early."""
MAX_SHOWN = 3


class FailureReader:
    """Reads the commonest reasons of failed problems, again and again.

    Args:
        store: of the run.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reasons = FailureReasons()
        self._num_parts, self._num_found = 0, 0

    def read(self, parts: Sequence[Part], num_failed: int) -> tuple[FailureReason, ...]:
        """The reasons so far.

        Args:
            parts: all visible ones of `problems`, in commit order.
            num_failed: failed problems in them; once so many are found, no more is read.

        Raises:
            StoreFailed: a part is gone or not what was committed.
        """
        while self._num_found < num_failed and self._num_parts < min(len(parts), MAX_PARTS):
            errors = (
                read_columns(self._store, parts[self._num_parts], ("error",)).column("error").drop_null().to_pylist()
            )
            self._reasons.add(errors)
            self._num_found += len(errors)
            self._num_parts += 1
        return self._reasons.commonest(MAX_SHOWN)
