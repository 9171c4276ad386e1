"""What is wrong with a custom resource of KubeRay: by its published schemas, and by what Ray's autoscaler makes of it.

The schemas are KubeRay's own files (`helm pull kuberay-operator`, folder crds), which this repository does not hold:
they lie where PARSIMONY_KUBERAY_SCHEMAS says, or in ../shared/data/kuberay beside the repository.
"""

import copy
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

from tests.support.yaml_checks import LABELS, RESOURCES, closed, mistakes_by, unknown_keys

ROOT = Path(__file__).resolve().parents[2]
RAY_CLUSTER = "deploy/kuberay/base/cluster/raycluster.yaml"
RAY_JOB = "deploy/kuberay/base/job/rayjob.yaml"
SCHEMAS = "PARSIMONY_KUBERAY_SCHEMAS"
"""Environment variable: the folder of KubeRay's CRD files."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""A megabyte and more: in C where libyaml is there."""
_LIMITS = {"cpu", "memory", "nvidia.com/gpu"}
_NODES = {"karpenter.sh/capacity-type"}
_METADATA = {"name", "namespace"}
_TOLD = {"parsimony_run", "parsimony_command"}


class NoSchemas(Exception):
    """KubeRay's files are not on this machine."""


@cache
def schema(kind: str) -> dict[str, Any]:
    """Of a resource of apiVersion ray.io/v1, closed. Raises `NoSchemas`."""
    folder = Path(os.environ.get(SCHEMAS) or ROOT.parent / "shared/data/kuberay")
    file = folder / f"ray.io_{kind.lower()}s.yaml"
    if not file.is_file():
        raise NoSchemas(f"no {file}: set {SCHEMAS} to the folder of KubeRay's CRD files")
    versions = yaml.load(file.read_text(), Loader=_LOADER)["spec"]["versions"]  # noqa: S506 - a safe one
    [found] = [version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1"]
    del found["properties"]["status"]
    strict: dict[str, Any] = closed(found)
    strict["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return strict


def cluster_spec(document: dict[str, Any]) -> dict[str, Any]:
    """The cluster that a RayCluster or RayJob describes."""
    spec: dict[str, Any] = document["spec"]
    return spec if document["kind"] == "RayCluster" else spec["rayClusterSpec"]


def autoscaling_config(document: dict[str, Any]) -> dict[str, Any]:
    """What Ray's autoscaler makes of it, as in its container beside the head; it validates that too."""
    resource = {"metadata": document["metadata"], "spec": cluster_spec(document)}
    found: dict[str, Any] = _derive_autoscaling_config_from_ray_cr(copy.deepcopy(resource))
    return found


def resource_mistakes(document: dict[str, Any]) -> list[str]:
    """Of a RayCluster or RayJob. Raises `NoSchemas`."""
    if document.get("kind") not in ("RayCluster", "RayJob") or document.get("apiVersion") != "ray.io/v1":
        return ["no RayCluster or RayJob of ray.io/v1"]
    found = unknown_keys(schema(document["kind"]), document) or mistakes_by(schema(document["kind"]), document)
    if found:
        return found
    found = [f"metadata: {key}" for key in set(document["metadata"]) ^ _METADATA]
    found += [f"spec.metadata: {key}" for key in set(document["spec"].get("metadata", {})) - _TOLD]
    found += list(_free_keys(document["spec"]))
    if not found:
        try:
            autoscaling_config(document)
        except (ValueError, KeyError) as error:
            return [str(error)]
    return found


def _free_keys(part: Any, path: str = "spec") -> Iterator[str]:
    """Keys that a schema leaves free, and nobody reads."""
    if isinstance(part, list):
        for index, item in enumerate(part):
            yield from _free_keys(item, f"{path}.{index}")
    if not isinstance(part, dict):
        return
    is_group = "rayStartParams" in part
    for key, value in part.items():
        known: set[str] | None = None
        if is_group:
            known = {"resources": RESOURCES, "labels": LABELS, "rayStartParams": set()}.get(key)
        elif key in {"requests", "limits"}:
            known = _LIMITS
        elif key == "nodeSelector":
            known = _NODES
        if known is not None:
            yield from (f"{path}.{key}: nobody reads {name}" for name in set(value) - known)
        yield from _free_keys(value, f"{path}.{key}")


def account_mistakes(document: dict[str, Any]) -> list[str]:
    """Of the ServiceAccount."""
    return mistakes_by(_ACCOUNT, document)


def kustomization_mistakes(document: dict[str, Any]) -> list[str]:
    """Of a kustomization, of which Kustomize knows more keys than we use."""
    return mistakes_by(_KUSTOMIZATION, document)


_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def _of(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


_ACCOUNT = _of(
    ("apiVersion", "kind", "metadata"),
    apiVersion={"const": "v1"},
    kind={"const": "ServiceAccount"},
    metadata=_of(
        ("name", "namespace", "annotations"),
        name=_TEXT,
        namespace=_TEXT,
        annotations={
            "type": "object",
            "required": ["eks.amazonaws.com/role-arn"],
            "properties": {"eks.amazonaws.com/role-arn": _TEXT},
            "additionalProperties": False,
        },
    ),
)
_KUSTOMIZATION = _of(
    ("apiVersion", "kind", "namespace", "resources"),
    apiVersion={"const": "kustomize.config.k8s.io/v1beta1"},
    kind={"const": "Kustomization"},
    namespace=_TEXT,
    resources=_TEXTS,
    images={"type": "array", "items": _of(("name", "newName", "newTag"), name=_TEXT, newName=_TEXT, newTag=_TEXT)},
    configMapGenerator={"type": "array", "items": _of(("name", "files"), name=_TEXT, files=_TEXTS)},
    generatorOptions=_of(("disableNameSuffixHash",), disableNameSuffixHash={"const": True}),
    patches={
        "type": "array",
        "items": _of(("target", "patch"), target=_of(("kind",), kind={"enum": ["RayCluster", "RayJob"]}), patch=_TEXT),
    },
)
