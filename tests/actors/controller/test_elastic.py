"""Replicas that come and go with the work of a run, in one process: when, which, and that nothing is lost by it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from actors.controller import elastic
from actors.controller.controller import Controller
from actors.controller.elastic import Growth
from records.failure import ReplicaDied
from records.replica import ReplicaInfo
from records.run_folder.reader import read_run
from records.usage import Role
from scaling.scheduler import replica_target
from tests.support.fakes import FakeClock, Faults, fake_generator, fake_prm
from tests.support.local import LocalHandle, LocalRun, problems

COUNT = 120


class Growing(LocalRun):
    """A run that may have more replicas than it begins with; `launched` are those that it asked for."""

    def grow(self, role: Role, *, most: int, make: Any, handle: Any = LocalHandle) -> None:
        self.launched: list[LocalHandle[Any]] = []

        def launch(*, numbers: Iterable[int]) -> list[LocalHandle[Any]]:
            made = [handle(f"{role}-{number}", make) for number in numbers]
            self.launched += made
            return made

        found: Mapping[Role, Growth] = {role: Growth(1, most, launch)}
        before = self.controller
        self.controller = Controller(
            problems=before._problems,
            strategy=self.strategy,
            settings=self._settings(),
            so_far=self._so_far(),
            generators=self.generators,
            prms=self.prms,
            writer=before._writer,
            grader=self.grader,
            metrics=self.metrics,
            growth=found,
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(elastic, "FOLLOW_S", 0.01)
    monkeypatch.setattr(elastic, "START_S", 0.0)
    monkeypatch.setattr(replica_target, "GROW_S", 0.05)
    monkeypatch.setattr(replica_target, "SHRINK_S", 0.1)


class RealClock(FakeClock):
    """Time passes by itself."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def slow(make: Callable[..., Any], seconds_per_token: float) -> Callable[[], Any]:
    return lambda: make(faults=Faults(seconds_per_token=seconds_per_token, clock=RealClock()))


async def test_full_generators_ask_for_more_and_the_tail_lets_them_go(tmp_path):
    run = Growing(tmp_path / "run", problems(COUNT), make_generator=slow(fake_generator, 0.002))
    run.grow("generator", most=3, make=slow(fake_generator, 0.002))
    await run.run()
    assert {handle.replica_id for handle in run.launched} >= {"generator-1", "generator-2"}
    rows = read_run(tmp_path / "run").problems().to_pylist()
    assert len({row["problem_id"] for row in rows}) == len(rows) == COUNT
    assert {f"generator-{number}" for number in range(3)} <= set(
        read_run(tmp_path / "run").steps()["replica"].to_pylist()
    )
    notes = run.controller.take_notes()
    assert any("3 generators are wanted now, 1 were" in note for note in notes)


async def test_what_is_let_go_ends_its_calls_first_and_is_paid_for_no_longer(tmp_path):
    gate = asyncio.Event()
    run = Growing(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    run.grow("generator", most=3, make=lambda: fake_generator(faults=Faults(gate=gate)))
    task = asyncio.create_task(run.run())
    samples = run.controller.scheduler.samples
    while not (samples.load("generator-1") and samples.load("generator-2")):  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0.01)
    target = run.controller._elastic._roles[0].target
    target.look = lambda *_, **__: 1
    await asyncio.sleep(0.1)
    assert samples.load("generator-1") > 0, "its calls are still there"
    assert not any(handle.dismissed for handle in run.launched)
    gate.set()
    while not all(handle.dismissed for handle in run.launched):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    held = {one.name: one.held_s for one in run.controller._snapshot()[1].replicas}
    await task
    later = {one.name: one.held_s for one in run.controller._snapshot()[1].replicas}
    assert later["generator-1"] == held["generator-1"]
    assert later["generator-0"] > held["generator-0"]
    assert len(read_run(tmp_path / "run").problems()) == COUNT


async def test_one_that_is_about_to_go_is_there_again_when_it_is_needed(tmp_path):
    gate = asyncio.Event()
    run = Growing(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    run.grow("generator", most=2, make=lambda: fake_generator(faults=Faults(gate=gate)))
    task = asyncio.create_task(run.run())
    while not run.controller.scheduler.samples.load("generator-1"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    role = run.controller._elastic._roles[0]
    wanted = 1
    role.target.look = lambda *_, **__: wanted
    while list(role.leaving) != ["generator-1"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    wanted = 2
    while list(role.handles) != ["generator-1"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert len(run.launched) == 1
    gate.set()
    await task
    assert len(read_run(tmp_path / "run").problems()) == COUNT


async def test_one_that_is_let_go_dies_meanwhile_and_its_work_is_done_elsewhere(tmp_path):
    gate = asyncio.Event()
    run = Growing(tmp_path / "run", problems(COUNT), make_generator=slow(fake_generator, 0.002))
    run.grow("generator", most=2, make=lambda: fake_generator(faults=Faults(gate=gate)))
    task = asyncio.create_task(run.run())
    while not run.controller.scheduler.samples.load("generator-1"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    run.controller._elastic._roles[0].target.look = lambda *_, **__: 1
    await asyncio.sleep(0.05)
    run.controller._fleet._generators["generator-1"].node_gone("told")
    await task
    assert run.launched[0].dismissed
    assert len(read_run(tmp_path / "run").problems()) == COUNT


async def test_prms_follow_their_own_queue(tmp_path):
    run = Growing(tmp_path / "run", problems(COUNT), make_prm=slow(fake_prm, 0.005))
    run.grow("prm", most=3, make=slow(fake_prm, 0.005))
    await run.run()
    assert {handle.replica_id for handle in run.launched} >= {"prm-1"}
    assert len(read_run(tmp_path / "run").problems()) == COUNT


async def test_no_more_are_asked_for_than_the_budget_left_can_use(tmp_path):
    run = Growing(tmp_path / "run", problems(COUNT), make_generator=slow(fake_generator, 0.002), total_tokens=200)
    run.grow("generator", most=8, make=slow(fake_generator, 0.002))
    await run.run()
    assert len(run.launched) == 0


async def test_a_run_that_is_stopped_asks_for_no_more_while_it_ends(tmp_path):
    """Its calls are still there, and its last commit takes a while: one more would never be let go."""
    gate = asyncio.Event()
    run = Growing(
        tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)), flush_s=0.3
    )
    run.grow("generator", most=3, make=slow(fake_generator, 0.002))
    target = run.controller._elastic._roles[0].target
    wanted = 1
    target.look = lambda *_, **__: wanted
    task = asyncio.create_task(run.controller.run())
    while not run.controller.scheduler.samples.num_in_flight:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    end = run.controller._fleet.end

    async def end_and_want() -> None:
        nonlocal wanted
        await end()
        wanted = 3

    run.controller._fleet.end = end_and_want
    await run.controller.stop()
    async with asyncio.timeout(20):
        assert not await task
    assert run.launched == []


class NeverUp(LocalHandle[Any]):
    """Dies whenever it is to come up."""

    async def hello(self) -> ReplicaInfo:
        raise ReplicaDied("it does not come up, as told")


async def test_one_that_never_comes_up_is_given_up_and_not_asked_for_again_and_again(tmp_path):
    run = Growing(tmp_path / "run", problems(COUNT), make_generator=slow(fake_generator, 0.004))
    run.grow("generator", most=2, make=fake_generator, handle=NeverUp)
    await run.run()
    notes = "".join(run.controller.take_notes())
    assert "generator-1 was given up" in notes
    assert len(run.launched) == 1
    assert len(read_run(tmp_path / "run").problems()) == COUNT


async def test_one_that_was_given_up_may_be_let_go(tmp_path):
    gate = asyncio.Event()
    run = Growing(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    run.grow("generator", most=2, make=fake_generator, handle=NeverUp)
    task = asyncio.create_task(run.run())
    async with asyncio.timeout(30):
        while not any(state.replica_id == "generator-1" for state in run.controller._fleet.replicas[2:]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        run.controller._elastic._roles[0].target.look = lambda *_, **__: 1
        while not run.launched[0].dismissed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        gate.set()
        await task
    assert len(read_run(tmp_path / "run").problems()) == COUNT
