"""Plain replicas as Ray actors: what a real process does when it dies, hangs or raises. Engines are fakes here."""

import asyncio
import os
import pickle
import signal
from functools import partial

import pytest
import pytest_asyncio
import ray

from cluster.channel import Channel, ChannelLost
from cluster.launch import WRITER_THREADS, SpareHosts, launch_beside_driver, launch_replicas
from cluster.remote import RemoteController, wait_for
from cluster.replicas import answer
from cluster.session import connect
from records.calls import SampleCall, Sampled, Sampling, TokenPrefix, root_prefix_id
from records.failure import ActorDied, Fenced, NoNode, ReplicaDied, StaleEpoch, StaleIncarnation
from records.nodes import Demand
from records.request import Until
from tests.support.fakes import fake_generator
from tests.support.local import Failing

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def ray_session():
    with connect(None, num_cpus=2, resources={"generator_slot": 1}):
        yield


def call(key: str) -> SampleCall:
    question = "question 1"
    prefix = TokenPrefix(question, ())
    return SampleCall(key, root_prefix_id(question), prefix, Until.END, 100, 5, Sampling(0.7))


@pytest_asyncio.fixture
async def replica(ray_session):
    [made] = launch_replicas(
        fake_generator, Demand(role="generator", resources={"CPU": 0.1}), numbers=(0,), start_timeout_s=60
    )
    yield made
    made.let_go()
    await asyncio.sleep(0)  # what asyncio calls the end of a connection
    made._actor.__ray_terminate__.remote()


async def test_a_replica_serves_and_keeps_results_until_they_are_acknowledged(replica):
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, [call("a"), call("b")])
    await replica.submit(info.incarnation, 1, [call("a")])
    found = {}
    while len(found) < 2:
        collected = await replica.collect(info.incarnation, 1, 0, 5.0)
        found |= {result.key: result for result in collected.results}
    assert set(found) == {"a", "b"}
    assert all(isinstance(result, Sampled) for result in found.values())
    assert (await replica.collect(info.incarnation, 1, collected.last, 0.01)).results == ()


async def test_named_failures_come_out_under_their_names(replica):
    info = await replica.hello()
    await replica.submit(info.incarnation, 5, [])
    with pytest.raises(StaleEpoch):
        await replica.submit(info.incarnation, 4, [call("a")])
    with pytest.raises(StaleIncarnation):
        await replica.submit("somebody else", 5, [call("a")])


async def test_kill_minus_nine_is_a_death_and_a_fresh_process_follows(replica):
    before = await replica.hello()
    polling = asyncio.create_task(replica.collect(before.incarnation, 1, 0, 60.0))
    process_id = await replica._actor.process_id.remote()
    os.kill(process_id, signal.SIGKILL)
    with pytest.raises(ReplicaDied):
        await polling
    await replica.replace()
    after = await replica.hello()
    assert after.incarnation != before.incarnation
    assert await replica._actor.process_id.remote() != process_id


async def test_replacing_a_living_replica_kills_it(replica):
    before = await replica.hello()
    await replica.replace()
    after = await replica.hello()
    assert after.incarnation != before.incarnation


def test_what_ends_a_controller_reaches_the_driver(ray_session):
    controller = RemoteController(Failing)
    while not controller.finished(1.0):
        pass
    with pytest.raises(Fenced, match="epoch 2 has the run"):
        controller.result()
    with pytest.raises(ActorDied):
        controller.call("die")


async def test_a_replica_goes_only_where_its_node_resource_is(ray_session):
    def launched(node_resource: str, start_timeout_s: float):
        demand = Demand(role="generator", resources={"CPU": 0.1, node_resource: 1.0})
        return launch_replicas(fake_generator, demand, numbers=range(2), start_timeout_s=start_timeout_s)

    replicas = launched("generator_slot", 60) + launched("prm_slot", 2)

    async def arrive(replica):
        await replica.place()
        return await replica.hello()

    hellos = [asyncio.create_task(arrive(replica)) for replica in replicas]
    try:
        await asyncio.wait(hellos[:2], return_when=asyncio.FIRST_COMPLETED)
        assert ray.available_resources().get("generator_slot", 0) == 0
        nowhere = await asyncio.gather(*hellos[2:], return_exceptions=True)
        assert [type(failed) for failed in nowhere] == [NoNode, NoNode]
        assert sum(hello.done() for hello in hellos[:2]) == 1
    finally:
        for hello, replica in zip(hellos, replicas, strict=True):
            hello.cancel()
            ray.kill(replica._actor)
        await asyncio.gather(*hellos, return_exceptions=True)


async def test_a_builder_runs_in_the_actors_process(ray_session):
    actor = launch_beside_driver(partial(dict, pid=os.getpid()))
    assert await answer(actor.call.remote("get", "pid")) == os.getpid()
    assert wait_for(actor.process_id.remote()) != os.getpid()


async def test_a_lost_channel_is_made_again_and_nothing_is_lost_with_it(replica):
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, [])
    channel = replica._line._channel
    assert channel is not None
    polling = asyncio.create_task(replica.collect(info.incarnation, 1, 0, 1.0))
    await asyncio.sleep(0.05)
    channel.close()
    assert (await polling).results == ()  # Ray has carried it
    await replica.submit(info.incarnation, 1, [call("a"), call("b")])
    assert replica._line._channel not in {None, channel}
    found: set[str] = set()
    while found != {"a", "b"}:
        found |= {result.key for result in (await replica.collect(info.incarnation, 1, 0, 5.0)).results}


async def test_where_nothing_can_connect_ray_carries_the_calls(replica, monkeypatch, caplog):
    async def refused(address: object, timeout_s: float) -> Channel:
        raise ChannelLost(f"{address}: closed port")

    monkeypatch.setattr(Channel, "connect", refused)
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, [call("a")])
    assert (await replica.collect(info.incarnation, 1, 0, 5.0)).results
    assert len([record for record in caplog.records if "Ray carries" in record.message]) == 1


def test_a_spare_process_is_taken_once_and_a_dead_one_is_not_missed(ray_session):
    hosts = SpareHosts(writer_module="actors.writer.writer", controller_module="actors.controller.settings")
    hosts.refill()
    writer, spare = hosts._spares[WRITER_THREADS], hosts._spares[0]
    assert pickle.loads(pickle.dumps(hosts))._spares == {}  # noqa: S301
    with pytest.raises(ray.exceptions.RayTaskError, match="invalid literal"):
        hosts.take(partial(int, "no number"), threads=WRITER_THREADS)  # what a builder raises is what it raises
    pid = wait_for(spare.process_id.remote())
    first = hosts.take(partial(dict, number=1))
    assert wait_for(first.process_id.remote()) == pid
    hosts.refill()
    ray.kill(hosts._spares[0])
    second = hosts.take(partial(dict, number=2))
    assert [wait_for(actor.call.remote("get", "number")) for actor in (first, second)] == [1, 2]
    for actor in (writer, first, second, *hosts._spares.values()):
        ray.kill(actor)
