"""The kinds of nodes that a cluster can have: from a cluster file, or from the cluster that we are in.

    ray_cluster.yaml                 available_node_types, as `ray up` reads them
    RayCluster, RayJob (KubeRay)     its groups, as Ray's own autoscaler derives node types from them
    a live cluster                   each node that is there

Nothing is started, and of a file nobody is asked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from records.failure import InvalidInput
from records.nodes import Node, NodeGroup

_RAY_KINDS = {"RayCluster": ("spec",), "RayJob": ("spec", "rayClusterSpec")}
"""Custom resources, and where the spec of the cluster is in them."""
_ACCELERATOR = "accelerator_type:"


def read_node_groups(file: Path) -> tuple[list[NodeGroup], int]:
    """The groups of a cluster file, and how many workers it allows in all.

    Raises:
        InvalidInput: the file cannot be read, or describes no cluster.
    """
    import yaml  # noqa: PLC0415 - only here

    try:
        documents = [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one is not None]
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{file}: is not YAML ({error})") from error
    for document in documents:
        if isinstance(document, dict) and document.get("kind") in _RAY_KINDS:
            return _of_custom_resource(file, document)
        if isinstance(document, dict) and isinstance(document.get("available_node_types"), dict):
            return _of_cluster_file(file, document)
    raise InvalidInput(
        f"{file}: is neither a cluster file (available_node_types) nor a RayCluster or RayJob of KubeRay"
    )


def groups_of_nodes(nodes: Sequence[Node]) -> list[NodeGroup]:
    """One group for each node that is there and stays."""
    return [
        NodeGroup(
            name=node.name,
            max_nodes=1,
            resources=node.resources,
            labels=node.labels,
            hints=tuple(name.removeprefix(_ACCELERATOR) for name in node.resources if name.startswith(_ACCELERATOR)),
        )
        for node in nodes
        if node.alive and not node.draining
    ]


def _of_cluster_file(file: Path, document: Mapping[str, Any]) -> tuple[list[NodeGroup], int]:
    head = document.get("head_node_type")
    groups = []
    for name, kind in document["available_node_types"].items():
        config = kind.get("node_config") or {}
        hints = (config.get("InstanceType"), (kind.get("labels") or {}).get("ray.io/accelerator-type"))
        groups.append(_group(file, name, kind, is_head=name == head, hints=hints))
    return groups, int(document.get("max_workers", 2))


def _of_custom_resource(file: Path, document: Mapping[str, Any]) -> tuple[list[NodeGroup], int]:
    from ray.autoscaler._private.kuberay.autoscaling_config import (  # noqa: PLC0415 - it imports Ray
        _generate_available_node_types_from_ray_cr_spec,
    )

    spec: Any = document
    for key in _RAY_KINDS[document["kind"]]:
        spec = spec.get(key) if isinstance(spec, dict) else None
    if not isinstance(spec, dict):
        raise InvalidInput(f"{file}: this {document['kind']} has no {'.'.join(_RAY_KINDS[document['kind']])}")
    try:
        kinds = _generate_available_node_types_from_ray_cr_spec(spec)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{file}: Ray cannot read its groups ({type(error).__name__}: {error})") from error
    specs = {group.get("groupName"): group for group in spec.get("workerGroupSpecs") or ()}
    groups = []
    for name, kind in kinds.items():
        pod = ((specs.get(name) or {}).get("template") or {}).get("spec") or {}
        hints = (*(pod.get("nodeSelector") or {}).values(), (kind.get("labels") or {}).get("ray.io/accelerator-type"))
        groups.append(_group(file, name, kind, is_head=name not in specs, hints=hints))
    return groups, sum(group.max_nodes for group in groups)


def _group(file: Path, name: str, kind: Mapping[str, Any], *, is_head: bool, hints: Sequence[str | None]) -> NodeGroup:
    resources, labels = kind.get("resources") or {}, kind.get("labels") or {}
    if not all(isinstance(value, int | float) for value in resources.values()):
        raise InvalidInput(f"{file}: the resources of {name} are no numbers: {resources}")
    return NodeGroup(
        name=name,
        max_nodes=1 if is_head else int(kind.get("max_workers", 0)),
        resources={key: float(value) for key, value in resources.items()},
        labels={str(key): str(value) for key, value in labels.items()},
        priority=int(kind.get("priority", 0)),
        hints=tuple(str(hint) for hint in hints if hint),
    )
