"""The files of deploy/kuberay: by KubeRay's schemas, Ray's autoscaler, Kustomize, and beside each other."""

import inspect
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler.v2.instance_manager.config import InstanceReconcileConfig

from cluster.job_client import COMMAND_KEY, RUN_KEY, STOP_WAIT_S
from jobs.recipes.load import load_recipe
from jobs.scoring.placement import node_slots
from tests.support.kuberay import (
    RAY_CLUSTER,
    RAY_JOB,
    SCHEMAS,
    NoSchemas,
    autoscaling_config,
    cluster_spec,
    resource_mistakes,
    schema,
)

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "deploy/kuberay/overlays"
GPU_GROUPS = ["generator-spot", "generator-on-demand", "prm-spot", "prm-on-demand"]


def loaded(file: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())
    return document


@pytest.fixture(scope="module", params=[RAY_CLUSTER, RAY_JOB], ids=["cluster", "job"])
def resource(request: pytest.FixtureRequest) -> dict[str, Any]:
    return loaded(request.param)


@cache
def rendered(overlay: str) -> dict[str, dict[str, Any]]:
    """What is applied, by kind."""
    programs = [["kustomize", "build"], ["kubectl", "kustomize"]]
    found = next((program for program in programs if shutil.which(program[0])), None)
    if found is None:
        pytest.skip("no kustomize, and no kubectl which has it")
    made = subprocess.run([*found, OVERLAYS / overlay], capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr
    return {document["kind"]: document for document in yaml.safe_load_all(made.stdout)}


def test_the_schemas_are_found_or_their_absence_is_said(monkeypatch, tmp_path):
    schema.cache_clear()
    monkeypatch.setenv(SCHEMAS, str(tmp_path))
    with pytest.raises(NoSchemas, match=SCHEMAS):
        resource_mistakes(loaded(RAY_CLUSTER))


def test_a_job_has_the_cluster_of_the_docs():
    assert cluster_spec(loaded(RAY_JOB)) == cluster_spec(loaded(RAY_CLUSTER))


def test_the_autoscaler_is_the_second_and_starts_without_workers(resource):
    spec = cluster_spec(resource)
    assert spec["enableInTreeAutoscaling"]
    assert spec["autoscalerOptions"]["version"] == "v2"
    config = autoscaling_config(resource)
    kinds = config["available_node_types"]
    assert list(kinds) == ["headgroup", "cpu", *GPU_GROUPS]
    assert kinds["headgroup"]["resources"]["CPU"] == 0  # no replica on the head
    assert [kind["min_workers"] for kind in kinds.values()] == [0] * 6
    assert all(group["replicas"] == group["minReplicas"] == 0 for group in spec["workerGroupSpecs"])
    assert all(group["template"]["spec"]["restartPolicy"] == "Never" for group in spec["workerGroupSpecs"])


def test_the_autoscaler_reads_what_its_environment_says(resource):
    variables = {item["name"]: item["value"] for item in cluster_spec(resource)["autoscalerOptions"]["env"]}
    known = inspect.getsource(InstanceReconcileConfig)
    assert variables
    assert all(f'"{name}"' in known and int(value) > 0 for name, value in variables.items())


def test_it_offers_what_ray_cluster_yaml_does(resource):
    kinds = autoscaling_config(resource)["available_node_types"]
    on_aws = loaded("ray_cluster.yaml")["available_node_types"]
    for name in ("cpu", *GPU_GROUPS):
        offered = {key: value for key, value in kinds[name]["resources"].items() if key != "memory"}
        assert offered == on_aws[name]["resources"]
        for key in ("labels", "max_workers", "priority"):
            assert kinds[name].get(key) == on_aws[name].get(key), (name, key)


def test_gpu_pods_tolerate_gpu_nodes_and_spot_pods_go_to_spot_nodes(resource):
    groups = {group["groupName"]: group for group in cluster_spec(resource)["workerGroupSpecs"]}
    for name in GPU_GROUPS:
        pod = groups[name]["template"]["spec"]
        [container] = pod["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == groups[name]["resources"]["GPU"]
        assert container["resources"]["requests"]["nvidia.com/gpu"] == groups[name]["resources"]["GPU"]
        assert "nvidia.com/gpu" in [toleration["key"] for toleration in pod["tolerations"]]
        market = groups[name]["labels"]["parsimony.market"]
        assert pod["nodeSelector"] == {"karpenter.sh/capacity-type": market}
        assert ("parsimony.market" in [toleration["key"] for toleration in pod["tolerations"]]) == (market == "spot")
        assert name == f"{groups[name]['labels']['parsimony.role']}-{market}"


def test_everybody_needs_the_token_and_nobody_is_root(resource):
    spec = cluster_spec(resource)
    assert spec["authOptions"] == {"mode": "token"}
    pods = [spec["headGroupSpec"]["template"]["spec"], *(g["template"]["spec"] for g in spec["workerGroupSpecs"])]
    assert {pod["serviceAccountName"] for pod in pods} == {"parsimony"}
    for pod in pods:
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["runAsNonRoot"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context["allowPrivilegeEscalation"]


def test_its_ray_is_ours(resource):
    [ray] = re.findall(r"^ray==(.+)$", (ROOT / "requirements/common.txt").read_text(), re.MULTILINE)
    assert cluster_spec(resource)["rayVersion"] == ray


def test_a_driver_that_is_stopped_has_the_time_that_submit_gives_it(resource):
    head = cluster_spec(resource)["headGroupSpec"]["template"]["spec"]
    assert head["terminationGracePeriodSeconds"] == STOP_WAIT_S
    [container] = head["containers"]
    assert container["env"] == [{"name": "RAY_JOB_STOP_WAIT_TIME_S", "value": str(STOP_WAIT_S)}]


def test_a_job_is_tried_again_on_another_cluster_and_goes_on_from_s3():
    spec = loaded(RAY_JOB)["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"]
    assert "||" in spec["entrypoint"]  # which the shell of K8sJobMode's submitter would read before the job's
    assert spec["submissionMode"] == "HTTPMode"
    line = spec["entrypoint"].split()
    assert line[:3] == ["python", "-m", "jobs.score"]
    run = line[line.index("--output") + 1]
    assert run.startswith("s3://")
    assert spec["metadata"] == {RUN_KEY: run, COMMAND_KEY: "score"}


@pytest.mark.parametrize(("status", "ray_sees"), [(0, 0), (3, 0), (1, 1), (2, 1), (137, 1)])
def test_only_a_run_that_is_not_finished_is_tried_again(tmp_path, status, ray_sees):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    line = loaded(RAY_JOB)["spec"]["entrypoint"]
    done = subprocess.run(["/bin/bash", "-c", line], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)
    assert done.returncode == ray_sees


@pytest.mark.parametrize("what", ["cluster", "job"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_an_overlay_is_what_it_says(device, what):
    made = rendered(f"{device}-{what}")
    resource = made["RayCluster" if what == "cluster" else "RayJob"]
    spec = cluster_spec(resource)
    groups = [group["groupName"] for group in spec["workerGroupSpecs"]]
    assert groups == (["cpu"] if device == "cpu" else ["cpu", *GPU_GROUPS])
    images = set(re.findall(r"'image': '([^']+)'", str(resource)))
    assert images == {f"REGISTRY/parsimony:0.1.0-{device}"}
    assert made["ServiceAccount"]["metadata"]["name"] == "parsimony"
    assert {document["metadata"]["namespace"] for document in made.values()} == {"parsimony"}
    autoscaling_config(resource)
    try:
        assert resource_mistakes(resource) == []
    except NoSchemas as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_recipe_of_an_overlay_is_one_and_reaches_the_head(device):
    file = OVERLAYS / f"{device}-job/recipe.toml"
    recipe = load_recipe(file)
    assert recipe.cluster.device == device
    offered = loaded("ray_cluster.yaml")["available_node_types"].values()
    assert set(node_slots(recipe)) <= {name for kind in offered for name in kind["resources"]}
    made = rendered(f"{device}-job")
    assert made["ConfigMap"]["data"] == {"recipe.toml": file.read_text()}
    head = cluster_spec(made["RayJob"])["headGroupSpec"]["template"]["spec"]
    [volume] = head["volumes"]
    assert volume["configMap"]["name"] == made["ConfigMap"]["metadata"]["name"]
    [mount] = head["containers"][0]["volumeMounts"]
    assert f"--recipe {mount['mountPath']}/recipe.toml" in made["RayJob"]["spec"]["entrypoint"]
