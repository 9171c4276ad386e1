"""Caps on the replicas' time against sums written out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.usage import ReplicaUsage, Usage
from scaling.budget.metering import ReplicaRate
from scaling.budget.time_caps import HeldCost, TimeCaps, replica_seconds

SECONDS = st.floats(0, 1e6)


def replica(role: str, held_s: float) -> ReplicaUsage:
    return ReplicaUsage(name=role, role=role, held_s=held_s, busy_s=0.0, call_s=0.0)


def usage(*replicas: ReplicaUsage) -> Usage:
    return Usage(elapsed_s=0.0, replicas=replicas)


USAGES = st.lists(st.tuples(st.sampled_from(("generator", "prm")), SECONDS), max_size=5).map(
    lambda pairs: usage(*(replica(role, held_s) for role, held_s in pairs))
)
RATES = {"generator": ReplicaRate(2, 7.2), "prm": ReplicaRate(1, 3.6)}
USD_PER_S = {"generator": 0.002, "prm": 0.001}


@given(before=st.lists(USAGES, max_size=3), now=USAGES, drain_s=SECONDS, cap=st.floats(1e-3, 1e7))
def test_spent_and_reached_are_the_plain_sums(before, now, drain_s, cap):
    usd = sum(USD_PER_S[one.role] * one.held_s for epoch in (*before, now) for one in epoch.replicas)
    gpu_seconds = sum(RATES[one.role].num_gpus * one.held_s for epoch in (*before, now) for one in epoch.replicas)
    before_s = replica_seconds(before)
    uncapped = TimeCaps(rates=RATES, before_s=before_s)
    assert uncapped.held(now) == HeldCost(pytest.approx(usd), pytest.approx(gpu_seconds))
    assert uncapped.reached(now, drain_s) is None
    # Only replicas that are held now take part in the end.
    end_usd = usd + drain_s * sum(USD_PER_S[one.role] for one in now.replicas)
    end_gpu_seconds = gpu_seconds + drain_s * sum(RATES[one.role].num_gpus for one in now.replicas)
    for caps, end in (
        (TimeCaps(rates=RATES, before_s=before_s, total_usd=cap), end_usd),
        (TimeCaps(rates=RATES, before_s=before_s, total_gpu_seconds=cap), end_gpu_seconds),
    ):
        if end != pytest.approx(cap):
            assert (caps.reached(now, drain_s) is not None) == (end > cap)


def test_what_nobody_knows_is_not_zero():
    unpriced = TimeCaps(rates={"generator": ReplicaRate(0, None), "prm": ReplicaRate(0, 3.6)})
    assert unpriced.held(usage(replica("generator", 10), replica("prm", 10))) == HeldCost(None, None)
    assert TimeCaps(rates={}).held(usage()) == HeldCost(None, None)


def test_the_cap_that_is_reached_is_named():
    caps = TimeCaps(rates=RATES, total_usd=1.0, total_gpu_seconds=1500.0)
    assert caps.reached(usage(replica("prm", 999)), 0.5) is None
    assert "1 USD" in caps.reached(usage(replica("prm", 999)), 1.0)
    assert "1500 GPU-seconds" in TimeCaps(rates=RATES, total_gpu_seconds=1500.0).reached(
        usage(replica("generator", 750)), 0.0
    )
