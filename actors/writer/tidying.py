"""What a writer does beside its commits: small parts become large ones, and what nobody reads any more is deleted.

    begin(log) --in another thread--> merge due parts, upload the new one --> done() --> next commit: `compactions`
                                      delete parts replaced long ago       -->           `removed`

Nothing here is visible before a commit says so, and nothing that is visible is deleted: what a visible commit has
replaced stays replaced for ever, so a writer that was fenced meanwhile does no harm either.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from actors.writer.compaction import PartSizes, due_parts, merge_parts
from records.failure import StoreFailed
from records.run_folder.checkpoints import read_commit
from records.run_folder.commits import Compaction, Part
from records.run_folder.layout import TABLES
from records.run_folder.log import Log
from records.run_folder.parallel import in_parallel
from records.run_folder.store import Store

KEEP_REPLACED_S = 3600.0
"""How long parts stay that others stand for: whoever took a list of parts may read them for so long."""
PAUSE_COMMITS = 20
"""Commits without another try after the store has failed one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tidied:
    """What the next commit is to say.

    Attributes:
        compactions: parts that are in the store, and those that they stand for.
        removed: commits whose replaced parts are deleted.
    """

    compactions: tuple[Compaction, ...] = ()
    removed: tuple[int, ...] = ()


class Tidying:
    """The work that is under way, at most one at a time.

    Args:
        store: of the run.
        folder: on a local disk, for merged parts on their way.
        sizes: of parts.
        keep_s: how long replaced parts stay.
        executor: who does it; None: a thread of its own.
    """

    def __init__(
        self, store: Store, folder: Path, *, sizes: PartSizes, keep_s: float, executor: Executor | None = None
    ) -> None:
        self._store, self._folder = store, folder
        self._sizes, self._keep_s = sizes, keep_s
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="tidy")
        self._under_way: Future[Tidied] | None = None
        self._pause = 0

    def begin(self, log: Log, now_s: float) -> None:
        """Begin what is due after `log`, of which this writer made the last commit; nothing while something waits."""
        if self._under_way is not None:
            return
        if self._pause:
            self._pause -= 1
            return
        old = [one.commit for one in takewhile(lambda one: now_s - _moment_s(one.at) >= self._keep_s, log.replaced)]
        due = next((parts for table in TABLES if (parts := due_parts(log.parts_of(table), self._sizes))), ())
        if old or due:
            self._under_way = self._executor.submit(self._work, old, due, log.epoch, log.number + 1)

    def done(self, *, wait: bool = False) -> Tidied:
        """What is done and stands in no commit yet; `wait` for what is under way. `forget` it once it is committed."""
        if self._under_way is None or not (wait or self._under_way.done()):
            return Tidied()
        try:
            return self._under_way.result()
        except StoreFailed as failed:
            _log.warning("merging small parts is put off: %s", failed)
            self._under_way, self._pause = None, PAUSE_COMMITS
            return Tidied()

    def forget(self, tidied: Tidied) -> None:
        """It is in a commit."""
        if tidied != Tidied():
            self._under_way = None

    def _work(self, old: Sequence[int], due: Sequence[Part], epoch: int, commit: int) -> Tidied:
        for number in old:
            names = [name for one in read_commit(self._store, number).compactions for name in one.replaces]
            list(in_parallel(self._store.delete, names))
        return Tidied(self._merged(due, epoch, commit) if due else (), tuple(old))

    def _merged(self, due: Sequence[Part], epoch: int, commit: int) -> tuple[Compaction, ...]:
        [table] = (table for table in TABLES if table == due[0].table)
        part, file = merge_parts(self._store, self._folder, table, due, epoch=epoch, commit=commit)
        try:
            self._store.upload(part.name, file)
        finally:
            file.unlink(missing_ok=True)
        return (Compaction(part, tuple(one.name for one in due)),)


def _moment_s(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
