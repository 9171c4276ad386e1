"""Time, energy and the division of replicas, against what can be reckoned by hand or tried out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.usage import ReplicaUsage, Usage
from scaling.cost_model import Power, Speed, added, busy_s, kwh, replicas_for, speed_of, wall_s

SPEED = Speed({"generator": 1000.0, "prm": 4000.0}, startup_s=30.0, overlap=0.8)


def usage(elapsed_s: float, generator_s: float, prm_s: float, startup_s: float = 30.0) -> Usage:
    held_s = startup_s + elapsed_s
    replicas = (
        ReplicaUsage(name="generator-0", role="generator", held_s=held_s, busy_s=generator_s, call_s=5 * generator_s),
        ReplicaUsage(name="prm-0", role="prm", held_s=held_s, busy_s=prm_s, call_s=prm_s),
    )
    return Usage(elapsed_s=elapsed_s, replicas=replicas)


def test_the_speed_of_a_pilot():
    found = speed_of(usage(100.0, 80.0, 20.0), {"generator": 80_000.0, "prm": 80_000.0})
    assert found == SPEED
    alone = speed_of(usage(100.0, 80.0, 20.0), {"generator": 80_000.0, "prm": 0.0})
    assert set(alone.tokens_per_s) == {"generator"}
    with pytest.raises(ValueError, match="no time"):
        speed_of(usage(100.0, 0.0, 20.0), {"generator": 1.0, "prm": 1.0})


def test_the_same_run_takes_as_long_as_it_took():
    """What is predicted for the pilot's own work and replicas is what the pilot took."""
    work = {"generator": np.asarray([80_000.0]), "prm": np.asarray([80_000.0])}
    assert wall_s(work, SPEED, {"generator": 1, "prm": 1}) == pytest.approx([130.0])
    assert wall_s(work, SPEED, {"generator": 1, "prm": 1}, num_starts=2) == pytest.approx([160.0])
    assert wall_s(work, SPEED, {"generator": 4, "prm": 1}) == pytest.approx([30.0 + 20 / 0.8])
    assert busy_s(work, SPEED)["prm"] == pytest.approx([20.0])


def test_energy_is_busy_and_idle_time_at_their_own_power():
    held = {"generator": np.asarray([100.0]), "prm": np.asarray([100.0])}
    busy = {"generator": np.asarray([80.0]), "prm": np.asarray([20.0])}
    power = {"generator": Power(700.0, 70.0), "prm": Power(300.0, 30.0)}
    assert kwh(held, busy, power) == pytest.approx([(80 * 700 + 20 * 70 + 20 * 300 + 80 * 30) / 3.6e6])


def test_epochs_add_up_and_their_start_ups_count_once():
    both = added([usage(100.0, 80.0, 20.0, startup_s=20.0), usage(50.0, 40.0, 10.0, startup_s=40.0)])
    assert both.elapsed_s == 150.0
    assert [(one.held_s, one.busy_s, one.call_s) for one in both.replicas] == [
        (180.0, 120.0, 600.0),
        (180.0, 30.0, 30.0),
    ]


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.integers(2, 24))
def test_no_other_division_of_replicas_is_faster(generator_tokens, prm_tokens, total):
    work = {"generator": generator_tokens, "prm": prm_tokens}
    split = replicas_for(work, SPEED, total)
    assert sum(split.values()) == total

    def slowest(num_generators):
        return max(generator_tokens / 1000 / num_generators, prm_tokens / 4000 / (total - num_generators))

    assert slowest(split["generator"]) == pytest.approx(min(slowest(count) for count in range(1, total)))
    alone = Speed({"generator": 1000.0}, 0.0, 1.0)
    assert replicas_for(work, alone, total) == {"generator": total}
