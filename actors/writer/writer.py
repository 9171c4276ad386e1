"""The writer: finished problems and the steps of open ones in, committed part files out, each problem exactly once.

    append --> buffer --flush--> parts in the spool --upload--> parts in the store --commit--> visible
                                 (checked there)                (nobody looks yet)   ^
                                                                  create-if-absent; a higher epoch: Fenced

What the caller must do:
- open one run per writer, and number batches upwards from `RunState.next_batch`;
- keep what it appended until a `flush` has returned, for only then it is durable. After `StoreFailed` call the same
  method again: the writer goes on where it stopped. A writer that died is replaced by a new one on the same run, opened
  with `take_over=True` and sent again, under the same batch numbers, whatever no `flush` has confirmed. Batches that
  were committed after all are recognised and ignored;
- commit a spending ceiling (`flush(leased_tokens)`) before spending up to it;
- stop at `Fenced`: another controller has the run;
- call `heartbeat` several times within `fresh_s`; it may run in another thread beside a slow `flush`.

A problem's row becomes visible with its steps and requests, or after them. Small parts become large ones beside the
commits (`actors.writer.tidying`). A killed writer leaves behind at most parts
that no commit names, and its folder in the spool; no reader sees either.
"""

import shutil
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from actors.writer.buffer import Buffer
from actors.writer.commit_log import CommitLog, Draft, next_draft
from actors.writer.compaction import PartSizes
from actors.writer.lease import Claim, HeldLease, acquire, beating, newest_lease, read_leases
from actors.writer.parts import write_parts
from actors.writer.run_state import RunState, agree_on_manifest, read_run_state
from actors.writer.store_clock import StoreClock
from actors.writer.tidying import KEEP_REPLACED_S, Tidied, Tidying
from records.jsonio import encode
from records.packing import Columns
from records.rows import ProblemRow
from records.run_folder import layout
from records.run_folder.checkpoints import read_log
from records.run_folder.commits import Part
from records.run_folder.epochs import Owner, utc
from records.run_folder.log import Log, Success
from records.run_folder.manifest import FREE_SETTINGS, Manifest
from records.run_folder.store import Store
from records.usage import Usage

FRESH_S = 30.0
"""A lease whose last heartbeat is younger than this is held by someone alive."""
PART_SIZES = PartSizes()


@dataclass(slots=True)
class _Held:
    """What a writer has while it holds a run."""

    lease: HeldLease
    commits: CommitLog
    buffer: Buffer
    counted_until_s: float
    """Up to here the wall seconds stand in a commit."""


@dataclass(slots=True)
class _Flush:
    """One commit on its way: the parts still to upload, then the draft; `problems` are its rows."""

    uploads: list[tuple[Part, Path]]
    draft: Draft
    problems: int


class Writer:
    """Writes one run; see the module for what it promises and asks. Every method may raise `StoreFailed`.

    Args:
        store: of the run.
        spool: local folder for parts on their way; this writer uses a folder of its own in it.
        fresh_s: how old the heartbeat of a living owner may be, in seconds.
        clock: seconds since 1970; None: the store's.
        sizes: of parts, from which on they are merged.
        keep_replaced_s: how long parts stay that others stand for.
        executor: who merges parts; None: a thread of the writer's own.
    """

    def __init__(
        self,
        store: Store,
        spool: Path,
        *,
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] | None = None,
        sizes: PartSizes = PART_SIZES,
        keep_replaced_s: float = KEEP_REPLACED_S,
        executor: Executor | None = None,
    ) -> None:
        self._store = store
        self._token = uuid4().hex
        self._spool = spool / self._token
        self._tidying = Tidying(store, self._spool, sizes=sizes, keep_s=keep_replaced_s, executor=executor)
        self._fresh_s = fresh_s
        self._clock = StoreClock(store) if clock is None else clock
        self._held: _Held | None = None
        self._under_way: _Flush | None = None
        # Whoever stops a run in the middle of a flush asks for the release from another thread.
        self._one_at_a_time = threading.RLock()

    def open(
        self,
        manifest: Manifest,
        owner: Owner,
        *,
        take_over: bool = False,
        again: bool = False,
        free: tuple[str, ...] = FREE_SETTINGS,
    ) -> RunState:
        """Begin the run or go on with it: check the manifest, take the next epoch, fence, and only then read the state.

        Args:
            manifest: what the run is begun with; what stands in an older one has to agree.
            owner: the controller's process (`actors.writer.lease.this_process`).
            take_over: even from a controller that is alive.
            again: even from the owner's own earlier writer, which is dead.
            free: recipe keys that may differ, as `records.run_folder.manifest.differences` takes them.

        Raises:
            RunMismatch: the run was begun with something that decides results otherwise.
            RunLocked: another controller is alive and `take_over` is not set.
            Fenced: another controller took the run at the same time.
        """
        if self._held is not None:
            raise AssertionError("a writer opens one run once")
        drift = agree_on_manifest(self._store, manifest, free)
        newest = newest_lease(self._store)
        # Asked after the lease was read: a controller finishes the run before it releases its lease.
        if self._store.read(layout.SUCCESS) is not None:
            earlier = [newest] if newest is not None else []
            return read_run_state(self._store, read_log(self._store), earlier=earlier, drift=drift, finished=True)
        now_s = self._clock()
        claim = Claim(writer=self._token, owner=owner, take_over=take_over, again=again, fresh_s=self._fresh_s)
        lease = acquire(self._store, claim, newest, now_s)
        held = HeldLease(self._store, lease)
        commits = CommitLog(self._store, epoch=lease.epoch, writer=self._token)
        with beating(held, self._clock, self._fresh_s / 6):
            commits.fence(utc(now_s))
            earlier = read_leases(self._store, lease.epoch)
            state = read_run_state(self._store, commits.log, earlier=earlier, drift=drift)
        self._held = _Held(held, commits, Buffer(state.done, commits.log.batches), now_s)
        return state

    def heartbeat(self, progress: Mapping[str, object], usage: Usage | None = None) -> None:
        """Say that the controller is alive, how far it is (JSON values), and what its replicas have come to.

        Nothing happens while no run is held.

        Raises:
            Fenced: another controller has taken the run. Noticed here, it saves tokens that could not be committed.
        """
        held = self._held
        if held is not None:
            held.lease.heartbeat(self._clock(), progress, usage)

    def append(self, batch: int, problems: Sequence[ProblemRow], columns: Sequence[Columns] = ()) -> None:
        """Buffer finished problems, and rows of these and of open ones. A batch number that is known is ignored.

        `records.packing.packed_rows` makes both of records.

        Raises:
            AssertionError: a problem has a row already.
        """
        with self._one_at_a_time:
            self._run().buffer.append(batch, problems, columns)

    def num_uncommitted(self) -> int:
        """Problems that were appended and are not durable yet."""
        return len(self._run().buffer) + (self._under_way.problems if self._under_way else 0)

    def flush(self, leased_tokens: int | None = None, usage: Usage | None = None) -> int | None:
        """Commit what is buffered and raise the spending ceiling; the commit's number, None if there was nothing to do.

        Args:
            leased_tokens: ceiling on what the whole run will have spent until the next flush, lost tokens included.
                It never falls here; `release` and `finish` give back what was not used.
            usage: of the replicas so far, for the commit's record.

        Raises:
            Fenced: another controller has the run.
        """
        with self._one_at_a_time:
            run = self._run()
            run.commits.write_checkpoint()
            number = self._carry_on()
            log = run.commits.log
            ceiling = max(leased_tokens or 0, log.leased_tokens)
            if not run.buffer.empty or ceiling > log.leased_tokens:
                self._prepare(ceiling, usage=usage)
                number = self._carry_on()
            if number is not None:
                self._tidying.begin(log, self._clock())
            return number

    def finish(self, problem_ids: Collection[str], spent_tokens: int) -> Success:
        """Commit the rest, write `_SUCCESS`, and let the run go.

        Args:
            problem_ids: of the whole input.
            spent_tokens: as for `release`.

        Raises:
            AssertionError: an input has no row, or a row has no input.
            Fenced: another controller has the run.
        """
        with self._one_at_a_time:
            self._run().buffer.check_complete(problem_ids)
            log = self._settle(spent_tokens)
            success = Success.of(log, finished_at=utc(self._clock()))
            self._store.create(layout.SUCCESS, encode(success))
            self._let_go()
            return success

    def release(self, spent_tokens: int) -> None:
        """Commit the rest, give back what was leased and not spent, and let the run go: a clean stop. Safe to repeat.

        Args:
            spent_tokens: what the run has spent, in all epochs, lost tokens included, by the ledger. What of it stands
                in no row (problems that were stopped in the middle) is lost. At least what rows and earlier losses say.

        Raises:
            Fenced: another controller has the run.
        """
        with self._one_at_a_time:
            if self._held is not None:
                self._settle(spent_tokens)
                self._let_go()

    def _run(self) -> _Held:
        if self._held is None:
            raise AssertionError("the writer holds no run: open() comes first, and nothing after release() or finish()")
        return self._held

    def _prepare(self, leased_tokens: int, *, usage: Usage | None = None, final: bool = False) -> None:
        """Turn the buffer into a flush: parts in the spool, and a draft. If `final`, the ceiling is what was spent."""
        run = self._run()
        log = run.commits.log
        now_s, tidied = self._clock(), self._tidying.done()
        uploads = write_parts(self._spool, run.buffer, epoch=log.epoch, commit=log.number + 1)
        draft = next_draft(
            log,
            run.buffer,
            parts=tuple(part for part, _ in uploads),
            tidied=tidied,
            wall_seconds=max(0.0, now_s - run.counted_until_s),
            leased_tokens=leased_tokens,
            final=final,
            usage=usage,
            created_at=utc(now_s),
        )
        self._under_way = _Flush(uploads, draft, len(run.buffer))
        self._tidying.forget(tidied)
        run.buffer.clear()
        run.counted_until_s = now_s

    def _carry_on(self) -> int | None:
        """Bring the flush under way to its commit, from wherever it stopped; the commit's number."""
        flush = self._under_way
        if flush is None:
            return None
        while flush.uploads:
            part, file = flush.uploads[0]
            self._store.upload(part.name, file)
            del flush.uploads[0]
            file.unlink(missing_ok=True)
        number = self._run().commits.commit(flush.draft)
        self._under_way = None
        return number

    def _settle(self, spent_tokens: int) -> Log:
        """Commit all, with a ceiling at what was spent; nothing is written where that stands already."""
        run = self._run()
        run.commits.write_checkpoint()
        self._carry_on()
        log = run.commits.log
        settled = max(spent_tokens, log.spent_tokens) == log.spent_tokens == log.leased_tokens
        tidied = self._tidying.done(wait=True)  # whatever follows: the spool goes with the run
        if not run.buffer.empty or not settled or tidied != Tidied():
            self._prepare(spent_tokens, final=True)
            self._carry_on()
        return log

    def _let_go(self) -> None:
        self._run().lease.release(self._clock())
        self._held = None
        shutil.rmtree(self._spool, ignore_errors=True)
