import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writer.commit_log import CommitLog, Draft
from actors.writer.lease import newest_lease, this_process
from actors.writer.parts import check_part, write_part
from actors.writer.run_state import RunState
from actors.writer.writer import FRESH_S, Writer
from cluster.s3 import S3Store
from cluster.store import LocalStore
from records.failure import Fenced, RunLocked, RunMismatch, StoreFailed
from records.jsonio import decode, encode
from records.packing import packed_rows
from records.rows import ProblemRecord
from records.run_folder import layout
from records.run_folder.checkpoints import read_commit, read_log
from records.run_folder.commits import Totals
from records.run_folder.epochs import Lease, Owner
from records.run_folder.log import CHECKPOINT_EVERY, Success
from records.run_folder.reader import read_run
from records.run_folder.store import Store
from records.schemas import to_table
from records.scratch import process_start
from tests.records import builders
from tests.records.stores import Crash, FaultyStore, MemoryStore
from tests.services.radosgw import RadosGateway
from tests.services.servers import Bucket
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

T = TypeVar("T")

PROBLEM_IDS = [f"p{number}" for number in range(6)]
RECORDS = {problem_id: builders.record(problem_id) for problem_id in PROBLEM_IDS}  # 10 tokens each
ELSEWHERE = Owner("another-host", "boot/pid:[1]", 4711, 99)


@dataclass
class Clock:
    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Desk:
    """One run and the writers that come to it."""

    folder: Path
    store: Store
    clock: Clock = field(default_factory=Clock)

    def writer(self, store: Store | None = None) -> Writer:
        return Writer(store or self.store, self.folder / "spool", clock=self.clock)

    def open(self, *, take_over: bool = False, owner: Owner = ELSEWHERE) -> tuple[Writer, RunState]:
        writer = self.writer()
        return writer, writer.open(builders.manifest(), owner, take_over=take_over)

    def commits(self) -> list[int]:
        return [number for name in self.store.list(layout.COMMITS) if (number := layout.commit_number(name))]


@pytest.fixture(params=["memory", "moto", "radosgw"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    if request.param == "memory":
        return Desk(tmp_path, MemoryStore())
    bucket: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    return Desk(tmp_path, S3Store(bucket.uri("run")))


def some(*numbers: int) -> list[ProblemRecord]:
    return [RECORDS[f"p{number}"] for number in numbers]


# The plain course of a run


def test_a_run_from_beginning_to_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, LocalStore(tmp_path / "run"))
    writer, state = desk.open()
    assert (state.epoch, state.next_commit, state.next_batch, state.finished) == (1, 2, 0, False)
    assert (state.done, state.spent_tokens, state.leased_tokens, state.previous) == (frozenset(), 0, 0, None)
    assert writer.flush(100) == 2
    writer.append(0, *packed_rows(some(0, 1, 2)))
    assert writer.num_uncommitted() == 3
    assert writer.flush(100) == 3
    assert writer.num_uncommitted() == 0
    assert writer.flush(100) is None
    writer.append(1, *packed_rows(some(3, 4, 5)))
    desk.clock.now_s += 7
    success = writer.finish(PROBLEM_IDS, spent_tokens=60)
    assert (success.commit, success.epoch, success.num_problems, success.lost_tokens) == (4, 1, 6, 0)
    assert (success.totals.generated_tokens, success.totals.wall_seconds) == (60, 7.0)
    written = desk.store.read(layout.SUCCESS)
    assert written is not None
    assert decode(Success, written, layout.SUCCESS) == success
    run = read_run(tmp_path / "run")
    assert sorted(run.problems().column("problem_id").to_pylist()) == PROBLEM_IDS
    assert run.steps().num_rows == 12
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_finished_run_gets_no_new_epoch_and_nothing_new_at_all(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(*range(6))))
    writer.finish(PROBLEM_IDS, spent_tokens=60)
    before = {name: desk.store.read(name) for name in desk.store.list("")}
    again, state = desk.open()
    assert state.finished
    assert (state.epoch, state.done, state.totals.problems) == (1, frozenset(PROBLEM_IDS), 6)
    with pytest.raises(AssertionError, match="holds no run"):
        again.append(1, *packed_rows([]))
    again.heartbeat({})
    assert before == {name: desk.store.read(name) for name in desk.store.list("")}


def test_a_clean_stop_gives_back_what_was_leased_and_not_spent(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.flush(1000)
    writer.append(0, *packed_rows(some(0, 1)))
    writer.release(spent_tokens=27)  # 20 in rows, 7 for a problem that was stopped in the middle
    _, state = desk.open()
    assert (state.epoch, state.totals.generated_tokens, state.lost_tokens, state.spent_tokens) == (2, 20, 7, 27)
    assert state.leased_tokens == 27
    assert state.next_batch == 1
    assert state.previous is not None
    assert state.previous.epoch == 1
    assert state.previous.released_at is not None


def test_a_crash_charges_what_was_leased_as_lost_once(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.flush(50)
    writer.append(0, *packed_rows(some(0)))
    writer.flush(100)
    _, state = desk.open(take_over=True)
    assert (state.totals.generated_tokens, state.lost_tokens, state.spent_tokens) == (10, 90, 100)
    second, state = desk.open(take_over=True)
    assert (state.lost_tokens, state.spent_tokens, state.leased_tokens) == (90, 100, 100)
    second.append(1, *packed_rows(some(1)))
    second.flush(130)
    _, state = desk.open(take_over=True)
    assert (state.totals.generated_tokens, state.lost_tokens, state.spent_tokens) == (20, 110, 130)


def test_the_ceiling_never_falls_and_follows_rows_without_a_cap(desk: Desk) -> None:
    writer, _ = desk.open()
    assert writer.flush(100) == 2
    assert writer.flush(50) is None
    assert writer.flush() is None
    writer.append(0, *packed_rows(some(0)))
    writer.flush(20)
    assert read_log(desk.store).leased_tokens == 100
    uncapped = Desk(desk.folder, MemoryStore())
    writer, _ = uncapped.open()
    writer.append(0, *packed_rows(some(0, 1)))
    writer.flush()
    log = read_log(uncapped.store)
    assert (log.leased_tokens, log.spent_tokens) == (20, 20)


def test_tables_without_rows_have_no_part(desk: Desk) -> None:
    writer, _ = desk.open()
    bare = replace(RECORDS["p0"], steps=(), requests=())
    writer.append(0, *packed_rows([bare]))
    number = writer.flush()
    assert number is not None
    assert [part.table for part in read_commit(desk.store, number).parts] == ["problems"]


def test_an_empty_batch_needs_no_commit(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.append(0, *packed_rows([]))
    assert writer.flush() is None


# Each problem once


def test_a_batch_that_is_known_is_ignored(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0, 1)))
    writer.append(0, *packed_rows(some(0, 1)))
    writer.flush()
    writer.append(0, *packed_rows(some(0, 1)))
    assert writer.flush() is None
    rebuilt, state = desk.open(take_over=True)
    rebuilt.append(0, *packed_rows(some(0, 1)))
    assert rebuilt.flush() is None
    assert state.done == {"p0", "p1"}
    assert state.next_batch == 1


@pytest.mark.parametrize("flushed", [False, True])
def test_a_problem_that_comes_twice_is_refused(desk: Desk, flushed: bool) -> None:
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0, 1)))
    if flushed:
        writer.flush()
    with pytest.raises(AssertionError, match="batch 1: problem 'p1' has a row already"):
        writer.append(1, *packed_rows(some(2, 1)))
    with pytest.raises(AssertionError, match="problem 'p3' has a row already"):
        writer.append(2, *packed_rows(some(3, 3)))
    with pytest.raises(AssertionError, match="batch 0 was appended before, with other problems"):
        writer.append(0, *packed_rows(some(4)))
    writer.append(1, *packed_rows(some(2)))  # what was refused left no trace
    writer.flush()
    assert desk.open(take_over=True)[1].done == {"p0", "p1", "p2"}


def test_rows_of_another_problem_are_refused(desk: Desk) -> None:
    writer, _ = desk.open()
    mixed = replace(RECORDS["p0"], steps=RECORDS["p1"].steps)
    with pytest.raises(AssertionError, match="the record of problem 'p0' holds rows of 'p1'"):
        writer.append(0, *packed_rows([mixed]))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["p0", "p1", "p2"], "'p2' has no row"),
        (["p0"], "'p1' is not in the input"),
        (["p0", "p1", "p1"], "1 problem ids of the input come twice"),
    ],
)
def test_success_needs_one_row_for_every_input(desk: Desk, ids: list[str], message: str) -> None:
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0, 1)))
    with pytest.raises(AssertionError, match=message):
        writer.finish(ids, spent_tokens=0)
    assert desk.store.read(layout.SUCCESS) is None
    writer.finish(["p0", "p1"], spent_tokens=0)
    assert desk.store.read(layout.SUCCESS) is not None


def test_a_run_whose_parts_are_not_what_was_committed_is_not_resumed(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0, 1)))
    writer.flush()
    (name,) = desk.store.list("problems/")
    data = desk.store.read(name)
    assert data is not None
    desk.store.replace(name, data[:-1])
    with pytest.raises(StoreFailed, match="not what was committed"):
        desk.open(take_over=True)
    desk.store.delete(name)
    with pytest.raises(StoreFailed, match="is gone"):
        desk.open(take_over=True)


def test_a_run_whose_commits_name_a_row_twice_is_not_resumed(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0)))
    number = writer.flush()
    assert number is not None
    again = replace(read_commit(desk.store, number), number=number + 1)
    desk.store.create(layout.commit_name(again.number), encode(again))
    with pytest.raises(StoreFailed, match="is damaged: 2 rows of 1 problems, and 1 by its commits"):
        desk.open(take_over=True)


# Who may have the run


def test_another_manifest_is_refused_before_anything_is_taken(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.release(0)
    names = desk.store.list("")
    with pytest.raises(RunMismatch, match=r"(?s)begun with other settings.*seed: was 7, is 8"):
        desk.writer().open(builders.manifest(seed=8), ELSEWHERE, take_over=True)
    assert desk.store.list("") == names
    drifted = desk.writer().open(builders.manifest(versions={"vllm": "0.33.0"}), ELSEWHERE)
    assert drifted.drift == ('versions.vllm: was "0.32.0", is "0.33.0"',)


def test_a_live_run_is_locked_until_its_heartbeat_is_old(desk: Desk) -> None:
    writer, _ = desk.open()
    desk.clock.now_s += 25
    writer.heartbeat({"done": 1})
    desk.clock.now_s += 20
    with pytest.raises(RunLocked, match=r"process 4711 on another-host \(epoch 1.* 20 s ago.* in 10 s.*--take-over"):
        desk.open()
    desk.clock.now_s += 10
    _, state = desk.open()
    assert state.epoch == 2
    assert state.previous is not None
    assert state.previous.progress == {"done": 1}


def test_take_over_does_not_wait(desk: Desk) -> None:
    desk.open()
    _, state = desk.open(take_over=True)
    assert state.epoch == 2


def test_a_process_goes_on_after_its_own_dead_writer_and_takes_the_run_from_nobody_else(desk: Desk) -> None:
    here = this_process()
    desk.open(owner=here)
    with pytest.raises(RunLocked):
        desk.open(owner=here)
    assert desk.writer().open(builders.manifest(), here, again=True).epoch == 2
    with pytest.raises(RunLocked):
        desk.writer().open(builders.manifest(), ELSEWHERE, again=True)
    desk.open(take_over=True)
    with pytest.raises(RunLocked, match="another-host"):
        desk.writer().open(builders.manifest(), here, again=True)


def test_a_lease_is_kept_fresh_while_the_run_is_read(tmp_path: Path) -> None:
    slow = SlowStore()
    desk = Desk(tmp_path, slow)
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0, 1)))
    writer.release(20)
    refused: list[bool] = []

    def read_slowly(store: SlowStore) -> None:
        store.on_part = lambda _: None
        taken = newest_lease(store)
        assert taken is not None
        desk.clock.now_s += 2 * FRESH_S
        deadline_s = time.monotonic() + 5
        while newest_lease(store) == taken and time.monotonic() < deadline_s:
            time.sleep(0.01)
        with pytest.raises(RunLocked):
            desk.open()
        refused.append(True)

    slow.on_part = read_slowly
    reader = Writer(slow, tmp_path / "spool", fresh_s=0.1, clock=desk.clock)
    assert reader.open(builders.manifest(), ELSEWHERE).epoch == 2
    assert refused
    assert not [thread for thread in threading.enumerate() if "beat" in thread.name]


class SlowStore(MemoryStore):
    """Reading a part of it takes as long as `on_part` does."""

    def __init__(self) -> None:
        super().__init__()
        self.on_part: Callable[[SlowStore], object] = lambda _: None

    def read(self, name: str) -> bytes | None:
        if name.startswith("problems/"):
            self.on_part(self)
        return super().read(name)


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("performed", [False, True])
def test_a_writer_whose_opening_failed_goes_on_with_its_own_lease(desk: Desk, at: int, performed: bool) -> None:
    writer = desk.writer(FaultyStore(desk.store, at, performed=performed, error=StoreFailed))
    state = retry(lambda: writer.open(builders.manifest(), ELSEWHERE))
    assert (state.epoch, state.next_commit, state.previous) == (1, 2, None)


def test_an_owner_whose_process_is_gone_holds_nothing(desk: Desk) -> None:
    here = this_process()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child = replace(here, pid=process.pid, process_start=process_start(process.pid))
    desk.open(owner=child)
    with pytest.raises(RunLocked):
        desk.open()
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) is None  # dead, though its parent has not asked for it yet
    _, state = desk.open(owner=here)
    assert state.epoch == 2
    process.wait()


def test_a_process_id_that_was_given_again_is_another_process(desk: Desk) -> None:
    here = this_process()
    desk.open(owner=replace(here, process_start=(here.process_start or 0) - 1))
    assert desk.open(owner=here)[1].epoch == 2


@pytest.mark.parametrize("unknown", [{"host": "x"}, {"machine": "x"}, {"machine": ""}, {"process_start": None}])
def test_an_owner_that_cannot_be_looked_up_counts_as_alive(desk: Desk, unknown: dict[str, str]) -> None:
    desk.open(owner=replace(this_process(), **{"pid": 2**22 + 1, "process_start": 5} | unknown))  # type: ignore[arg-type]
    with pytest.raises(RunLocked):
        desk.open()


def test_an_old_controller_that_wakes_up_commits_nothing(desk: Desk) -> None:
    old, _ = desk.open()
    old.append(0, *packed_rows(some(0)))
    old.flush(100)
    old.append(1, *packed_rows(some(1, 2)))
    new, state = desk.open(take_over=True)
    assert state.done == {"p0"}
    for _ in range(2):
        with pytest.raises(Fenced, match="epoch 2 has taken"):
            old.flush(200)
        with pytest.raises(Fenced):
            old.release(30)
    with pytest.raises(Fenced, match="epoch 2 has taken"):
        old.heartbeat({})
    new.append(1, *packed_rows(some(1, 2)))
    new.flush()
    log = read_log(desk.store)
    assert (log.totals.problems, log.epoch) == (3, 2)


def test_the_new_controller_takes_in_a_commit_that_beats_its_fence(desk: Desk) -> None:
    old, _ = desk.open()
    old.append(0, *packed_rows(some(0)))

    class Beaten(FaultyStore):
        """The old controller commits between the new one's reading of the log and its fence."""

        def create(self, name: str, data: bytes) -> bool:
            if name == layout.commit_name(2):
                old.flush(77)
            return super().create(name, data)

    beaten = Beaten(desk.store, 10**9, performed=False)
    state = desk.writer(beaten).open(builders.manifest(), ELSEWHERE, take_over=True)
    assert state.done == {"p0"}
    assert (state.next_commit, state.lost_tokens) == (4, 67)
    with pytest.raises(Fenced):
        old.flush(99)


def test_a_taker_that_is_overtaken_before_its_fence_stops(desk: Desk) -> None:
    class Overtaken(FaultyStore):
        """A third controller opens the run between the second one's lease and its fence."""

        def create(self, name: str, data: bytes) -> bool:
            created = super().create(name, data)
            if name == layout.epoch_name(2):
                desk.open(take_over=True)
            return created

    desk.open()
    overtaken = Overtaken(desk.store, 10**9, performed=False)
    with pytest.raises(Fenced, match="epoch 3 has taken"):
        desk.writer(overtaken).open(builders.manifest(), ELSEWHERE, take_over=True)


def test_a_store_that_lets_two_hold_one_epoch_is_found_out(desk: Desk) -> None:
    writer, state = desk.open()
    foreign = builders.commit(state.next_commit, state.epoch, writer="someone else")
    desk.store.create(layout.commit_name(state.next_commit), encode(foreign))
    with pytest.raises(StoreFailed, match="two writers hold epoch 1"):
        writer.flush(10)


def test_a_heartbeat_after_the_release_does_not_bring_the_lease_back(desk: Desk) -> None:
    writer, _ = desk.open()
    writer.release(0)
    writer.heartbeat({"late": True})
    data = desk.store.read(layout.epoch_name(1))
    assert data is not None
    lease = decode(Lease, data, "x")
    assert (lease.released_at is not None, lease.progress) == (True, {})


def test_what_open_returns_travels_to_other_processes(desk: Desk) -> None:
    _, state = desk.open()
    assert pickle.loads(pickle.dumps(state)) == state  # noqa: S301 - our own bytes


# Checkpoints


def test_a_checkpoint_every_hundred_commits_shortens_the_reading(tmp_path: Path) -> None:
    desk = Desk(tmp_path, MemoryStore())
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0)))
    for ceiling in range(100, 350):
        writer.flush(ceiling)
    names = [name for name in desk.store.list(layout.COMMITS) if layout.checkpoint_number(name)]
    assert names == [layout.checkpoint_name(100), layout.checkpoint_name(200)]
    counting = FaultyStore(desk.store, 10**9, performed=False)
    log = read_log(counting)
    assert (log.number, log.totals.problems, log.leased_tokens) == (251, 1, 349)
    assert counting.operations == 1 + 1 + 51  # the listing, the checkpoint, the commits after it
    for name in names:
        desk.store.delete(name)
    assert read_log(desk.store) == replace(log, checkpoint=0)
    assert desk.open(take_over=True)[1].done == {"p0"}


def test_all_checkpoints_together_are_no_larger_than_the_commits(tmp_path: Path) -> None:
    """Nobody compacts here, so a checkpoint every hundred commits would grow with the square of the run."""
    store = MemoryStore()
    log = CommitLog(store, epoch=1, writer="w")
    log.fence("2026-11-21T12:00:00.000+00:00")
    parts = builders.commit(1, 1, parts=3).parts
    at_most = []
    for number in range(1, some_of(4000)):
        named = tuple(replace(part, name=f"{part.table}/part-{number}.parquet") for part in parts)
        log.write_checkpoint()
        log.commit(Draft(parts=named, totals=Totals(), open_tokens=0, lost_tokens=0, leased_tokens=0, created_at="x"))
        at_most.append(log.log.number - log.log.checkpoint)
    sizes: dict[bool, int] = {True: 0, False: 0}
    for name, data in store.files.items():
        sizes[layout.checkpoint_number(name) is not None] += len(data)
    assert 0 < sizes[True] <= sizes[False]
    assert min(at_most) < CHECKPOINT_EVERY <= max(at_most)
    assert read_log(store) == log.log


# Parts


def test_a_part_that_the_disk_did_not_keep_is_found_out(tmp_path: Path) -> None:
    part, file = write_part(tmp_path, "problems", to_table("problems", [RECORDS["p0"].problem]), epoch=1, commit=1)
    check_part(part, file)
    with pytest.raises(StoreFailed, match="holds 1 rows, not 2"):
        check_part(replace(part, rows=2), file)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreFailed, match="not what was written"):
        check_part(part, file)


def test_a_spool_that_cannot_be_written_keeps_the_rows(desk: Desk) -> None:
    writer, _ = desk.open()
    (desk.folder / "spool").write_text("in the way")
    writer.append(0, *packed_rows(some(0)))
    with pytest.raises(StoreFailed, match="spooling problems/part-"):
        writer.flush()
    (desk.folder / "spool").unlink()
    assert writer.num_uncommitted() == 1
    assert writer.flush() is not None
    assert read_log(desk.store).totals.problems == 1


# A store that fails and comes back, and processes that die: at every operation, before and after it took effect


@dataclass
class Bookkeeping:
    """What a controller knows for certain, across its deaths."""

    confirmed: set[str] = field(default_factory=set)
    spent_tokens: int = 0


def retry(action: Callable[[], T]) -> T:
    """Call again while the store fails."""
    while True:
        try:
            return action()
        except StoreFailed:
            continue


def control(open_writer: Callable[[], tuple[Writer, RunState]], books: Bookkeeping) -> None:
    """A controller: leases 25 tokens, spends 10 per problem, and flushes two problems at a time."""
    writer, state = retry(open_writer)
    if state.finished:
        return
    assert books.confirmed <= state.done
    assert books.spent_tokens <= state.spent_tokens
    owed = [problem_id for problem_id in PROBLEM_IDS if problem_id not in state.done]
    spent = state.spent_tokens
    for index, batch in enumerate(range(0, len(owed), 2)):
        pair = owed[batch : batch + 2]
        retry(lambda: writer.flush(spent + 25))  # noqa: B023 - called at once
        spent += 10 * len(pair)
        books.spent_tokens = spent
        writer.append(state.next_batch + index, *packed_rows([RECORDS[problem_id] for problem_id in pair]))
        retry(writer.flush)
        books.confirmed.update(pair)
        retry(lambda: writer.heartbeat({"done": len(books.confirmed)}))
    retry(lambda: writer.finish(PROBLEM_IDS, spent))


def live_through(
    folder: Path, faults: Sequence[tuple[int, bool]], error: type[Exception], store: Store | None = None
) -> tuple[int, int]:
    """Run to the end through one store fault after another; the operations of the last life, and the lives."""
    store = store or MemoryStore()
    desk, books = Desk(folder, store), Bookkeeping()
    for lives, (at, performed) in enumerate([*faults, (10**9, False)], 1):
        faulty = FaultyStore(store, at, performed=performed, error=error)
        writer = desk.writer(faulty)

        def open_writer(writer: Writer = writer) -> tuple[Writer, RunState]:
            return writer, writer.open(builders.manifest(), ELSEWHERE, take_over=True)

        try:
            control(open_writer, books)
        except Crash:
            continue
        if isinstance(store, MemoryStore):
            store.write_to(folder / "run")
        check_the_finished_run(store.uri if isinstance(store, S3Store) else folder / "run", books)
        return faulty.operations, lives
    raise AssertionError("the last life has no fault")


def check_the_finished_run(uri: str | Path, books: Bookkeeping) -> None:
    run = read_run(uri)
    assert run.finished
    assert sorted(run.problems().column("problem_id").to_pylist()) == PROBLEM_IDS
    assert run.steps().num_rows == 2 * len(PROBLEM_IDS)
    assert run.requests().num_rows == len(PROBLEM_IDS)
    accounted = sum(run.problems().column("generated_tokens").to_pylist())
    assert run.totals.generated_tokens == accounted == 60
    assert accounted + run.lost_tokens == run.log.leased_tokens >= books.spent_tokens
    assert run.success is not None
    assert run.success.lost_tokens <= run.lost_tokens


NUM_OPERATIONS = 36
"""At least as many as the controller above needs in one life; a test checks it."""
every_operation = pytest.mark.parametrize("at", range(NUM_OPERATIONS))


def test_the_enumeration_of_faults_covers_a_whole_life(tmp_path: Path) -> None:
    operations, lives = live_through(tmp_path, [], Crash)
    assert lives == 1
    assert operations <= NUM_OPERATIONS


@every_operation
def test_a_crash_at_any_operation_costs_no_row_and_hides_no_token(tmp_path: Path, at: int) -> None:
    live_through(tmp_path, [(at, False)], Crash)  # after one operation is before the next


@pytest.mark.parametrize("performed", [False, True])
@every_operation
def test_a_store_that_fails_once_at_any_operation_loses_nothing(tmp_path: Path, at: int, performed: bool) -> None:
    operations, lives = live_through(tmp_path, [(at, performed)], StoreFailed)
    assert lives == 1
    assert read_run(tmp_path / "run").lost_tokens == 0
    assert operations


@pytest.mark.parametrize("at", [7, 19])
@pytest.mark.parametrize("error", [Crash, StoreFailed])
def test_faults_and_deaths_on_an_object_store(bucket: Bucket, tmp_path: Path, at: int, error: type[Exception]) -> None:
    live_through(tmp_path, [(at, True), (at + 2, False)], error, S3Store(bucket.uri("run")))


@pytest.mark.parametrize("kind", ["drop", "cut"])
def test_a_network_that_fails_now_and_then_costs_nothing(bucket: Bucket, tmp_path: Path, kind: str) -> None:
    """Each part, commit and lease meets the fault once; the writer hears nothing of it."""
    for path in (layout.epoch_name(1), *map(layout.commit_name, range(1, 12)), ".parquet", ".parquet", "_SUCCESS"):
        bucket.fail("PUT", path, kind)
    _, lives = live_through(tmp_path, [], Crash, S3Store(bucket.uri("run")))
    assert lives == 1
    run = read_run(bucket.uri("run"))
    assert (run.lost_tokens, run.log.epoch) == (0, 1)
    assert sum(fault.times == 0 for fault in bucket.proxy.faults) >= 8


@pytest.mark.s3
def test_a_gateway_that_is_killed_loses_nothing_that_it_acknowledged(
    radosgw: RadosGateway, radosgw_bucket: Bucket, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, S3Store(radosgw_bucket.uri("run")))
    writer, _ = desk.open()
    writer.append(0, *packed_rows(some(0, 1)))
    writer.flush(50)
    radosgw.kill_gateway()
    try:
        writer.append(1, *packed_rows(some(2)))
        with pytest.raises(StoreFailed, match="upload s3:"):
            writer.flush(50)
    finally:
        radosgw.start_gateway()
    retry(writer.flush)
    assert desk.open(take_over=True)[1].done == {"p0", "p1", "p2"}


WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from actors.writer.lease import this_process
from actors.writer.writer import FRESH_S, Writer
from cluster.store import open_store
from records.packing import packed_rows
from tests.records import builders

writer = Writer(open_store(sys.argv[1]), Path(sys.argv[2]))
writer.open(builders.manifest(), this_process())
for number in range(1_000_000):
    writer.append(number, *packed_rows([builders.record(f"p{number}")]))
    writer.flush(10 * number + 50)
    print(number, flush=True)
"""


@pytest.mark.parametrize("num_flushes", [1, 2, 5, 9])
def test_a_killed_process_leaves_whole_commits_and_its_run_can_be_taken_at_once(
    tmp_path: Path, num_flushes: int
) -> None:
    kill_in_the_middle(LocalStore(tmp_path / "run"), tmp_path, num_flushes)


@pytest.mark.s3
def test_a_process_killed_in_the_middle_of_an_object_store_too(radosgw_bucket: Bucket, tmp_path: Path) -> None:
    kill_in_the_middle(S3Store(radosgw_bucket.uri("run")), tmp_path, 5)


def kill_in_the_middle(store: Store, folder: Path, num_flushes: int) -> None:
    command = [sys.executable, "-c", WRITES_UNTIL_KILLED, store.uri, str(folder / "spool")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        confirmed = [int(process.stdout.readline()) for _ in range(num_flushes)]
        process.kill()
        confirmed += [int(line) for line in process.stdout if line.endswith("\n")]
    desk = Desk(folder, store, clock=Clock(time.time()))
    writer, state = desk.open(owner=this_process())
    assert state.epoch == 2
    assert len(confirmed) <= len(state.done) <= len(confirmed) + 1
    assert state.done == {f"p{number}" for number in range(len(state.done))}
    assert state.spent_tokens == state.leased_tokens >= state.totals.generated_tokens + 30
    writer.finish(sorted(state.done), state.spent_tokens)
    run = read_run(store.uri)
    assert set(run.problems().column("problem_id").to_pylist()) == state.done
    assert run.steps().num_rows == 2 * len(state.done)


@settings(max_examples=some_of(15), deadline=None)
@given(faults=st.lists(st.tuples(st.integers(0, NUM_OPERATIONS), st.booleans()), max_size=6))
def test_crash_after_crash_costs_no_row_and_hides_no_token(
    tmp_path_factory: pytest.TempPathFactory, faults: list[tuple[int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("lives")
    live_through(folder, faults, Crash, LocalStore(folder / "run"))
