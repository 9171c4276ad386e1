"""Time and energy, against what can be reckoned by hand."""

import numpy as np
import pytest

from records.usage import ReplicaUsage, Usage
from scaling.estimation.cost_model import Power, Speed, busy_s, kwh, speed_of, wall_s

SPEED = Speed({"generator": 1000.0, "prm": 4000.0}, startup_s=30.0, overlap=0.8)


def usage(elapsed_s: float, generator_s: float, prm_s: float, startup_s: float = 30.0) -> Usage:
    held_s = startup_s + elapsed_s
    replicas = (
        ReplicaUsage(name="generator-0", role="generator", held_s=held_s, busy_s=generator_s, call_s=5 * generator_s),
        ReplicaUsage(name="prm-0", role="prm", held_s=held_s, busy_s=prm_s, call_s=prm_s),
    )
    return Usage(elapsed_s=elapsed_s, replicas=replicas)


def test_the_speed_of_a_pilot():
    found = speed_of([usage(100.0, 80.0, 20.0)], {"generator": 80_000.0, "prm": 80_000.0})
    assert found == SPEED
    alone = speed_of([usage(100.0, 80.0, 20.0)], {"generator": 80_000.0, "prm": 0.0})
    assert set(alone.tokens_per_s) == {"generator"}
    with pytest.raises(ValueError, match="no time"):
        speed_of([usage(100.0, 0.0, 20.0)], {"generator": 1.0, "prm": 1.0})
    with pytest.raises(ValueError, match="computed nothing"):
        speed_of([usage(100.0, 80.0, 20.0)], {"generator": 0.0, "prm": 0.0})


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


def test_the_speed_of_epochs_with_other_numbers_of_replicas():
    """Eight generators for 100 s, then one: always busy, so nothing is lost; the longer start-up counts."""
    many = Usage(
        elapsed_s=100.0,
        replicas=tuple(
            ReplicaUsage(name=f"generator-{number}", role="generator", held_s=120.0, busy_s=100.0, call_s=100.0)
            for number in range(8)
        ),
    )
    found = speed_of([many, usage(100.0, 100.0, 0.0)], {"generator": 900_000.0, "prm": 0.0})
    assert found == Speed({"generator": 1000.0}, startup_s=30.0, overlap=1.0)
    assert wall_s({"generator": np.asarray([900_000.0])}, found, {"generator": 8}) == pytest.approx([142.5])


def test_a_replica_that_nobody_asks_draws_what_an_idle_one_does():
    held = {"generator": np.asarray([100.0]), "prm": np.asarray([100.0])}
    power = {"generator": Power(700.0, 70.0), "prm": Power(300.0, 30.0)}
    assert kwh(held, {"generator": np.asarray([100.0])}, power) == pytest.approx([(70_000 + 3_000) / 3.6e6])
