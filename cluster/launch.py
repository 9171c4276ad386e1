"""Plain objects become Ray actors here, and only here.

An actor hosts one object that a builder makes in the actor's process, and passes calls on to it. Replicas restart for
ever under the same handle (Ray runs the builder again; `hello` loads the model again). Ray retries no call: the
controller decides what is sent again, because it knows what a call is worth and to whom.
"""

import importlib
import inspect
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import cloudpickle
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.channel import Address, ChannelServer
from cluster.node_check import Expected, code_identity, mistakes_as_told
from cluster.replicas import RayReplica
from records.failure import NodeUnfit, ReplicaDied
from records.nodes import Demand
from records.replica import ReplicaInfo

_log = logging.getLogger(__name__)
Build = Callable[[], Any]
BEGIN_S = 60.0
"""A spare process that has not begun by then is given up for a fresh one."""
PLACE_GROUP = "place"
"""Calls that are answered while a model is loaded."""
WRITER_THREADS = 2
"""A heartbeat does not wait for a slow upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a trainer takes of its node: CPU slots, whole GPUs, and one of `node_resource` where that is named."""

    num_cpus: float
    num_gpus: int = 0
    node_resource: str | None = None


def launch_replicas(
    build: Build, demand: Demand, *, numbers: Iterable[int], start_timeout_s: float, expected: Expected | None = None
) -> list[RayReplica[Any, Any]]:
    """Start replicas of one role; their models are loaded by the first `hello`. They end with this process.

    Args:
        build: makes the plain replica.
        demand: of each; its role is the prefix of the replicas' names.
        numbers: of each, for its name.
        start_timeout_s: how long a node may take to have room for one, and then its engine to come up.
        expected: of the nodes that they come to; None: no more than this code.
    """
    expected = Expected(code_identity()) if expected is None else expected
    custom = {name: value for name, value in demand.resources.items() if name not in ("CPU", "GPU")}
    actor_class = ray.remote(concurrency_groups={PLACE_GROUP: 1})(ReplicaHost).options(
        num_cpus=demand.resources.get("CPU", 0),
        num_gpus=demand.num_gpus,
        resources=custom,
        label_selector=dict(demand.labels),
        scheduling_strategy="SPREAD" if demand.spread else "DEFAULT",
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=64,
        enable_task_events=False,
    )
    packed, here = cloudpickle.dumps(build), ray.get_runtime_context().get_node_id()
    return [
        RayReplica(
            f"{demand.role}-{index}",
            actor_class.remote(packed, expected.code, expected.folders, here),
            start_timeout_s=start_timeout_s,
        )
        for index in numbers
    ]


def launch_beside_driver(build: Build | None, *, threads: int = 0) -> ActorHandle:
    """Start one actor on the driver's node, whose files it reads. It is not restarted: its state is the run's.

    Args:
        build: makes the object; None for one that `begin` makes later.
        threads: 0 for an object with async methods, on one event loop; else the calls that may run side by side.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(ThreadedHost if threads else AsyncHost)
        .options(
            num_cpus=0,
            max_restarts=0,
            max_concurrency=threads or 1000,
            scheduling_strategy=here,
            enable_task_events=False,
        )
        .remote(build)
    )


class SpareHosts:
    """Processes for the writer and the controller of the next run, started before it: they import for seconds.

    They are the driver's: a copy in another process has none.

    Args:
        writer_module: what the writer's process imports beforehand (`controller_module`: the controller's).
    """

    def __init__(self, *, writer_module: str, controller_module: str) -> None:
        self._modules = {WRITER_THREADS: writer_module, 0: controller_module}
        self._spares: dict[int, ActorHandle] = {}

    def refill(self) -> None:
        """Start those that are missing, and do not wait for them: another run follows."""
        for threads, module in self._modules.items():
            if threads not in self._spares:
                self._spares[threads] = launch_beside_driver(None, threads=threads)
                self._spares[threads].warm_up.remote(module)

    def take(self, build: Build, *, threads: int = 0) -> ActorHandle:
        """An actor with the object that `build` makes: a spare, or a fresh one where there is none that lives."""
        spare = self._spares.pop(threads, None)
        if spare is not None:
            try:
                ray.get(spare.begin.remote(build), timeout=BEGIN_S)
            except (RayActorError, GetTimeoutError):
                ray.kill(spare)
            else:
                return spare
        return launch_beside_driver(build, threads=threads)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_spares": {}}


def launch_trainer(build: Build, resources: Resources, *, beside_driver: bool) -> ActorHandle:
    """Start the actor that trains. It is not restarted: its driver starts another one, which reads the checkpoint.

    Args:
        build: makes the object; its methods block, and some are called while another one works.
        resources: that it takes.
        beside_driver: on the driver's node, whose files it reads and writes.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(ThreadedHost)
        .options(
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            resources={resources.node_resource: 1} if resources.node_resource else {},
            max_restarts=0,
            max_concurrency=4,
            scheduling_strategy=here if beside_driver else "DEFAULT",
            enable_task_events=False,
        )
        .remote(build)
    )


def driver_node_has_gpus() -> bool:
    """Whether the node that we are on has a GPU."""
    here = ray.get_runtime_context().get_node_id()
    return any(node["NodeID"] == here and node["Resources"].get("GPU", 0) > 0 for node in ray.nodes())


def has_gpus() -> bool:
    """Whether any node of the cluster that we are in has a GPU."""
    return bool(ray.cluster_resources().get("GPU", 0) > 0)


class AsyncHost:
    """Hosts an object whose methods run on the actor's event loop."""

    def __init__(self, build: Build | None) -> None:
        self._hosted: Any = None if build is None else build()

    async def begin(self, build: Build) -> None:
        """Host an object from now on."""
        self._hosted = build()

    async def warm_up(self, module: str) -> None:
        """Import what the object will need."""
        importlib.import_module(module)

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the hosted object, async or not."""
        result = getattr(self._hosted, method)(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    async def process_id(self) -> int:
        """Process id of the actor."""
        return os.getpid()


class ReplicaHost(AsyncHost):
    """Hosts a replica, which is spoken to over a channel where the controller can reach it.

    Args:
        packed: the builder, which is not read before the node is known to have what is expected.
        code: as in `Expected`; `folders` likewise. Plain values, which another version of this code reads too.
        driver_node_id: of the node that the driver has checked for itself.
    """

    _address: Address | None = None

    def __init__(self, packed: bytes, code: str, folders: Sequence[tuple[str, str]], driver_node_id: str) -> None:
        super().__init__(None)
        self._packed, self._code, self._folders = packed, code, folders
        self._driver_node_id = driver_node_id

    @ray.method(concurrency_group=PLACE_GROUP)  # type: ignore[untyped-decorator]
    async def placed(self) -> int:
        """Process id of the actor, said at once, also while a model is loaded."""
        return os.getpid()

    async def hello(self) -> ReplicaInfo:
        """See `Replica`; with the node that it is on. Raises `NodeUnfit` too."""
        node_id = ray.get_runtime_context().get_node_id()
        name = ray.util.get_node_ip_address()
        if self._hosted is None:
            here = node_id == self._driver_node_id
            if lacks := [] if here else mistakes_as_told(self._code, self._folders):
                raise NodeUnfit("; ".join(f"node {name} {text}" for text in lacks))
            self._hosted = cloudpickle.loads(self._packed)()
        info: ReplicaInfo = await self._hosted.hello()
        return replace(info, node_id=node_id, node=name)

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """See `AsyncHost`."""
        if self._hosted is None:
            raise ReplicaDied("the replica is not here yet: hello() comes first")
        return await super().call(method, *args, **kwargs)

    async def channel(self) -> Address | None:
        """Where the channel is; None where Ray encrypts what travels, which the channel does not."""
        if self._address is None and self._hosted is not None and not ray_encrypts():
            self._server = ChannelServer(self._hosted)
            try:
                self._address = await self._server.start(ray.util.get_node_ip_address())
            except OSError as error:  # an address that stands for this machine, and is not its own
                _log.warning("no channel (%s): Ray carries the calls, more slowly", error)
        return self._address


def ray_encrypts() -> bool:
    """Whether this Ray speaks TLS."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in {"1", "true"}


class ThreadedHost:
    """Hosts an object whose methods block, and may be called from several threads."""

    def __init__(self, build: Build | None) -> None:
        self._hosted: Any = None if build is None else build()

    def begin(self, build: Build) -> None:
        """Host an object from now on."""
        self._hosted = build()

    def warm_up(self, module: str) -> None:
        """Import what the object will need."""
        importlib.import_module(module)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the hosted object."""
        return getattr(self._hosted, method)(*args, **kwargs)
