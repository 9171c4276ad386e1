"""`ray_cluster.yaml`: valid for Ray, and offering what the launcher asks for."""

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray._private.label_utils import validate_node_label_syntax, validate_node_labels
from ray.autoscaler._private.util import prepare_config, validate_config

from jobs.recipes.load import load_recipe
from jobs.scoring.placement import node_slots
from tests.support.yaml_checks import KINDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe for this cluster in the docs, with the models of the repository."""
    [block] = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/ray-jobs.md").read_text(), re.DOTALL)
    path = tmp_path_factory.mktemp("recipe") / "cluster.toml"
    path.write_text(block)
    models = [f"{role}.model={ROOT / 'examples/arithmetic' / role}" for role in ("generator", "prm")]
    return load_recipe(path, [*models, "strategy.name=best-of-n", "strategy.num_samples=4"])


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """As `ray up` does, before it speaks to anybody."""
    prepared: dict[str, Any] = prepare_config(config)
    validate_config(prepared)
    return prepared


def test_ray_takes_it(config):
    prepared = validate(config)
    assert set(prepared["available_node_types"]) == KINDS
    assert prepared["head_node_type"] == "head"


@pytest.mark.parametrize(
    "change", [{"max_worker": 3}, {"max_workers": "many"}, {"available_node_types": {"head": {"node_config": {}}}}]
)
def test_ray_refuses_a_mistake_in_it(config, change):
    with pytest.raises(jsonschema.ValidationError):
        validate(config | change)


def test_it_offers_what_the_recipe_of_the_docs_asks_for(config, recipe):
    asked = node_slots(recipe)
    assert asked == {"generator_slot": recipe.generator.num_replicas, "prm_slot": recipe.prm.num_replicas}
    for slot, num_replicas in asked.items():
        kinds = [kind for kind in config["available_node_types"].values() if slot in kind["resources"]]
        assert {kind["labels"]["parsimony.market"] for kind in kinds} == {"spot", "on-demand"}
        assert {f"{kind['labels']['parsimony.role']}_slot" for kind in kinds} == {slot}
        for node in kinds:
            assert node["max_workers"] * node["resources"][slot] >= num_replicas
            assert node["resources"]["GPU"] >= node["resources"][slot]
            assert node["resources"]["CPU"] >= node["resources"][slot]


def test_labels_are_what_ray_takes(config):
    for kind in config["available_node_types"].values():
        validate_node_label_syntax(kind.get("labels", {}))
        validate_node_labels(kind.get("labels", {}))


def test_an_autoscaled_cluster_begins_without_gpus_and_the_recipe_says_so(config, recipe):
    gpu_nodes = {name: kind for name, kind in config["available_node_types"].items() if kind["resources"].get("GPU")}
    assert [kind["min_workers"] for kind in gpu_nodes.values()] == [0, 0, 0, 0]
    assert recipe.cluster.device == "gpu"
    for name, kind in gpu_nodes.items():
        market = kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
        assert kind["labels"]["parsimony.market"] == market
        assert name.endswith(market)
        assert kind["priority"] == (10 if market == "spot" else 1)


def test_spot_and_on_demand_are_the_same_machines_otherwise(config):
    kinds = config["available_node_types"]
    for role in ("generator", "prm"):
        spot, other = (kinds[f"{role}-{market}"] for market in ("spot", "on-demand"))
        assert {**other["node_config"], "InstanceMarketOptions": {"MarketType": "spot"}} == spot["node_config"]
        assert other["resources"] == spot["resources"]


def test_it_is_bounded(config):
    workers = [kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]]
    of_a_market = [kind["max_workers"] for kind in workers if kind["labels"]["parsimony.market"] == "spot"]
    cpu = config["available_node_types"]["cpu"]["max_workers"]
    assert sum(of_a_market) + cpu <= config["max_workers"]
    assert config["available_node_types"]["head"]["resources"]["CPU"] == 0


def test_its_ray_and_its_python_are_ours(config):
    [ray] = re.findall(r"^ray==(.+)$", (ROOT / "requirements/common.txt").read_text(), re.MULTILINE)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11"
    assert config["docker"]["image"] == f"rayproject/ray:{ray}-py311-gpu"
    lists = re.findall(r"-r (\S+)", " ".join(config["setup_commands"]))
    assert lists == ["requirements/gpu.txt"]
    assert (ROOT / lists[0]).exists()


def test_it_asks_for_a_token_and_keeps_its_dashboard_to_itself(config):
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert "/home/ray/.ray/auth_token" in config["file_mounts"]
    [start] = [command for command in config["head_start_ray_commands"] if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in start


def test_it_is_for_the_second_autoscaler(config):
    """Which alone knows labels and priorities."""
    [start] = [command for command in config["head_start_ray_commands"] if "--head" in command]
    assert start.startswith("RAY_enable_autoscaler_v2=1 ")
