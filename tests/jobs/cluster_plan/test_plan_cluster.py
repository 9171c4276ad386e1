"""`plan-cluster` on cluster files: what goes where, what does not fit and why, and files that describe no cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.cli import main
from jobs.cluster_plan.layout import lay_out
from records.nodes import Demand, NodeGroup
from tests.support.scripted import EXAMPLE

RECIPE = str(EXAMPLE / "beam-16.toml")
SLOTS = ("generator.node_resource=generator_slot", "prm.node_resource=prm_slot")

RAY_CLUSTER = {
    "cluster_name": "c",
    "max_workers": 6,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {}},
        "generator": {
            "max_workers": 4,
            "resources": {"CPU": 8, "GPU": 1, "generator_slot": 1},
            "node_config": {"InstanceType": "g6e.2xlarge"},
        },
        "prm": {"max_workers": 2, "resources": {"CPU": 8, "GPU": 1, "prm_slot": 1}, "node_config": {}},
    },
}


def worker(name: str, slot: str, most: int) -> dict[str, Any]:
    container = {"name": "w", "resources": {"limits": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}}}
    return {
        "groupName": name,
        "minReplicas": 0,
        "maxReplicas": most,
        "rayStartParams": {"resources": json.dumps(json.dumps({slot: 1}))},
        "template": {
            "spec": {"containers": [container], "nodeSelector": {"cloud.google.com/accelerator": "nvidia-l4"}}
        },
    }


HEAD = {"rayStartParams": {"num-cpus": "0"}, "template": {"spec": {"containers": [{"name": "h", "resources": {}}]}}}
SPEC = {
    "headGroupSpec": HEAD,
    "workerGroupSpecs": [worker("generator", "generator_slot", 4), worker("prm", "prm_slot", 2)],
}
FILES = {
    "ray_cluster.yaml": RAY_CLUSTER,
    "raycluster.yaml": {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "c"}, "spec": SPEC},
    "rayjob.yaml": {"apiVersion": "ray.io/v1", "kind": "RayJob", "spec": {"rayClusterSpec": SPEC, "entrypoint": "e"}},
}


def planned(file: Path, capsys: pytest.CaptureFixture[str], *settings: str) -> tuple[int, str]:
    sets = [word for setting in (*SLOTS, *settings) for word in ("--set", setting)]
    status = main(["plan-cluster", RECIPE, "--cluster", str(file), *sets])
    return status, capsys.readouterr().out


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_file_gives_the_same_places(tmp_path, capsys, name):
    file = tmp_path / name
    file.write_text(yaml.safe_dump(FILES[name]))
    status, out = planned(file, capsys, "generator.num_replicas=4", "prm.num_replicas=2")
    assert status == 0
    assert "generator: 4 on 4 of at most 4 nodes" in out
    assert "prm: 2 on 2 of at most 2 nodes" in out
    assert "nodes with replicas: 4 generator, 2 prm" in out
    assert ("of 45 GiB" if name == "ray_cluster.yaml" else "of 22.5 GiB") in out
    status, out = planned(file, capsys, "generator.num_replicas=5", "prm.num_replicas=2")
    assert status == 1
    assert "DOES NOT FIT: 1 of 5 have no place" in out
    assert "generator: its 4 nodes are full" in out
    status, out = planned(file, capsys, "generator.tensor_parallel_size=2", "generator.num_replicas=1")
    assert status == 1
    assert "generator: a replica would take GPU 2 of 1" in out


def test_small_prms_share_a_gpu(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(RAY_CLUSTER))
    share = ("prm.gpu_fraction=0.25", "prm.gpu_memory_utilization=0.2", "prm.num_replicas=4", "prm.node_resource=")
    status, out = planned(file, capsys, *share, "generator.num_replicas=1")
    assert status == 0
    assert "prm: 4 replicas, each 1 CPU, 0.25 GPU, packed" in out
    assert "4 on 1 of at most 4 nodes" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML"),
        ("kind: Deployment", "is neither a cluster file"),
        ("kind: RayJob\nspec: {}", "has no spec.rayClusterSpec"),
        ("kind: RayCluster\nspec: {workerGroupSpecs: []}", "Ray cannot read its groups"),
    ],
)
def test_a_file_that_describes_no_cluster_is_refused_by_name(tmp_path, capsys, text, said):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    assert main(["plan-cluster", RECIPE, "--cluster", str(file)]) == 2
    error = capsys.readouterr().err
    assert str(file) in error
    assert said in error


def test_without_a_file_and_a_cluster_it_says_what_to_give(monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(["plan-cluster", RECIPE]) == 2
    assert "--cluster FILE" in capsys.readouterr().err


def test_the_bound_of_all_groups_holds_and_higher_priorities_come_first():
    groups = [
        NodeGroup(name="dear", max_nodes=4, resources={"GPU": 1.0}),
        NodeGroup(name="spot", max_nodes=2, resources={"GPU": 1.0}, priority=10),
    ]
    demands = [Demand(role="generator", resources={"GPU": 1.0})] * 5
    layout = lay_out(demands, groups, max_nodes=4)
    assert {use.group: use.num_replicas for use in layout.uses} == {"spot": 2, "dear": 2}
    assert layout.homeless == {"generator": 1}
    assert layout.reasons["generator"][-1] == "5 nodes are needed, and the cluster has at most 4"


def test_labels_that_no_group_has_are_told():
    groups = [NodeGroup(name="a", max_nodes=4, resources={"CPU": 1.0}, labels={"kind": "prm"})]
    layout = lay_out([Demand(role="prm", resources={"CPU": 1.0}, labels={"kind": "generator"})], groups, 4)
    assert layout.reasons["prm"] == ("no group has labels like kind=generator",)
