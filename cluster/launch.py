"""Plain classes become Ray actors here, and only here.

A replica restarts for ever under the same handle (Ray reruns the constructor; `hello` builds the engine again). No call
is retried by Ray: the controller decides what is sent again, because it knows what a call is worth and to whom.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.replicas import RayReplica


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one actor takes of its node.

    Attributes:
        num_cpus: CPU slots; may be a fraction.
        num_gpus: whole GPUs.
    """

    num_cpus: float
    num_gpus: int = 0


def launch_replicas(
    build: Callable[[], Any], *, role: str, num_replicas: int, resources: Resources, start_timeout_s: float
) -> list["RayReplica[Any, Any]"]:
    """Start replicas of one role; their engines are built by the first `hello`.

    Args:
        build: makes the plain replica, in the actor's process.
        role: prefix of the replicas' names.
        num_replicas: how many.
        resources: of each.
        start_timeout_s: how long an engine may take to come up.
    """
    options = {
        "num_cpus": resources.num_cpus,
        "num_gpus": resources.num_gpus,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": 64,
        "enable_task_events": False,
    }
    actors = [ray.remote(_Replica).options(**options).remote(build) for _ in range(num_replicas)]
    return [RayReplica(f"{role}-{index}", actor, start_timeout_s=start_timeout_s) for index, actor in enumerate(actors)]


def launch_beside_driver(cls: type, *args: Any, max_concurrency: int = 1, **kwargs: Any) -> ActorHandle:
    """Start one actor on the driver's node (it reads the driver's files), without a restart: its state is the run's."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote = ray.remote(cls).options(
        num_cpus=0, max_restarts=0, max_concurrency=max_concurrency, scheduling_strategy=here, enable_task_events=False
    )
    return remote.remote(*args, **kwargs)


class _Replica:
    """The async face of a plain replica, so that Ray runs its methods on one event loop."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._replica = build()

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of the replica."""
        return await getattr(self._replica, method)(*args)
