"""Energy of a run by hand: held and busy seconds of every epoch, at the watts of the table."""

from pathlib import Path

import pytest

from jobs.recipes.load import load_recipe
from jobs.scoring.cost import gpus_per_replica, load_prices, replica_power, run_kwh
from records.run_folder.reader import read_run
from tests.support.local import LocalRun, problems

RECIPE = Path(__file__).parents[3] / "examples/arithmetic/best-of-16.toml"


def recipe(*overrides: str):
    return load_recipe(RECIPE, overrides)


async def test_what_a_run_took_is_its_busy_and_idle_time_at_their_watts(tmp_path):
    await LocalRun(tmp_path / "run", problems(20), num_generators=2, flush_s=0.01).run()
    run = read_run(tmp_path / "run")
    last = run.log.usages[-1].usage
    core = load_prices(None).device_of("cpu")
    watt_s = sum(core.busy_watts * one.busy_s + core.idle_watts * (one.held_s - one.busy_s) for one in last.replicas)
    assert watt_s > 0
    assert run_kwh(run, recipe("generator.cpu_threads=1", "prm.cpu_threads=1")) == pytest.approx(watt_s / 3.6e6)
    twice = run_kwh(run, recipe("generator.cpu_threads=2", "prm.cpu_threads=2"))
    assert twice == pytest.approx(2 * watt_s / 3.6e6)


async def test_what_is_unknown_is_not_zero(tmp_path):
    await LocalRun(tmp_path / "run", problems(2)).run()
    run = read_run(tmp_path / "run")
    gone = tmp_path / "gone.toml"
    gone.write_bytes((RECIPE.parents[2] / "cluster/prices.toml").read_bytes())
    own = recipe(f"cost.prices={gone}")
    assert run_kwh(run, own) is not None
    gone.unlink()
    assert run_kwh(run, own) is None


def test_a_gpu_is_known_by_its_instance():
    prices = load_prices(None)
    on_gpus = recipe("generator.tensor_parallel_size=2", "cost.generator_instance=p5.48xlarge")
    num_gpus = gpus_per_replica(on_gpus, on_gpus=True)
    assert num_gpus == {"generator": 2, "prm": 1}
    assert replica_power(on_gpus, prices, num_gpus) is None  # of the PRM nobody knows it
    both = recipe("cost.generator_instance=p5.48xlarge", "cost.prm_instance=g6.2xlarge")
    power = replica_power(both, prices, {"generator": 2, "prm": 1})
    assert (power["generator"].busy_watts, power["prm"].busy_watts) == (1400, 72)
