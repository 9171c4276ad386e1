"""Why problems failed, read from the rows of a run: each row once, and none beyond the last failed row."""

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
        self._num_read, self._num_found = 0, 0

    def read(self, parts: Sequence[Part], num_failed: int) -> tuple[FailureReason, ...]:
        """The reasons so far.

        Args:
            parts: all visible ones of `problems`, in commit order.
            num_failed: failed problems in them; once so many are found, no more is read.

        Raises:
            StoreFailed: a part is gone or not what was committed.
        """
        start = 0
        for part in parts[:MAX_PARTS]:
            if self._num_found >= num_failed:
                break
            # A part that took the place of others begins with rows that are known.
            known, start = max(0, self._num_read - start), start + part.rows
            if known < part.rows:
                rows = read_columns(self._store, part, ("error",)).slice(known)
                errors = rows.column("error").drop_null().to_pylist()
                self._reasons.add(errors)
                self._num_found += len(errors)
                self._num_read = start
        return self._reasons.commonest(MAX_SHOWN)
