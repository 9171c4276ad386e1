"""Small parts become large ones, and nobody notices: not a reader with an older list, not a resume, not a kill."""

import json
import os
import pickle
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writer.compaction import PartSizes, due_parts
from actors.writer.journals import read_journals
from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.s3 import S3Store
from cluster.store import LocalStore
from jobs.scoring.abstention import AbstentionReader
from jobs.scoring.failures import FailureReader
from records.failure import Fenced, StoreFailed
from records.packing import packed_rows
from records.rows import OpenRecord
from records.run_folder import layout
from records.run_folder.by_problem import records_of
from records.run_folder.checkpoints import read_commit, read_log
from records.run_folder.commits import Part
from records.run_folder.reader import Run, read_run
from records.run_folder.store import Store
from tests.records import builders
from tests.records.stores import Crash, FaultyStore, MemoryStore
from tests.services.servers import Bucket
from tests.support.tiers import Tier, some_of

pytestmark = pytest.mark.slow

FEW = PartSizes(small_bytes=10_000, settled_bytes=60_000, target_bytes=80_000, fan_in=3)
"""Three parts of these tests' few rows become one."""
KEEP_S = 3600.0


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes die here, and no machine does."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class AtOnce(Executor):
    """What is handed in is done before it returns, so that operations of a store come in the same order each time."""

    def submit(self, work, /, *args, **kwargs):
        done = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except StoreFailed as failed:
            done.set_exception(failed)
        return done


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Course:
    """A run of one problem a commit, of which some are written in several commits before they end."""

    def __init__(self, folder: Path, store: Store, *, clock: Clock | None = None, sizes: PartSizes = FEW) -> None:
        self.folder, self.store = folder, store
        self.clock = clock or Clock()
        self.writer = Writer(
            store,
            folder / "spool",
            clock=self.clock,
            sizes=sizes,
            keep_replaced_s=KEEP_S,
            executor=AtOnce(),
        )
        self.state = self.writer.open(builders.manifest(), this_process(), take_over=True)
        journals = read_journals(store, self.state.open_problems)
        self.given = {name: len(rows.requests) for name, rows in journals.items()}
        self.ended = set(self.state.done)
        self.batch = self.state.next_batch

    def step(self, number: int) -> None:
        """Go on with one problem, and commit."""
        name = name_of(number)
        if name not in self.ended:
            record, first = problem(name), self.given.get(name, 0)
            if number % 3 == 1 and first < 2:
                steps, requests = record.steps[first : first + 1], record.requests[first : first + 1]
                piece = OpenRecord(problem_id=name, steps=steps, requests=requests)
                self.writer.append(self.batch, *packed_rows([], [piece]))
                self.given[name] = first + 1
            else:
                tail = replace(record, steps=record.steps[first:], requests=record.requests[first:])
                self.writer.append(self.batch, *packed_rows([tail]))
                self.ended.add(name)
            self.batch += 1
        self.clock.now_s += 60
        self.writer.flush()


def name_of(number: int) -> str:
    return f"p{number // 3 if number % 3 else number}"


def problem(name: str):
    """A problem of four requests with one step each."""
    record = builders.record(name, num_steps=4)
    steps = tuple(replace(step, request=step.node_id - 1) for step in record.steps)
    requests = tuple(replace(record.requests[0], request=number, child_ids=(number + 1,)) for number in range(4))
    return replace(record, steps=steps, requests=requests)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    store = MemoryStore()
    course = Course(tmp_path_factory.mktemp("written"), store)
    for number in range(40):
        course.step(number)
    return store


@pytest.fixture
def run_folder(written: MemoryStore, tmp_path: Path) -> Path:
    written.write_to(tmp_path / "run")
    return tmp_path / "run"


def rows_by_commits_alone(store: Store) -> dict[str, list[dict]]:
    """The obvious way: every part that ever came with a visible commit, and no compaction."""
    last = read_log(store).number
    found: dict[str, list[dict]] = {table: [] for table in layout.TABLES}
    for number in range(1, last + 1):
        for part in read_commit(store, number).parts:
            data = store.read(part.name)
            assert data is not None
            found[part.table] += pq.read_table(pa.BufferReader(data)).to_pylist()
    return found


def everything(run: Run) -> dict[str, list[dict]]:
    return {table: getattr(run, table)().to_pylist() for table in layout.TABLES}


def test_fewer_parts_hold_the_same_rows_in_the_same_order(run_folder):
    run = read_run(run_folder)
    wanted = rows_by_commits_alone(LocalStore(run_folder))
    assert everything(run) == wanted
    assert len(run.part_paths("problems")) < 10 < len(list((run_folder / "problems").iterdir()))
    for table in layout.TABLES:
        names = [
            column for column in ("problem_id", "generated_tokens") if wanted[table] and column in wanted[table][0]
        ]
        batches = [row for batch in run.batches(table, names) for row in batch.to_pylist()] if names else []
        assert batches == [{name: row[name] for name in names} for row in wanted[table]]
    with duckdb.connect() as connection:
        query = "select count(*), count(distinct problem_id) from read_parquet(?)"
        [(count, distinct)] = connection.execute(query, [run.part_paths("problems")]).fetchall()
    assert count == distinct == run.totals.problems == len(wanted["problems"])


def test_problem_by_problem_each_has_all_its_rows(run_folder):
    found = list(records_of(read_run(run_folder)))
    assert found == [problem(record.problem.problem_id) for record in found]
    assert len(found) == read_run(run_folder).totals.problems


def test_a_part_says_which_commits_its_rows_came_with(run_folder):
    run = read_run(run_folder)
    by_commit = {}
    for commit, batch in run.batches_by_commit("problems", ["problem_id"]):
        by_commit.setdefault(commit, []).extend(batch.column("problem_id").to_pylist())
    store = LocalStore(run_folder)
    for number in range(1, run.log.number + 1):
        parts = [part for part in read_commit(store, number).parts if part.table == "problems"]
        held = [name for part in parts for name in pq.read_table(run_folder / part.name)["problem_id"].to_pylist()]
        assert by_commit.get(number, []) == held


def test_an_older_list_is_good_for_an_hour_and_then_read_anew(tmp_path):
    course = Course(tmp_path, LocalStore(tmp_path / "run"))
    for number in range(12):
        course.step(number)
    old = read_run(tmp_path / "run")
    seen = everything(old)
    paths = [Path(path) for table in layout.TABLES for path in old.part_paths(table)]
    halfway = old.batches("steps", ["problem_id", "node_id"])
    first = next(halfway).to_pylist()
    for number in range(12, 30):
        course.step(number)  # 18 minutes
    assert all(path.exists() for path in paths)
    course.clock.now_s += KEEP_S
    for number in range(30, 48):
        course.step(number)
    assert not all(path.exists() for path in paths)
    assert everything(old) == seen, "neither more nor less than was visible then"
    whole = first + [row for batch in halfway for row in batch.to_pylist()]
    assert whole == [{"problem_id": row["problem_id"], "node_id": row["node_id"]} for row in seen["steps"]]
    assert [record.problem.problem_id for record in records_of(old)] == [row["problem_id"] for row in seen["problems"]]
    new = everything(read_run(tmp_path / "run"))
    assert all(new[table][: len(rows)] == rows for table, rows in seen.items())
    # What is deleted was replaced, and nothing else: all that is visible is there, and what was replaced in an hour.
    course.writer.release(read_log(course.store).accounted_tokens)
    names = course.store.list("")
    log = read_log(course.store)
    assert {part.name for part in log.parts} <= set(names)
    kept = {
        name
        for one in log.replaced
        for compaction in read_commit(course.store, one.commit).compactions
        for name in compaction.replaces
    }
    assert {name for name in names if name.endswith(".parquet")} == kept | {part.name for part in log.parts}


@pytest.mark.s3
def test_an_older_list_in_an_object_store_too(moto_bucket: Bucket, tmp_path: Path):
    course = Course(tmp_path, S3Store(moto_bucket.uri("run")))
    for number in range(10):
        course.step(number)
    old = read_run(moto_bucket.uri("run"))
    seen = everything(old)
    for number in range(10, 16):
        course.step(number)
    course.clock.now_s += KEEP_S
    for number in range(16, 19):
        course.step(number)
    assert {part.name for part in old.log.parts} - set(course.store.list(""))
    assert everything(old) == seen
    assert [row for batch in old.batches("steps", ["node_id"]) for row in batch.to_pylist()] == [
        {"node_id": row["node_id"]} for row in seen["steps"]
    ]


def test_a_part_that_is_gone_and_was_not_replaced_is_a_failure(run_folder):
    run = read_run(run_folder)
    Path(run.part_paths("steps")[-1]).unlink()
    for read in (run.steps, lambda: list(run.batches("steps", ["node_id"])), lambda: list(records_of(run))):
        with pytest.raises(StoreFailed, match="a part of steps is gone or damaged"):
            read()


def test_checkpoints_and_travelling_change_nothing(tmp_path):
    store = MemoryStore()
    course = Course(tmp_path, store)
    for number in range(130):
        course.step(number)
    log = read_log(store)
    assert log.checkpoint > 0
    assert log.replaced
    for name in store.list(layout.COMMITS):
        if layout.checkpoint_number(name):
            store.delete(name)
    assert read_log(store) == replace(log, checkpoint=0)
    assert pickle.loads(pickle.dumps(course.state)) == course.state  # noqa: S301


def test_a_reader_that_polls_reads_each_row_once(tmp_path):
    store = MemoryStore()
    course = Course(tmp_path, store)
    reader = AbstentionReader(store, {"answer": {"abstain_below": 0.5, "estimate": "median"}})
    failures = FailureReader(store)
    for number in range(1, 20):
        course.step(number)
        found = reader.read(read_log(store).parts_of("problems"))
        assert found is None  # no row of these abstains or not
        failures.read(read_log(store).parts_of("problems"), num_failed=10**6)
        assert reader._num_read == failures._num_read == read_log(store).totals.problems


def test_a_run_of_small_parts_by_an_earlier_version_is_resumed_and_compacted(tmp_path):
    store = LocalStore(tmp_path / "run")
    never = PartSizes(fan_in=10**9)
    course = Course(tmp_path, store, sizes=never)
    for number in range(15):
        course.step(number)
    for name in store.list(layout.COMMITS):  # as they were written before there was such a thing
        data = json.loads(store.read(name))
        assert not data.pop("compactions", None)
        data.pop("removed", None)
        data.pop("replaced", None)
        store.replace(name, json.dumps(data, indent=1).encode())
    before = everything(read_run(tmp_path / "run"))
    again = Course(tmp_path, store)
    assert again.ended == {row["problem_id"] for row in before["problems"]}
    for number in range(15, 30):
        again.step(number)
    after = read_run(tmp_path / "run")
    assert all(everything(after)[table][: len(rows)] == rows for table, rows in before.items())
    assert len(after.part_paths("problems")) < 10


def test_a_writer_that_was_fenced_compacts_nothing(tmp_path):
    store = MemoryStore()
    old = Course(tmp_path, store)
    for number in range(0, 9, 3):
        old.step(number)  # a merged part waits for the next commit
    new = Course(tmp_path, store)
    with pytest.raises(Fenced):
        old.step(9)
    for number in range(9, 30, 3):
        new.step(number)
    log = read_log(store)
    assert log.totals.problems == 10
    assert sum(part.rows for part in log.parts_of("problems")) == 10
    merged = [read_commit(store, number) for number in range(1, log.number + 1)]
    assert {commit.epoch for commit in merged if commit.compactions} == {2}


def test_a_store_that_is_out_puts_merging_off_and_no_more(tmp_path):
    class NoUploadsOfMerged(MemoryStore):
        out = True

        def upload(self, name: str, file: Path) -> None:
            if self.out and file.name.count("-") == 1:  # a merged one has no number in the spool
                raise StoreFailed("out")
            super().upload(name, file)

    store = NoUploadsOfMerged()
    course = Course(tmp_path, store)
    for number in range(0, 36, 3):
        course.step(number)
    assert not any(read_commit(store, n).compactions for n in range(1, read_log(store).number + 1))
    store.out = False
    for number in range(36, 120, 3):
        course.step(number)
    log = read_log(store)
    assert log.replaced
    assert len(log.parts_of("problems")) < 10


NUM_STEPS = 12


def live(folder: Path, store: Store) -> None:
    """Go on with a run to its end, checking at each commit what a reader sees."""
    course = Course(folder, store)
    for number in range(NUM_STEPS):
        course.step(number)
        course.clock.now_s += KEEP_S / 4
    spent = read_log(store).accounted_tokens
    course.writer.finish(sorted(course.ended), spent + course.state.lost_tokens)


NUM_OPERATIONS = 90
"""At least as many as one life has; a test checks it."""


def test_the_enumeration_covers_a_whole_life_with_parts_replaced_and_deleted(tmp_path):
    counting = FaultyStore(store := MemoryStore(), 10**9, performed=False)
    live(tmp_path, counting)
    assert NUM_OPERATIONS - 20 < counting.operations <= NUM_OPERATIONS
    commits = [read_commit(store, number) for number in range(1, read_log(store).number + 1)]
    assert sum(len(commit.compactions) for commit in commits) > 3
    assert sum(len(commit.removed) for commit in commits) > 0


@pytest.mark.ci
def test_a_kill_between_any_two_operations_leaves_a_run_that_reads_and_goes_on(tmp_path):
    for at in range(0, NUM_OPERATIONS, 1 if Tier.thorough else 4):
        store = MemoryStore()
        with suppress(Crash):
            live(tmp_path, FaultyStore(store, at, performed=False))
        if layout.MANIFEST in store.files:
            check(tmp_path / f"killed-{at}", store)
        if layout.SUCCESS not in store.files:
            live(tmp_path, store)
        names = check(tmp_path / f"finished-{at}", store)
        assert names == {name_of(number) for number in range(NUM_STEPS)}


def check(folder: Path, store: MemoryStore) -> set[str]:
    """Every visible part is there, every problem has one row, and its rows are all there; the problems."""
    store.write_to(folder)
    run = read_run(folder)
    names = run.problems()["problem_id"].to_pylist()
    assert len(set(names)) == len(names) == run.totals.problems
    steps = [(row["problem_id"], row["node_id"]) for row in run.steps().to_pylist()]
    assert len(set(steps)) == len(steps)
    opened = {problem_id for problem_id, _ in steps} - set(names)
    assert opened == run.log.open_problems.keys()
    for record in records_of(run):
        assert record == problem(record.problem.problem_id)
    return set(names)


sizes_of_parts = st.lists(st.integers(100, 70_000), max_size=60)


@given(bytes_of=sizes_of_parts)
@settings(max_examples=some_of(200))
def test_merging_ends_with_few_parts_and_each_byte_is_written_a_few_times(bytes_of):
    """Parts come one by one; after each, all that is due is merged."""
    parts, written = [], 0
    for number, num_bytes in enumerate(bytes_of):
        parts.append(part(number, num_bytes))
        while due := list(due_parts(parts, FEW)):
            start = parts.index(due[0])
            assert parts[start : start + len(due)] == due, "neighbours, in order"
            assert len(due) > 1
            total = sum(one.bytes for one in due)
            assert total < FEW.target_bytes + FEW.settled_bytes
            written += total
            parts[start : start + len(due)] = [part(10_000 + written, total)]
    settled = [one for one in parts if one.bytes >= FEW.settled_bytes]
    assert len(parts) <= 2 * len(settled) + 1 + FEW.fan_in + FEW.target_bytes // FEW.small_bytes
    assert written <= 6 * sum(bytes_of)


def part(number: int, num_bytes: int) -> Part:
    return Part("steps", f"steps/part-{number:06d}-{number:010d}-00000000.parquet", 1, num_bytes, "00")


@given(bytes_of=st.lists(st.integers(100, 3_000), min_size=3, max_size=200))
@settings(max_examples=some_of(50))
def test_many_small_parts_of_an_older_run_are_merged_at_one_go(bytes_of):
    due = due_parts([part(number, num_bytes) for number, num_bytes in enumerate(bytes_of)], FEW)
    assert (
        len(due) == len(bytes_of) if sum(bytes_of) < FEW.target_bytes else sum(p.bytes for p in due) >= FEW.target_bytes
    )
