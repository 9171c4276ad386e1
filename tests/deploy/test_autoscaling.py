"""Which nodes the clusters of this repository start for the recipes that come with it: Ray's own scheduler decides."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.common_pb2 import LabelSelectorOperator
from ray.core.generated.instance_manager_pb2 import Instance

from jobs.recipes.load import SHIPPED, load_recipe
from jobs.recipes.sections import Recipe
from tests.support.autoscaler import reported_demands, schedule
from tests.support.kuberay import RAY_CLUSTER, autoscaling_config

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[2]
ON_ITS_NODES = (
    "cluster.device=gpu",
    "generator.node_resource=generator_slot",
    "prm.node_resource=prm_slot",
)
"""What docs/ray-jobs.md tells a recipe for such a cluster."""


@pytest.fixture(scope="module")
def empty_session() -> Iterator[None]:
    """A Ray that has room for nothing, as a cluster before its autoscaler has started a node."""
    ray.init(address="local", num_cpus=0, num_gpus=0, include_dashboard=False, object_store_memory=100 * 2**20)
    yield
    ray.shutdown()


@dataclass(frozen=True)
class Case:
    """A recipe on a cluster.

    Attributes:
        path: of the recipe.
        overrides: `section.key=value`.
        nodes: that start.
        waiting: replicas for which the cluster has no room.
    """

    path: Path
    overrides: tuple[str, ...]
    nodes: dict[str, int]
    waiting: int = 0

    @property
    def recipe(self) -> Recipe:
        return load_recipe(self.path, self.overrides)


ONE_OF_EACH = {"generator-spot": 1, "prm-spot": 1}
MANY = (*ON_ITS_NODES, "generator.num_replicas=8", "prm.num_replicas=4")


def placed(path: Path) -> Case:
    """A recipe as it is shipped, with its replicas on the nodes for them."""
    if load_recipe(path).prm is not None:
        return Case(path, ON_ITS_NODES, ONE_OF_EACH)
    generator = tuple(each for each in ON_ITS_NODES if each.startswith("generator."))
    return Case(path, generator, {"generator-spot": 1})


SHIPPED_CASES = {path.stem: placed(path) for path in sorted(SHIPPED.glob("*.toml"))} | {
    "full": Case(SHIPPED / "qwen2.5-math-7b.toml", MANY, {"generator-spot": 8, "prm-spot": 4}),
    "more than its spot nodes": Case(
        SHIPPED / "qwen2.5-math-7b.toml",
        (*ON_ITS_NODES, "prm.num_replicas=5"),
        {"generator-spot": 1, "prm-spot": 4, "prm-on-demand": 1},
    ),
    "more than it has": Case(
        SHIPPED / "qwen2.5-math-7b.toml",
        (*ON_ITS_NODES, "prm.num_replicas=9"),
        {"generator-spot": 1, "prm-spot": 4, "prm-on-demand": 4},
        waiting=1,
    ),
    "two GPUs of one node": Case(
        SHIPPED / "qwen2.5-math-7b.toml",
        (*ON_ITS_NODES, "prm.tensor_parallel_size=2"),
        {"generator-spot": 1},
        waiting=1,
    ),
}


def aws() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    return loaded


def kubernetes() -> dict[str, Any]:
    return autoscaling_config(yaml.safe_load((ROOT / RAY_CLUSTER).read_text()))


CLUSTERS = {"aws": aws, "kubernetes": kubernetes}


@pytest.mark.parametrize("case", SHIPPED_CASES.values(), ids=SHIPPED_CASES)
def test_the_nodes_of_a_recipe_start_and_no_other(empty_session, case):
    demands = reported_demands(case.recipe)
    for cluster in CLUSTERS.values():
        found = schedule(cluster(), demands)
        assert found.nodes == case.nodes
        assert len(found.infeasible) == case.waiting


def test_instances_on_demand_follow_spot_instances_that_never_come_up_but_not_refused_ones(empty_session):
    """The second is Ray's, which counts no refusal as an absence: docs/operations.md says what to do about it."""
    demands = reported_demands(SHIPPED_CASES["full"].recipe)
    spot = ["generator-spot", "prm-spot"]
    found = schedule(aws(), demands, without=spot)
    assert found.nodes == {"generator-on-demand": 8, "prm-on-demand": 4}
    assert found.infeasible == []
    assert set(schedule(aws(), demands, without=spot, how=Instance.ALLOCATION_FAILED).nodes) == set(spot)
    told = aws()
    for kind in spot:
        told["available_node_types"][kind]["max_workers"] = 0
    assert schedule(told, demands).nodes == found.nodes


@pytest.mark.ci
def test_examples_without_a_gpu_start_none(empty_session):
    for path in sorted((ROOT / "examples/arithmetic").glob("*.toml")):
        if path.stem == "calibrate":  # has no replica
            continue
        demands = reported_demands(load_recipe(path))
        for cluster in CLUSTERS.values():
            found = schedule(cluster(), demands)
            assert set(found.nodes) == {"cpu"}, path
            assert found.infeasible == [], path


@pytest.mark.parametrize(
    ("device", "nodes"), [("gpu", {"generator-spot": 8, "prm-spot": 4}), ("cpu", {"cpu": 1})], ids=["gpu", "cpu"]
)
def test_the_recipe_of_a_kubernetes_job_gets_all_it_asks_for(empty_session, device, nodes):
    recipe = load_recipe(ROOT / f"deploy/kuberay/overlays/{device}-job/recipe.toml")
    found = schedule(kubernetes(), reported_demands(recipe))
    assert found.nodes == nodes
    assert found.infeasible == []


def test_the_recipe_of_the_docs_gets_all_it_asks_for(empty_session, tmp_path):
    [block] = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/ray-jobs.md").read_text(), re.DOTALL)
    path = tmp_path / "cluster.toml"
    path.write_text(block)
    models = [f"{role}.model={ROOT / 'examples/arithmetic' / role}" for role in ("generator", "prm")]
    found = schedule(aws(), reported_demands(load_recipe(path, models)))
    assert found.nodes == {"generator-spot": 8, "prm-spot": 2}
    assert found.infeasible == []


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_its_bounds_hold_whatever_is_asked_for(cluster):
    config = cluster()
    kinds = config["available_node_types"]
    for slot in ("generator_slot", "prm_slot"):
        asked = [ResourceRequestUtil.make({"CPU": 1, "GPU": 1, slot: 1})] * 100
        found = schedule(config, asked)
        offered = [kind["max_workers"] for kind in kinds.values() if slot in kind["resources"]]
        assert all(count <= kinds[kind]["max_workers"] for kind, count in found.nodes.items())
        assert sum(found.nodes.values()) == min(config["max_workers"], sum(offered))
        assert len(found.infeasible) == 100 - sum(found.nodes.values())


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_a_replica_that_asks_for_labels_gets_a_node_of_them(cluster):
    """Without a custom resource: Ray's label selectors alone tell the kinds apart."""
    for role in ("generator", "prm"):
        for market in ("spot", "on-demand"):
            wanted = {"parsimony.role": role, "parsimony.market": market}
            selector = [(key, LabelSelectorOperator.LABEL_OPERATOR_IN, [value]) for key, value in wanted.items()]
            asked = [ResourceRequestUtil.make({"CPU": 1, "GPU": 1}, label_selectors=[selector])] * 2
            assert schedule(cluster(), asked).nodes == {f"{role}-{market}": 2}
