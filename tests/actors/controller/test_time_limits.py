"""Deadline and caps on the replicas' time, by a controller on the fakes: every problem still gets its row."""

import asyncio
from collections import Counter

import pytest

from actors.writer.lease import read_lease
from actors.writer.run_state import last_usages
from cluster.store import LocalStore
from records.run_folder.epochs import Lease, Owner, utc
from records.run_folder.log import Log
from records.run_folder.reader import read_run
from records.usage import ReplicaUsage, Usage, UsagePoint
from scaling.budget.metering import ReplicaRate
from tests.support.local import LocalRun, problems

COUNT = 60
RATES = {"generator": ReplicaRate(0, 3600.0), "prm": ReplicaRate(0, 3600.0)}
"""A USD per second and replica, two in all."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look with every turn of the loop."""
    monkeypatch.setattr("actors.controller.time_limits.CHECK_INTERVAL_S", 0.0)


def statuses(run: LocalRun) -> Counter[str]:
    rows = read_run(run.folder).problems().to_pylist()
    assert sorted(row["problem_id"] for row in rows) == sorted(problem.problem_id for problem in run.problems)
    return Counter(row["status"] for row in rows)


async def test_a_cap_in_usd_ends_the_run_with_every_row(tmp_path, often):
    run = LocalRun(tmp_path / "run", problems(COUNT), rates=RATES, total_usd=0.02)
    await run.run()
    assert statuses(run)["budget_exhausted"] > 0
    [note] = run.controller.take_notes()
    assert "cap of 0.02 USD is reached" in note
    counts = run.controller.scheduler.counts
    assert run.controller.progress().usd + 2.0 * (counts.longest_sample_s + counts.longest_score_s) >= 0.02


async def test_a_deadline_ends_the_run_with_every_row(tmp_path, often):
    run = LocalRun(tmp_path / "run", problems(COUNT), deadline_s=0.01)
    await run.run()
    assert statuses(run)["budget_exhausted"] > 0
    [note] = run.controller.take_notes()
    assert "deadline of 0.01 s has passed" in note


async def test_a_cap_that_is_not_reached_changes_nothing(tmp_path, often):
    run = LocalRun(tmp_path / "run", problems(COUNT), rates=RATES, total_usd=1e6)
    await run.run()
    assert statuses(run) == {"succeeded": COUNT}
    assert run.controller.take_notes() == []


async def test_the_next_epoch_begins_with_what_was_spent(tmp_path, often):
    some_done = asyncio.Event()
    first = LocalRun(tmp_path / "run", problems(COUNT), rates=RATES, flush_s=0.02)
    first.on_rows = some_done.set
    running = asyncio.create_task(first.controller.run())
    await some_done.wait()
    await first.controller.stop()
    assert await running is False
    spent = first.controller.progress().usd
    first.writer.release(first.controller.charged_tokens())
    assert read_run(first.folder).problems().num_rows < COUNT
    again = LocalRun(tmp_path / "run", problems(COUNT), rates=RATES, total_usd=spent / 100)
    assert again.controller.progress().usd > spent / 100
    await again.run()
    assert again.controller.scheduler.counts.samples == 0  # nothing was granted
    assert statuses(again)["budget_exhausted"] > 0


async def test_a_heartbeat_carries_the_usage(tmp_path):
    run = LocalRun(tmp_path / "run", problems(4))
    await run.run()
    lease = read_lease(LocalStore(tmp_path / "run"), 1)
    assert {one.name for one in lease.usage.replicas} == {"generator-0", "prm-0"}


def said(elapsed_s: float) -> Usage:
    held = ReplicaUsage(name="a", role="prm", held_s=5 + elapsed_s, busy_s=0.0, call_s=0.0)
    return Usage(elapsed_s=elapsed_s, replicas=(held,))


def lease(epoch: int, usage: Usage | None) -> Lease:
    moment = utc(1.0)
    owner = Owner("host", "", 1, None)
    return Lease(epoch=epoch, writer="w", owner=owner, started_at=moment, heartbeat_at=moment, usage=usage)


def test_the_last_word_of_each_epoch_counts():
    points = [(1, 3.0), (1, 9.0), (3, 4.0)]
    log = Log(usages=[UsagePoint(epoch=epoch, created_at=utc(1.0), usage=said(when)) for epoch, when in points])
    leases = [lease(1, said(7.0)), lease(2, said(0.0)), lease(3, said(6.0)), lease(4, None)]
    assert last_usages(log, leases) == (said(9.0), said(0.0), said(6.0))
