"""The commit log from the writing side: the next commit goes to the next free number, or this writer is fenced.

    create <number>.json --made--> done
                         --exists--> read it: our own bytes (a lost reply)  --> done
                                              of a lower epoch              --> take it in, try the next number
                                              of a higher epoch             --> Fenced

A draft that fails in the store has to be handed in again, unchanged, before any other: it may have been made all the
same, and is recognised by its content.
"""

from dataclasses import dataclass

from actors.writer.buffer import Buffer
from actors.writer.tidying import Tidied
from records.failure import Fenced, StoreFailed
from records.jsonio import encode
from records.run_folder import layout
from records.run_folder.checkpoints import encode_checkpoint, read_commit, read_log
from records.run_folder.commits import Commit, Compaction, OpenRows, Part, Totals
from records.run_folder.log import CHECKPOINT_EVERY, Log
from records.run_folder.store import Store
from records.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A commit that has no number yet; the fields are those of `Commit`."""

    parts: tuple[Part, ...] = ()
    batches: tuple[int, ...] = ()
    opened: tuple[OpenRows, ...] = ()
    closed: tuple[str, ...] = ()
    totals: Totals
    open_tokens: int
    lost_tokens: int
    leased_tokens: int
    created_at: str
    usage: Usage | None = None
    compactions: tuple[Compaction, ...] = ()
    removed: tuple[int, ...] = ()


def next_draft(
    log: Log,
    buffer: Buffer,
    *,
    parts: tuple[Part, ...],
    tidied: Tidied,
    wall_seconds: float,
    leased_tokens: int,
    final: bool,
    usage: Usage | None,
    created_at: str,
) -> Draft:
    """The commit that makes what waits in `buffer` visible after `log`.

    Args:
        log: what is visible.
        buffer: rows that wait.
        parts: that hold them.
        tidied: what is done beside them.
        wall_seconds: that the run was held since the commit before.
        leased_tokens: the ceiling; what rows and losses come to, if that is more.
        final: the ceiling is what was spent.
        usage: of the replicas so far.
        created_at: UTC, ISO 8601.
    """
    opened = buffer.open_rows
    closed = [log.open_problems[row.problem_id] for row in buffer.problems if row.problem_id in log.open_problems]
    totals = log.totals.plus(buffer.problems, wall_seconds=wall_seconds)
    open_tokens = log.open_tokens + sum(rows.generated_tokens for rows in opened)
    open_tokens -= sum(problem.generated_tokens for problem in closed)
    accounted = totals.generated_tokens + open_tokens
    ceiling = max(leased_tokens, accounted + log.lost_tokens)
    return Draft(
        parts=parts,
        batches=buffer.batches,
        opened=opened,
        closed=tuple(problem.problem_id for problem in closed),
        totals=totals,
        open_tokens=open_tokens,
        lost_tokens=ceiling - accounted if final else log.lost_tokens,
        leased_tokens=ceiling,
        created_at=created_at,
        usage=usage,
        compactions=tidied.compactions,
        removed=tidied.removed,
    )


class CommitLog:
    """The log as one writer of one epoch knows it, and its only way to add to it."""

    def __init__(self, store: Store, *, epoch: int, writer: str) -> None:
        self._store = store
        self._epoch = epoch
        self._writer = writer
        self.log = Log()
        # Of the last one that was thought of: to make one costs too.
        self._checkpoint_bytes = 0

    def fence(self, created_at: str) -> None:
        """Read the log and shut lower epochs out: afterwards `log` is the run's state and nobody else changes it.

        What lower epochs had leased and not accounted for is lost from here on. Safe to repeat.

        Raises:
            Fenced: a higher epoch is already there.
        """
        self.log = read_log(self._store)
        while self.log.epoch != self._epoch:
            self._refuse_higher(self.log.epoch)
            draft = Draft(
                totals=self.log.totals,
                open_tokens=self.log.open_tokens,
                lost_tokens=self.log.leased_tokens - self.log.accounted_tokens,
                leased_tokens=self.log.leased_tokens,
                created_at=created_at,
            )
            # A commit that beat this one may have changed the totals, so each try is a new draft.
            self._attempt(draft)

    def commit(self, draft: Draft) -> int:
        """Make `draft` visible; its number.

        Raises:
            Fenced: a higher epoch has the run.
            StoreFailed: it may or may not have been made; hand the same draft in again.
        """
        while not self._attempt(draft):
            pass
        return self.log.number

    def write_checkpoint(self) -> None:
        """Write a checkpoint if one is due: late enough that those of a run are no larger than its commits."""
        log = self.log
        if log.number - log.checkpoint < CHECKPOINT_EVERY or log.bytes_since < self._checkpoint_bytes:
            return
        data = encode_checkpoint(log)
        self._checkpoint_bytes = len(data)
        if log.bytes_since >= len(data):
            self._store.create(layout.checkpoint_name(log.number), data)
            log.checkpoint, log.bytes_since = log.number, 0

    def _attempt(self, draft: Draft) -> bool:
        """Try the next number once; False if another commit had it, which is then part of `log`."""
        commit = Commit(
            number=self.log.number + 1,
            epoch=self._epoch,
            writer=self._writer,
            parts=draft.parts,
            batches=draft.batches,
            opened=draft.opened,
            closed=draft.closed,
            totals=draft.totals,
            open_tokens=draft.open_tokens,
            lost_tokens=draft.lost_tokens,
            leased_tokens=draft.leased_tokens,
            usage=draft.usage,
            created_at=draft.created_at,
            compactions=draft.compactions,
            removed=draft.removed,
        )
        data = encode(commit)
        made = self._store.create(layout.commit_name(commit.number), data)
        winner = commit if made else read_commit(self._store, commit.number)
        self._refuse_higher(winner.epoch)
        if winner != commit and winner.epoch == self._epoch:
            raise StoreFailed(f"{self._store.uri}: two writers hold epoch {self._epoch}; the store let both create it")
        self.log.add(winner)
        self.log.bytes_since += len(data)
        return winner == commit

    def _refuse_higher(self, epoch: int) -> None:
        if epoch > self._epoch:
            raise Fenced(f"epoch {epoch} has taken {self._store.uri} over from epoch {self._epoch}")
