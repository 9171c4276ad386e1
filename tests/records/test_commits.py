import dataclasses
import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from records.failure import StoreFailed
from records.jsonio import decode, encode
from records.rows import ProblemRow, Status
from records.run_folder import layout
from records.run_folder.checkpoints import decode_checkpoint, encode_checkpoint, read_commit, read_log
from records.run_folder.commits import Commit, Part, Totals, visible
from records.run_folder.log import Log, Success
from records.usage import MAX_USAGES, ReplicaUsage, Usage
from tests.records import builders
from tests.records.stores import MemoryStore
from tests.support.tiers import some_of

counters = st.integers(0, 2**50)
totals = st.builds(
    Totals,
    **{field.name: counters for field in dataclasses.fields(Totals) if field.type == "int"},
    flops=st.floats(0, 1e30),
    wall_seconds=st.floats(0, 1e9),
)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    total, lost = draw(totals), draw(counters)
    return builders.commit(
        draw(st.integers(1, 10**10 - 1)),
        draw(st.integers(1, 10**6)),
        writer=draw(st.text()),
        parts=draw(st.integers(0, 5)),
        batches=tuple(draw(st.lists(st.integers(0, 2**40)))),
        totals=total,
        lost_tokens=lost,
        leased_tokens=total.generated_tokens + lost + draw(counters),
    )


def log_of(*epochs: int) -> list[Commit]:
    return [builders.commit(number, epoch) for number, epoch in enumerate(epochs, 1)]


def folded(made: list[Commit]) -> Log:
    log = Log()
    for commit in made:
        log.add(commit)
    return log


@given(commits())
def test_a_commit_survives_the_trip_through_json(commit: Commit) -> None:
    assert decode(Commit, encode(commit), "x") == commit


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["number"], 0, "count from 1"),
        (["number"], "1", "number must be int, not '1'"),
        (["number"], True, "number must be int, not True"),
        (["epoch"], None, "epoch must be int"),
        (["leased_tokens"], 0, "less than what is accounted"),
        (["lost_tokens"], -1, "negative"),
        (["totals", "failed"], -1, r"totals\.failed is -1"),
        (["totals", "flops"], "many", r"totals\.flops must be float"),
        (["totals"], [], "totals. must be an object"),
        (["parts"], {}, "parts must be a list"),
        (["parts", 0, "name"], "problems/../../etc/passwd", "no part of table"),
        (["parts", 0, "table"], "steps", "no part of table 'steps'"),
        (["batches", 0], 1.5, r"batches\[0\] must be int"),
    ],
)
def test_a_commit_that_no_writer_makes_is_refused(path: list[Any], value: object, message: str) -> None:
    data = json.loads(encode(builders.commit(1, 1)))
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(StoreFailed, match=message):
        decode(Commit, json.dumps(data).encode(), "_commits/0000000001.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"{}", b"null"])
def test_a_file_that_is_no_commit_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(StoreFailed, match=r"_commits/0000000007\.json is not a valid commit"):
        decode(Commit, data, "_commits/0000000007.json")


def test_unknown_fields_are_ignored_for_the_sake_of_later_versions() -> None:
    commit = builders.commit(1, 1)
    data = json.loads(encode(commit)) | {"colour": "green"}
    assert decode(Commit, json.dumps(data).encode(), "x") == commit


def test_totals_count_rows_by_status_and_verdict() -> None:
    row = builders.record("p").problem
    rows: list[ProblemRow] = [
        dataclasses.replace(row, status=status, correct=correct)
        for status, correct in [
            (Status.SUCCEEDED, True),
            (Status.SUCCEEDED, False),
            (Status.FAILED, None),
            (Status.BUDGET_EXHAUSTED, None),
        ]
    ]
    total = Totals(cancelled=2, wall_seconds=3).plus(rows, wall_seconds=4)
    assert (total.succeeded, total.failed, total.budget_exhausted, total.cancelled) == (2, 1, 1, 2)
    assert (total.problems, total.graded, total.correct) == (6, 2, 1)
    assert (total.generated_tokens, total.prm_cached_tokens, total.flops, total.wall_seconds) == (40, 20, 4e9, 7)


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_totals_add_up_the_same_in_one_go_or_two(first: list[int], second: list[int]) -> None:
    rows = [[builders.record("p", num_steps=steps).problem for steps in side] for side in (first, second)]
    assert Totals().plus(rows[0]).plus(rows[1]) == Totals().plus([*rows[0], *rows[1]])


def test_a_commit_of_an_epoch_lower_than_one_before_it_is_void() -> None:
    made = log_of(1, 1, 2, 1, 2, 1, 3, 2, 3)
    assert [commit.number for commit in visible(made)] == [1, 2, 3, 5, 7, 9]


@given(st.lists(st.integers(1, 4), max_size=20))
def test_the_fencing_rule_equals_its_definition(epochs: list[int]) -> None:
    made = log_of(*epochs)
    obvious = [c for c in made if all(before.epoch <= c.epoch for before in made if before.number < c.number)]
    assert visible(made) == obvious


@given(st.lists(st.integers(1, 4), max_size=20))
def test_the_running_log_equals_all_visible_commits_at_once(epochs: list[int]) -> None:
    made = log_of(*epochs)
    log, seen = folded(made), visible(made)
    assert log.number == len(made)
    assert log.parts == [part for commit in seen for part in commit.parts]
    assert log.batches == {batch for commit in seen for batch in commit.batches}
    last = seen[-1] if seen else None
    assert log.epoch == (last.epoch if last else 0)
    assert (log.totals, log.lost_tokens, log.leased_tokens) == (
        (last.totals, last.lost_tokens, last.leased_tokens) if last else (Totals(), 0, 0)
    )


def test_a_log_takes_commits_in_order_only() -> None:
    with pytest.raises(ValueError, match="commit 3 does not follow commit 1"):
        folded([builders.commit(1, 1), builders.commit(3, 1)])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_reading_by_checkpoints_equals_reading_every_commit(epochs: list[int], rng: random.Random) -> None:
    store, slow = MemoryStore(), Log()
    for commit in log_of(*epochs):
        store.create(layout.commit_name(commit.number), encode(commit))
        slow.add(commit)
        if rng.random() < 0.2:
            store.create(layout.checkpoint_name(commit.number), encode_checkpoint(slow))
            slow.checkpoint = commit.number
    assert read_log(store) == slow


@given(st.sets(st.integers(0, 60)))
def test_batches_survive_the_trip_through_a_checkpoint(batches: set[int]) -> None:
    log = folded([builders.commit(1, 1, batches=tuple(batches))])
    assert decode_checkpoint(encode_checkpoint(log), "x").batches == batches


@pytest.mark.parametrize("ranges", [[[1]], [[1, 2, 3]], [[2, 1]], [[3, 4], [1, 2]]])
def test_a_checkpoint_of_nonsense_is_refused(ranges: list[list[int]]) -> None:
    data = json.loads(encode_checkpoint(folded(log_of(1)))) | {"batch_ranges": ranges}
    with pytest.raises(StoreFailed, match="ascending pairs"):
        decode_checkpoint(json.dumps(data).encode(), "x")


def test_a_hole_in_the_log_is_a_failure_and_not_the_end() -> None:
    store = MemoryStore()
    for commit in log_of(1, 1, 1):
        store.create(layout.commit_name(commit.number), encode(commit))
    store.delete(layout.commit_name(2))
    with pytest.raises(StoreFailed, match=r"_commits/0000000002\.json is gone"):
        read_log(store)


def test_a_file_under_another_commits_name_is_a_failure() -> None:
    store = MemoryStore()
    store.create(layout.commit_name(1), encode(builders.commit(2, 1)))
    with pytest.raises(StoreFailed, match="holds commit 2"):
        read_commit(store, 1)
    store.create(layout.checkpoint_name(5), encode_checkpoint(folded(log_of(1))))
    with pytest.raises(StoreFailed, match="holds the checkpoint of commit 1"):
        read_log(store)


def test_foreign_files_beside_the_commits_are_not_read() -> None:
    store = MemoryStore()
    store.create("_commits/0000000001.json.bak", b"junk")
    store.create("_commits/notes.json", b"junk")
    assert read_log(store) == Log()


def test_success_tells_what_the_log_tells() -> None:
    log = folded(log_of(1, 1))
    success = Success.of(log, finished_at=builders.UTC_MOMENT)
    assert (success.commit, success.num_problems, success.totals) == (2, log.totals.problems, log.totals)
    assert decode(Success, encode(success), layout.SUCCESS) == success


class RacingWriters(RuleBasedStateMachine):
    """Writers of several epochs, each slow at any point, over one set of create-if-absent names.

    A writer reads all commits, then creates the next one. Between the two anything may happen.
    """

    writers = Bundle("writers")

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.num_epochs = 0
        self.known: dict[int, Log] = {}
        self.fenced: set[int] = set()
        self.confirmed: list[tuple[int, int]] = []
        self.seen: list[Part] = []

    @rule(target=writers)
    def take_the_next_epoch(self) -> int:
        self.num_epochs += 1
        self.known[self.num_epochs] = Log()
        return self.num_epochs

    @rule(epoch=writers)
    def read(self, epoch: int) -> None:
        self.known[epoch] = read_log(self.store)

    @rule(epoch=writers)
    def commit(self, epoch: int) -> None:
        log = self.known[epoch]
        if log.epoch > epoch:
            return  # it has read of a higher epoch, and stops
        fence = log.epoch < epoch
        commit = builders.commit(log.number + 1, epoch, parts=0 if fence else 2)
        if self.store.create(layout.commit_name(commit.number), encode(commit)):
            assert log.add(commit)
            self.fenced.add(epoch)
            self.confirmed.append((commit.number, epoch))
        else:
            log.add(read_commit(self.store, commit.number))

    @rule(epoch=writers)
    def commit_blindly(self, epoch: int) -> None:
        """A store that let a stale writer skip ahead: readers are safe even then."""
        number = read_log(self.store).number + 1
        if epoch < max(self.fenced, default=0):
            self.store.create(layout.commit_name(number), encode(builders.commit(number, epoch)))

    @precondition(lambda self: self.num_epochs > 0)
    @invariant()
    def what_was_confirmed_is_visible(self) -> None:
        made = [read_commit(self.store, number) for number in range(1, read_log(self.store).number + 1)]
        numbers = {(commit.number, commit.epoch) for commit in visible(made)}
        assert numbers.issuperset(self.confirmed)

    @invariant()
    def visible_parts_only_grow_and_never_from_behind_a_fence(self) -> None:
        parts = read_log(self.store).parts
        assert parts[: len(self.seen)] == self.seen
        epochs = [int(part.name.split("-")[1]) for part in parts]
        assert epochs == sorted(epochs)
        self.seen = list(parts)


RacingWriters.TestCase.settings = settings(max_examples=some_of(60), stateful_step_count=30, deadline=None)
TestRacingWriters = RacingWriters.TestCase


def used(number: int, epoch: int, elapsed_s: float) -> Commit:
    held = ReplicaUsage(name="a", role="prm", held_s=elapsed_s, busy_s=0.0, call_s=0.0)
    return dataclasses.replace(builders.commit(number, epoch), usage=Usage(elapsed_s=elapsed_s, replicas=(held,)))


@given(pauses_s=st.lists(st.floats(0.01, 100), min_size=1, max_size=500), fenced_at=st.integers(0, 500))
@settings(max_examples=some_of(20))
def test_the_usages_of_a_long_run_are_thinned_evenly_and_the_last_is_kept(
    pauses_s: list[float], fenced_at: int
) -> None:
    """Two epochs; whoever goes on from a checkpoint comes to the same."""
    log, resumed = Log(), Log()
    times_s: dict[int, list[float]] = {1: [], 2: []}
    for number, pause_s in enumerate(pauses_s, 1):
        epoch = 1 if number <= fenced_at else 2
        times_s[epoch].append((times_s[epoch] or [0.0])[-1] + pause_s)
        commit = used(number, epoch, times_s[epoch][-1])
        log.add(commit)
        resumed.add(commit)
        if number % 97 == 0:
            resumed = decode_checkpoint(encode_checkpoint(resumed), "x")
    assert resumed.usages == log.usages
    for epoch, said_s in times_s.items():
        kept_s = [point.usage.elapsed_s for point in log.usages if point.epoch == epoch]
        assert kept_s == sorted(set(kept_s) & set(said_s))
        assert len(kept_s) == min(len(said_s), MAX_USAGES)
        if said_s:
            assert (kept_s[0], kept_s[-1]) == (said_s[0], said_s[-1])


def test_only_the_last_usage_of_an_epoch_tells_replica_from_replica() -> None:
    names = ("generator-0", "generator-1", "prm-0")
    log = Log()
    for number, epoch in ((1, 1), (2, 1), (3, 2), (4, 2)):
        held = tuple(
            ReplicaUsage(name=name, role="prm" if name == "prm-0" else "generator", held_s=number, busy_s=1, call_s=2)
            for name in names
        )
        log.add(dataclasses.replace(builders.commit(number, epoch), usage=Usage(elapsed_s=number, replicas=held)))
    assert [[replica.name for replica in point.usage.replicas] for point in log.usages] == [
        ["generator", "prm"],
        [*names],
        ["generator", "prm"],
        [*names],
    ]
    assert [(point.usage.held_s("generator"), point.usage.busy_s("prm")) for point in log.usages] == [
        (2, 1),
        (4, 1),
        (6, 1),
        (8, 1),
    ]


def test_what_is_kept_of_even_commits_is_even() -> None:
    log = Log()
    for number in range(1, 5001):
        log.add(used(number, 1, float(number)))
    kept_s = [point.usage.elapsed_s for point in log.usages]
    gaps_s = [after - before for before, after in pairwise(kept_s)]
    assert len(kept_s) == MAX_USAGES
    assert max(gaps_s[:-1]) <= 4 * 5000 / MAX_USAGES
