"""When a run can begin: which replicas are waited for, which join later, and what ends it before it has begun."""

import asyncio
from collections.abc import Sequence

import pytest

from jobs.scoring.introduction import Arrivals, Introduction
from records.failure import NodeUnfit, NoNode, PreflightFailed, ReplicaDied, ReplicaFailed
from records.nodes import Demand, Node
from records.replica import ReplicaInfo
from records.usage import Role

SLOT = {"slot": 1.0}


class Handle:
    """A replica that has a node once `place_it`, and comes up, or fails, once `come`."""

    def __init__(self, replica_id: str) -> None:
        self.replica_id = replica_id
        self.placed, self.up = asyncio.Event(), asyncio.Event()
        self.failure: Exception | None = None

    async def place(self) -> None:
        await self.placed.wait()
        if isinstance(self.failure, NoNode):
            raise self.failure

    async def hello(self) -> ReplicaInfo:
        await self.up.wait()
        if self.failure is not None:
            raise self.failure
        return ReplicaInfo(self.replica_id, self.replica_id[:-2], "m", None, "", 1, 10, 1, "cpu")

    def come(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.placed.set()
        self.up.set()


class World:
    """Two generators and a PRM, each of which takes a slot; nodes with one slot each."""

    def __init__(self, num_nodes: int) -> None:
        names: list[tuple[Role, str]] = [("generator", "generator-0"), ("generator", "generator-1"), ("prm", "prm-0")]
        self.handles = {name: Handle(name) for _, name in names}
        self.nodes = [Node(node_id=str(number), name="n", resources=SLOT) for number in range(num_nodes)]
        self.ticks: list[Arrivals] = []
        self.placed: list[str] = []
        demands = [Demand(role=role, resources=SLOT) for role in ("generator", "prm", "generator")]
        self.introduction = Introduction(
            [(role, self.handles[name]) for role, name in names],
            demands=demands,
            look=lambda: self.nodes,
            node_kinds={"generator": "slot"},
            on_placed=self.placed.append,
        )

    async def waiting(self) -> "asyncio.Task[tuple[ReplicaInfo, ...]]":
        task = asyncio.create_task(self.introduction.wait(self.ticks.append))
        await asyncio.sleep(0.01)
        return task


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("jobs.scoring.introduction.TICK_S", 0.005)


def names(infos: Sequence[ReplicaInfo]) -> list[str]:
    return [info.incarnation for info in infos]


async def test_all_that_have_room_are_waited_for():
    world = World(num_nodes=3)
    task = await world.waiting()
    for name in ("generator-0", "prm-0"):
        world.handles[name].come()
    await asyncio.sleep(0.05)
    assert not task.done()
    world.handles["generator-1"].come()
    assert names(await task) == ["generator-0", "generator-1", "prm-0"]
    assert world.placed == ["generator-0", "prm-0", "generator-1"]
    assert world.ticks[-1] == Arrivals(3, 0, "")


async def test_one_without_a_node_is_not_waited_for_but_told_of():
    world = World(num_nodes=2)
    task = await world.waiting()
    assert world.ticks[0] == Arrivals(0, 1, "0 of 2 generators, waiting for nodes of kind slot")
    world.handles["generator-1"].come()
    world.handles["prm-0"].come()
    assert names(await task) == ["generator-1", "prm-0"]


async def test_one_whose_node_is_taken_by_others_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("jobs.scoring.introduction.PATIENCE_S", 0.1)
    world = World(num_nodes=3)
    task = await world.waiting()
    assert world.ticks[0] == Arrivals(0, 0, "")
    for name in ("generator-0", "prm-0"):
        world.handles[name].placed.set()
    await asyncio.sleep(0.3)
    assert not task.done()
    assert world.ticks[-1] == Arrivals(0, 1, "0 of 2 generators, waiting for nodes of kind slot")
    for name in ("generator-0", "prm-0"):
        world.handles[name].come()
    assert names(await task) == ["generator-0", "prm-0"]


async def test_a_role_without_any_is_waited_for_until_its_node_comes():
    world = World(num_nodes=1)
    task = await world.waiting()
    world.handles["generator-0"].come()
    await asyncio.sleep(0.05)
    assert not task.done()
    world.nodes.append(Node(node_id="late", name="n", resources=SLOT))
    world.handles["prm-0"].come()
    assert names(await task) == ["generator-0", "prm-0"]


async def test_one_that_fails_is_left_to_the_run_while_another_of_its_role_is_up():
    world = World(num_nodes=3)
    task = await world.waiting()
    world.handles["generator-0"].come(NodeUnfit("node n has no folder"))
    world.handles["prm-0"].come()
    await asyncio.sleep(0.05)
    assert not task.done()
    world.handles["generator-1"].come()
    assert names(await task) == ["generator-1", "prm-0"]
    assert isinstance(world.introduction.failures["generator-0"], NodeUnfit)


@pytest.mark.parametrize("failure", [ReplicaDied("out of memory"), NoNode("no node had room")])
async def test_a_role_whose_replicas_have_all_failed_ends_it(failure):
    world = World(num_nodes=3)
    task = await world.waiting()
    world.handles["generator-0"].come()
    world.handles["prm-0"].come(failure)
    with pytest.raises(ReplicaFailed, match=str(failure)):
        await task


async def test_models_that_do_not_fit_end_it_at_once():
    world = World(num_nodes=3)
    task = await world.waiting()
    world.handles["generator-0"].come(PreflightFailed("the golden example comes out wrong"))
    with pytest.raises(PreflightFailed, match="golden example"):
        await task
