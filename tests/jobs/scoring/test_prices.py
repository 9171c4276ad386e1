"""Price tables: the shipped one, a user's own, and what is wrong with one."""

from pathlib import Path

import pytest

from jobs.recipes.load import load_recipe
from jobs.scoring.cost import check_cost, load_prices, replica_rates
from records.failure import InvalidInput

RECIPE = Path(__file__).parents[3] / "examples/arithmetic/best-of-16.toml"
TABLE = """
dated = "2026-01-02"
currency = "USD"
[[instance]]
name = "big"
num_gpus = 4
num_cpus = 32
usd_per_hour = 8.0
[[device]]
name = "L4"
match = "L4"
busy_watts = 72
idle_watts = 16
[[device]]
name = "L40S"
match = "L40S"
busy_watts = 350
idle_watts = 35
"""


def recipe(*overrides: str):
    return load_recipe(RECIPE, overrides)


def test_the_shipped_table_prices_what_it_names():
    prices = load_prices(None)
    for instance in prices.instance:
        priced = recipe(f"cost.generator_instance={instance.name}", f"cost.prm_instance={instance.name}")
        check_cost(priced)
        num_gpus = min(1, instance.num_gpus)
        rate = replica_rates(priced, prices, {"generator": num_gpus, "prm": num_gpus})["generator"]
        threads = priced.generator.cpu_threads
        share = 1 / instance.num_gpus if num_gpus else threads / instance.num_cpus
        assert rate.usd_per_hour == pytest.approx(instance.usd_per_hour * share)
        assert instance.gpu is None or prices.device_of(f"NVIDIA {instance.gpu} 80GB") is not None


def test_a_role_without_an_instance_has_no_price():
    rates = replica_rates(recipe(), load_prices(None), {"generator": 1, "prm": 1})
    assert {rate.usd_per_hour for rate in rates.values()} == {None}


def test_a_table_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(TABLE)
    own = recipe(f"cost.prices={file}", "cost.generator_instance=big", "cost.prm_instance=big")
    check_cost(own)
    rates = replica_rates(own, load_prices(str(file)), {"generator": 2, "prm": 1})
    assert [rate.usd_per_hour for rate in rates.values()] == [4.0, 2.0]
    device = load_prices(str(file)).device_of("NVIDIA L40S")
    assert device is not None
    assert device.busy_watts == 350
    assert load_prices(str(file)).device_of("TPU") is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["cost.generator_instance=p9"], "no such instance"),
        (["cost.generator_instance=p5.4xlarge", "cost.market=spot"], "no spot price"),
        (["cost.prices=/nowhere.toml"], "cannot be read"),
        (["budget.total_usd=1", "cost.generator_instance=m7i.2xlarge"], "without cost.prm_instance"),
        (["budget.total_gpu_seconds=1", "cluster.device=cpu"], "run on CPUs"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(overrides, said):
    with pytest.raises(InvalidInput, match=said):
        check_cost(recipe(*overrides))


def test_caps_that_can_be_reached_are_taken():
    check_cost(recipe("budget.total_usd=1", "cost.generator_instance=m7i.2xlarge", "cost.prm_instance=m7i.2xlarge"))
    check_cost(recipe("budget.total_usd=1", "strategy.name=majority", "cost.generator_instance=m7i.2xlarge"))
    check_cost(recipe("budget.total_gpu_seconds=1", "cluster.device=gpu"))
    check_cost(recipe("budget.total_gpu_seconds=1"))  # the cluster decides, and says so at the launch


def test_a_replica_that_does_not_fit_its_instance():
    fitted = recipe("cost.generator_instance=g6e.2xlarge")
    with pytest.raises(InvalidInput, match="has 1 GPUs, and a replica takes 2"):
        replica_rates(fitted, load_prices(None), {"generator": 2, "prm": 1})


@pytest.mark.parametrize(
    ("line", "by", "said"),
    [
        ('dated = "2026-01-02"', 'dated = "yesterday"', "yesterday"),
        ("usd_per_hour = 8.0", "usd_per_hour = -1", "instance.0.usd_per_hour"),
        ("num_cpus = 32", "num_cups = 32", "num_cups"),
        ('currency = "USD"', 'currency = "EUR"', "currency"),
        (
            "[[device]]",
            '[[instance]]\nname = "big"\nnum_gpus = 1\nnum_cpus = 1\nusd_per_hour = 1.0\n[[device]]',
            "there twice",
        ),
    ],
)
def test_a_mistake_in_a_table_is_named(tmp_path, line, by, said):
    file = tmp_path / "mine.toml"
    file.write_text(TABLE.replace(line, by, 1))
    with pytest.raises(InvalidInput, match=said):
        load_prices(str(file))
