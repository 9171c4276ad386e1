"""What a replica makes of an engine that refuses, loses, hangs or dies; over the fakes."""

import asyncio

import pytest

from actors.replicas.generator import Generator
from records.calls import (
    NOTHING_SAMPLED,
    CallFailed,
    PrefixMissing,
    SampleCall,
    Sampled,
    SampleResult,
    Sampling,
    TokenPrefix,
    root_prefix_id,
)
from records.failure import ReplicaDied
from records.request import Until
from tests.support.fakes import FakeClock, FakeGeneratorEngine, Faults, deaths, fake_generator, fake_prm


def call(number: int) -> SampleCall:
    prefix = TokenPrefix("What?", ())
    return SampleCall(f"{number}", root_prefix_id("What?"), prefix, Until.STEP, 50, number, Sampling(1.0))


async def results_of(replica, calls):
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, calls)
    found: list[SampleResult] = []
    acked = 0
    while len(found) < len(calls):
        collected = await replica.collect(info.incarnation, 1, acked, 60.0)
        acked = collected.last
        found += collected.results
    return found


async def test_a_refused_and_a_lost_call_fail_alone():
    replica = fake_generator(faults=Faults(refuse_at={1}, lose_at={2}))
    refused, lost, fine = await results_of(replica, [call(1), call(2), call(3)])
    assert refused == CallFailed("1", refused.error, retryable=False)
    assert lost == CallFailed("2", lost.error, retryable=True)
    assert isinstance(fine, Sampled)


async def test_a_replica_that_forgets_asks_again():
    replica = fake_generator(max_prefix_tokens=0)
    (sampled,) = await results_of(replica, [call(1)])
    assert isinstance(sampled, Sampled)
    info = await replica.hello()
    short = SampleCall("again", root_prefix_id("What?"), None, Until.STEP, 50, 0, Sampling(1.0))
    await replica.submit(info.incarnation, 2, [short])
    assert (await replica.collect(info.incarnation, 2, 0, 60.0)).results == (PrefixMissing("again"),)


@pytest.mark.parametrize("busy", [True, False])
async def test_a_dead_engine_takes_its_replica_down_at_once(busy, caplog):
    gate = asyncio.Event()
    replica = fake_generator(faults=Faults(gate=gate))
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, [call(1)] if busy else [])
    waiting = asyncio.create_task(replica.collect(info.incarnation, 1, 0, 60.0))
    await asyncio.sleep(0)
    assert isinstance(replica.engine, FakeGeneratorEngine)
    replica.engine.die()
    with pytest.raises(ReplicaDied):
        await waiting
    assert deaths(replica) == [1]
    with pytest.raises(ReplicaDied):
        await replica.hello()
    await replica.close()


async def test_an_engine_that_hangs_is_not_healthy():
    replica = fake_generator(faults=Faults(gate=asyncio.Event()))
    await replica.hello()
    with pytest.raises(ReplicaDied, match="did not answer"):
        await replica.check_health(0.0)
    assert deaths(replica) == []


async def test_a_busy_engine_is_healthy_when_something_else_comes_back(monkeypatch):
    clock = FakeClock()
    replica = fake_generator(faults=Faults(seconds_per_token=1.0, clock=clock))
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, [call(1)])

    async def slow_canary(replica: Generator) -> None:
        for _ in range(20):  # until the call waits for the clock
            await asyncio.sleep(0)
        assert clock.next_due_s is not None
        clock.advance(1000.0)
        await replica.collect(info.incarnation, 1, 0, 60.0)
        raise TimeoutError

    monkeypatch.setattr(type(replica), "_canary", slow_canary)
    await replica.check_health(60.0)


async def test_nothing_runs_before_hello():
    for replica in (fake_generator(), fake_prm()):
        with pytest.raises(ReplicaDied, match="hello"):
            await replica.check_health(1.0)


async def test_a_cancelled_call_leaves_the_engine():
    gate = asyncio.Event()
    replica = fake_generator(faults=Faults(gate=gate))
    info = await replica.hello()
    await replica.submit(info.incarnation, 1, [call(1), call(2)])
    await asyncio.sleep(0)
    await replica.cancel(info.incarnation, 1, ["1"])
    collected = await replica.collect(info.incarnation, 1, 0, 60.0)
    assert collected.results == (CallFailed("1", NOTHING_SAMPLED, retryable=False),)
    gate.set()
    [whole] = (await replica.collect(info.incarnation, 1, 1, 60.0)).results
    assert (whole.key, isinstance(whole, Sampled)) == ("2", True)
