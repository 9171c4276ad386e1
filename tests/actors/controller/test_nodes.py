"""Replicas that wait for a node, nodes that die, in one process: what a controller does, says and charges."""

import asyncio
from dataclasses import replace

import pytest

from actors.controller import node_loop
from records.failure import NoNode, ReplicaDied, ReplicaFailed
from records.nodes import Node
from records.run_folder.reader import read_run
from tests.support.fakes import Faults, fake_generator
from tests.support.local import LocalHandle, LocalRun, problems

COUNT = 30


class OnANode(LocalHandle):
    """A replica whose node has to come first; it says which it is on."""

    def __init__(self, replica_id, make, node_id: str, *, placed: bool) -> None:
        super().__init__(replica_id, make)
        self.node_id, self.placed = node_id, asyncio.Event()
        self.no_node: NoNode | None = None
        self.broken = False
        if placed:
            self.placed.set()

    async def place(self) -> None:
        await self.placed.wait()
        if self.no_node is not None:
            self.placed.clear()
            raise self.no_node

    def _alive(self):
        if self.broken:
            raise ReplicaDied("the connection is broken")
        return super()._alive()

    async def hello(self):
        return replace(await super().hello(), node_id=self.node_id, node=self.node_id)


class NodesRun(LocalRun):
    """Two generators on nodes a and b; the second has none yet. `nodes` are those that the cluster shows."""

    def __post_init__(self) -> None:
        self.nodes = [Node(node_id=name, name=name) for name in "ab"]
        self.num_generators = 0
        super().__post_init__()

    def _settings(self):
        self.generators[:] = [
            OnANode("generator-0", self.make_generator, "a", placed=True),
            OnANode("generator-1", self.make_generator, "b", placed=False),
        ]

        async def look():
            return self.nodes

        return replace(
            super()._settings(), nodes=look, held_s={"generator-0": 0.0}, node_kinds={"generator": "generator_slot"}
        )


class Counted(asyncio.Event):
    """A gate that lets so many calls through before it is set, and says when it has."""

    def __init__(self, num_calls: int) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self._left = num_calls

    async def wait(self):
        self._left -= 1
        if self._left >= 0:
            return True
        self.reached.set()
        return await super().wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(node_loop, "LOOK_S", 0.01)


async def test_a_run_begins_without_those_that_have_no_node_and_they_join_it(tmp_path):
    gate = Counted(20)
    run = NodesRun(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    task = asyncio.create_task(run.run())
    await gate.reached.wait()
    progress = run.controller.progress()
    assert (progress.replicas_ready, progress.replicas_wanted, progress.replicas_waiting) == (2, 3, 1)  # with the PRM
    assert progress.waiting == "1 of 2 generators, waiting for nodes of kind generator_slot"
    usage = {one.name: one.held_s for one in run.controller._snapshot()[1].replicas}
    assert usage["generator-0"] > 0
    assert "generator-1" not in usage
    run.generators[1].placed.set()
    while run.controller.progress().replicas_ready < 3:  # noqa: ASYNC110 - the controller has no event for it
        await asyncio.sleep(0.01)
    gate.set()
    await task
    assert run.controller.progress().waiting == ""
    steps = read_run(tmp_path / "run").steps()
    assert set(steps["replica"].to_pylist()) == {"generator-0", "generator-1"}
    assert {one.name for one in run.controller._snapshot()[1].replicas if one.held_s > 0} >= {"generator-1"}


async def test_a_node_that_the_cluster_calls_dead_takes_its_replica_with_it(tmp_path):
    """Its engine hangs and its connection stands: nobody but the head says that it is gone."""
    frozen = Counted(0)
    run = NodesRun(tmp_path / "run", problems(COUNT))
    run.generators[0]._make = lambda: fake_generator(faults=Faults(gate=frozen))
    run.generators[0].replica = run.generators[0]._fresh()
    task = asyncio.create_task(run.run())
    await frozen.reached.wait()
    run.generators[1].placed.set()
    run.generators[0].placed.clear()
    run.nodes[0] = replace(run.nodes[0], alive=False)
    await task
    rows = read_run(tmp_path / "run").problems().to_pylist()
    assert len({row["problem_id"] for row in rows}) == COUNT
    assert any("its node a is gone" in note for note in run.controller.take_notes())
    assert set(read_run(tmp_path / "run").steps()["replica"].to_pylist()) == {"generator-1"}


async def test_a_dead_node_costs_nothing_also_where_its_connection_broke_first(tmp_path):
    """As it mostly does: the replica is down already when the head says that its node is gone."""
    gate = Counted(4)
    run = NodesRun(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    run.generators[1].placed.set()
    task = asyncio.create_task(run.run())
    await gate.reached.wait()
    lost = run.generators[0]
    lost.placed.clear()
    lost.broken = True
    while "generator-0 is gone" not in "".join(run.controller.take_notes()):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    run.nodes[0] = replace(run.nodes[0], alive=False)
    await asyncio.sleep(0.2)
    held = {one.name: one.held_s for one in run.controller._snapshot()[1].replicas}
    await asyncio.sleep(0.2)
    later = {one.name: one.held_s for one in run.controller._snapshot()[1].replicas}
    assert later["generator-0"] == held["generator-0"]
    assert later["generator-1"] > held["generator-1"]
    gate.set()
    await task


async def test_without_a_node_for_any_of_a_role_the_run_ends_and_says_what_it_waited_for(tmp_path):
    run = NodesRun(tmp_path / "run", problems(COUNT))
    for handle in run.generators:
        handle.no_node = NoNode(f"no node had room for {handle.replica_id} in 9 s")
        handle.placed.set()
    with pytest.raises(ReplicaFailed, match=r"in 9 s.*0 of 2 generators, waiting for nodes of kind generator_slot"):
        await run.run()


async def test_one_that_finds_no_node_is_asked_for_again_while_another_works(tmp_path):
    run = NodesRun(tmp_path / "run", problems(COUNT), make_generator=fake_generator)
    waiting = run.generators[1]
    waiting.no_node = NoNode("no node had room for generator-1 in 9 s")
    waiting.placed.set()
    await run.run()
    assert len(read_run(tmp_path / "run").problems()) == COUNT


async def test_a_node_that_is_about_to_go_gets_no_more_work(tmp_path):
    gate = Counted(8)
    run = NodesRun(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    run.generators[1].placed.set()
    task = asyncio.create_task(run.run())
    await gate.reached.wait()
    run.nodes[0] = replace(run.nodes[0], draining=True)
    samples = run.controller.scheduler.samples
    notes = ""
    while "node a is about to go: generator-0 gets no more work" not in notes:
        notes += "".join(run.controller.take_notes())
        await asyncio.sleep(0.01)
    had = samples.load("generator-0")
    gate.set()
    while samples.load("generator-0"):
        assert samples.load("generator-0") <= had
        await asyncio.sleep(0)
    await task
    assert samples.load("generator-0") == 0
    rows = read_run(tmp_path / "run").problems().to_pylist()
    assert len({row["problem_id"] for row in rows}) == COUNT
    assert sum("is about to go" in note for note in (notes, *run.controller.take_notes())) == 1, "said once"


async def test_the_only_node_of_a_role_works_until_it_goes(tmp_path):
    gate = Counted(8)
    run = NodesRun(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    task = asyncio.create_task(run.run())
    await gate.reached.wait()
    run.nodes[0] = replace(run.nodes[0], draining=True)
    await asyncio.sleep(0.1)
    gate.set()
    await task
    assert len(read_run(tmp_path / "run").problems()) == COUNT
    assert not any("is about to go" in note for note in run.controller.take_notes())
