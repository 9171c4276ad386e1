"""Which nodes Ray's autoscaler v2 would start: its own scheduler decides on the demands that a cluster reports.

    launch(recipe) in a Ray session without resources --GCS--> what is pending --ResourceDemandScheduler--> nodes

Nothing is started by it: the scheduler of the installed wheel decides from a configuration and demands alone.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray._private.worker import global_worker
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.schema import AutoscalerInstance
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus, ResourceRequest
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent, NodeKind

from jobs.recipes.sections import Recipe
from jobs.scoring.replicas import launch

REPORTED_S = 60.0


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What the scheduler decides.

    Attributes:
        nodes: kind -> how many of it to start.
        infeasible: demands that stay without a node, as Ray's names of resources -> amounts.
    """

    nodes: dict[str, int]
    infeasible: list[dict[str, float]]


def schedule(
    configuration: Mapping[str, Any],
    demands: Sequence[ResourceRequest],
    *,
    without: Sequence[str] = (),
    how: "Instance.InstanceStatus.ValueType" = Instance.ALLOCATION_TIMEOUT,
) -> Scheduled:
    """Let Ray's scheduler decide about a cluster of which only the head is up.

    Args:
        configuration: as `ray up` reads it, or as it is derived from a RayCluster.
        demands: of tasks and actors.
        without: kinds of node whose last launch has failed: there are no instances of them now.
        how: it failed. Timed out: the instance was there, and never came up, as a pod that stays pending.
    """
    monitor = CloudResourceMonitor()
    monitor.notify([InstanceUpdateEvent(instance_type=kind, new_instance_status=how) for kind in without])
    config = AutoscalingConfig(dict(configuration), skip_content_hash=True)
    kinds = config.get_node_type_configs()
    assert kinds is not None
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=kinds,
        max_num_nodes=config.get_max_num_nodes(),
        idle_timeout_s=config.get_idle_timeout_s(),
        resource_requests=ResourceRequestUtil.group_by_count(list(demands)),
        current_instances=[_head(config)],
        cloud_resource_availabilities=monitor.get_resource_availabilities(),
        recoverable_resource_availabilities=monitor.get_recoverable_resource_availabilities(),
    )
    reply = ResourceDemandScheduler().schedule(request)
    nodes: Counter[str] = Counter()
    for launched in reply.to_launch:
        nodes[launched.instance_type] += launched.count
    assert not reply.to_terminate
    return Scheduled(dict(nodes), ResourceRequestUtil.to_resource_maps(reply.infeasible_resource_requests))


def reported_demands(recipe: Recipe) -> list[ResourceRequest]:
    """What a Ray session without room says it lacks, once it is to run a recipe's replicas. The session is ours."""
    replicas = launch(recipe)
    client = GcsClient(address=global_worker.gcs_client.address)
    deadline_s = time.monotonic() + REPORTED_S
    try:
        while len(found := _pending(client)) < len(replicas):
            assert time.monotonic() < deadline_s, found
            time.sleep(0.05)
    finally:
        for replica in (*replicas.generators, *replicas.prms):
            ray.kill(replica._actor)  # type: ignore[attr-defined]
    while _pending(client):  # those of another recipe would be taken for the next one's
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return found


def _pending(client: GcsClient) -> list[ResourceRequest]:
    state = get_cluster_resource_state(client)
    found: list[ResourceRequest] = ResourceRequestUtil.ungroup_by_count(state.pending_resource_requests)
    return found


def _head(config: AutoscalingConfig) -> AutoscalerInstance:
    kind = config.get_head_node_type()
    resources = config.get_node_resources(kind)
    node = NodeState(
        node_id=b"head",
        ray_node_type_name=kind,
        status=NodeStatus.RUNNING,
        available_resources=resources,
        total_resources=resources,
    )
    instance = Instance(
        instance_id="head",
        instance_type=kind,
        status=Instance.RAY_RUNNING,
        node_kind=NodeKind.HEAD,
        node_id="head",
    )
    return AutoscalerInstance(im_instance=instance, ray_node=node, cloud_instance_id="head")
