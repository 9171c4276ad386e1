"""Every second that a replica is held is some problem's: the meter against one that shares out tick by tick."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.usage import Role
from scaling.budget.metering import ROLES, Meter, ReplicaRate, Share
from scaling.search.accounting import with_share
from scaling.strategies.best_of_n import best_of_n
from scaling.strategy import SearchLimits
from tests.records.builders import record
from tests.support.tiers import some_of
from tests.support.world import World, problems, scheduler_for

REPLICAS: dict[str, Role] = {"g0": "generator", "g1": "generator", "p0": "prm"}
NAMES = ("a", "b", "c")

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 5)),
        st.tuples(st.just("send"), st.sampled_from(NAMES), st.sampled_from(sorted(REPLICAS))),
        st.tuples(st.just("end"), st.integers(0, 10**6)),
        st.tuples(st.just("close"), st.sampled_from(NAMES)),
    ),
    max_size=40,
)


class SlowMeter:
    """Goes through every replica and every problem each second."""

    def __init__(self, startup_s: int) -> None:
        self.left = set(NAMES)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.shares = {name: dict.fromkeys(ROLES, 0.0) for name in NAMES}
        self.busy_s: Counter[str] = Counter()
        self.call_s: Counter[str] = Counter()
        self.unshared_s = 0.0
        for _ in range(startup_s):
            self.second()

    def second(self) -> None:
        for replica, role in REPLICAS.items():
            own = {
                name: sum(self.calls[name, other] for other in REPLICAS if REPLICAS[other] == role) for name in NAMES
            }
            every = {name: sum(self.calls[name, other] for other in REPLICAS) for name in NAMES}
            weights = own if any(own.values()) else every if any(every.values()) else dict.fromkeys(self.left, 1)
            total = sum(weights.values())
            self.unshared_s += not total
            for name, weight in weights.items():
                self.shares[name][role] += weight / total if total else 0.0
            at_replica = sum(self.calls[name, replica] for name in NAMES)
            self.busy_s[replica] += at_replica > 0
            self.call_s[replica] += at_replica


@given(EVENTS, st.integers(0, 3))
def test_the_meter_is_the_slow_one(events, startup_s):
    slow = SlowMeter(startup_s)
    meter = Meter(REPLICAS, num_problems=len(NAMES), startup_s=startup_s, now_s=100.0)
    now_s, flying, closed = 100.0, [], {}
    for event in [*events, *(("close", name) for name in NAMES)]:
        if event[0] == "wait":
            now_s += event[1]
            for _ in range(event[1]):
                slow.second()
            meter.advance(now_s)
        elif event[0] == "send" and event[1] in slow.left:
            flying.append(event[1:])
            slow.calls[event[1:]] += 1
            meter.change(*event[1:], 1)
        elif event[0] == "end" and flying:
            gone = flying.pop(event[1] % len(flying))
            slow.calls[gone] -= 1
            meter.change(*gone, -1)
        elif event[0] == "close" and event[1] in slow.left:
            for gone in [one for one in flying if one[0] == event[1]]:  # a problem that ends has no calls left
                flying.remove(gone)
                slow.calls[gone] -= 1
                meter.change(*gone, -1)
            slow.left.remove(event[1])
            assert meter.share_so_far(event[1]) == meter.share_so_far(event[1])
            closed[event[1]] = meter.close(event[1])
    for name, share in closed.items():
        assert (share.generator_s, share.prm_s) == pytest.approx(tuple(slow.shares[name].values()))
    usage = meter.usage()
    held_s = sum(replica.held_s for replica in usage.replicas)
    assert sum(share.generator_s + share.prm_s for share in closed.values()) + slow.unshared_s == pytest.approx(held_s)
    for replica in usage.replicas:
        assert replica.held_s == pytest.approx(startup_s + now_s - 100.0)
        assert (replica.busy_s, replica.call_s) == (slow.busy_s[replica.name], slow.call_s[replica.name])
        assert replica.busy_s <= replica.held_s


@settings(max_examples=some_of(25), deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 150]))
def test_the_shares_of_a_run_add_up_to_what_it_held(seed, total_tokens):
    """Under deaths, retries and a cap too; nothing is in flight any more when a problem has concluded."""
    roles: dict[str, Role] = {"g0": "generator", "g1": "generator", "p0": "prm", "p1": "prm"}
    meter = Meter(roles, num_problems=6, startup_s=30.0)
    strategy = lambda root: best_of_n(root, limits=SearchLimits(max_tokens=40, max_step_tokens=8), num_samples=4)  # noqa: E731
    scheduler = scheduler_for(strategy, total_tokens=total_tokens, on_flight=meter.change)
    world = World(scheduler, random.Random(seed), death_rate=0.05, missing_rate=0.1, meter=meter)
    world.run(problems(6))
    shares = [meter.close(problem.problem_id) for problem in problems(6)]
    usage = meter.usage()
    assert sum(share.generator_s for share in shares) == pytest.approx(usage.held_s("generator"))
    assert sum(share.prm_s for share in shares) == pytest.approx(usage.held_s("prm"))
    assert usage.held_s("prm") == pytest.approx(2 * (30.0 + usage.elapsed_s))
    assert not any(time.num_calls for time in meter._times.values())


def test_a_clock_that_goes_back_stands_still():
    meter = Meter(REPLICAS, num_problems=1, now_s=5.0)
    meter.advance(8.0)
    meter.advance(6.0)
    assert meter.now_s == 8.0
    assert meter.usage().elapsed_s == 3.0


@pytest.mark.parametrize(
    ("rates", "gpu_seconds", "usd"),
    [
        ({}, None, None),
        ({"generator": ReplicaRate(0, None)}, None, None),
        ({"generator": ReplicaRate(2, 36.0), "prm": ReplicaRate(1, 3.6)}, 220.0, 1.02),
        ({"generator": ReplicaRate(2, 36.0), "prm": ReplicaRate(1, None)}, 220.0, None),
        ({"generator": ReplicaRate(0, 36.0)}, None, 1.0),
    ],
)
def test_what_a_share_costs(rates, gpu_seconds, usd):
    row = with_share(record("p").problem, Share(100.0, 20.0), rates)
    assert (row.generator_seconds, row.prm_seconds) == (100.0, 20.0)
    assert row.gpu_seconds == gpu_seconds
    assert row.usd == (pytest.approx(usd) if usd is not None else None)
