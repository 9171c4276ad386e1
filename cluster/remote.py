"""The driver's side of a run's own actors: the writer, the controller, and a calibration's trainer."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ray
from ray.actor import ActorHandle

from cluster.launch import WRITER_THREADS, Build, Resources, SpareHosts, launch_beside_driver, launch_trainer
from cluster.replicas import answer, cause_of_death
from cluster.session import bounded
from records.failure import ActorDied, Failure, ReplicaDied
from records.usage import Usage

KILL_S = 5.0
"""How long Ray may take to be told that an actor ends."""
GOODBYE_S = 5.0
"""How long a controller may take to end by itself; then its process is ended."""


class RemoteWriter:
    """A writer in an actor: plain calls for the driver, and `RunWriter` for the controller. Travels."""

    def __init__(self, actor: ActorHandle) -> None:
        self._actor = actor

    @classmethod
    def launch(cls, build: Build, hosts: SpareHosts | None = None) -> "RemoteWriter":
        """Start it, in a process of `hosts` if there is one."""
        return cls(_host(build, hosts, threads=WRITER_THREADS))

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the writer and wait."""
        return wait_for(self._actor.call.remote(method, *args, **kwargs))

    def end(self) -> None:
        """End the actor."""
        end_actor(self._actor)

    async def append(self, batch: int, problems: Sequence[Any], columns: Any) -> None:
        """See `RunWriter`."""
        await self._call("append", batch, problems, columns)

    async def flush(self, leased_tokens: int | None, usage: Usage | None) -> None:
        """See `RunWriter`."""
        await self._call("flush", leased_tokens, usage)

    async def heartbeat(self, progress: Mapping[str, object], usage: Usage) -> None:
        """See `RunWriter`."""
        await self._call("heartbeat", dict(progress), usage)

    async def _call(self, method: str, *args: Any) -> None:
        try:
            await answer(self._actor.call.remote(method, *args))
        except ReplicaDied as died:
            raise ActorDied(f"the writer died: {died}") from died


class RemoteController:
    """A controller in an actor, running."""

    def __init__(self, build: Build, hosts: SpareHosts | None = None) -> None:
        self._actor = _host(build, hosts)
        self._run = self._actor.call.remote("run")

    def call(self, method: str) -> Any:
        """Call a method of the controller and wait."""
        return wait_for(self._actor.call.remote(method))

    def finished(self, timeout_s: float) -> bool:
        """Whether `run` has come to an end, waiting for it for a while."""
        done, _ = ray.wait([self._run], timeout=timeout_s)
        return bool(done)

    def result(self) -> Any:
        """What `run` returned. Raises what it raised."""
        return wait_for(self._run)

    def end(self) -> None:
        """End the actor. One that has come to an end hands its last metrics on before it goes."""
        if self.finished(0):
            ray.wait([self._actor.__ray_terminate__.remote()], timeout=GOODBYE_S)
        end_actor(self._actor)


class RemoteTrainer:
    """A trainer in an actor: one long call at a time, and short ones beside it."""

    def __init__(self, build: Build, resources: Resources, *, beside_driver: bool) -> None:
        self._actor = launch_trainer(build, resources, beside_driver=beside_driver)
        self._call: Any = None

    def started(self, timeout_s: float) -> bool:
        """Whether it runs somewhere, waiting for it for a while."""
        done, _ = ray.wait([self._actor.call.remote("progress")], timeout=timeout_s)
        return bool(done)

    @property
    def busy(self) -> bool:
        """Whether a long call has been begun; it may have ended."""
        return self._call is not None

    def begin(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Begin a long call."""
        self._call = self._actor.call.remote(method, *args, **kwargs)

    def finished(self, timeout_s: float) -> bool:
        """Whether the long call has come to an end, waiting for it for a while."""
        done, _ = ray.wait([self._call], timeout=timeout_s)
        return bool(done)

    def result(self) -> Any:
        """What the long call returned. Raises what it raised, or `ActorDied`."""
        return wait_for(self._call)

    def call(self, method: str) -> Any:
        """Call a short method and wait. Raises `ActorDied` where the actor is gone."""
        return wait_for(self._actor.call.remote(method))

    def end(self) -> None:
        """End the actor."""
        end_actor(self._actor)


def end_actor(actor: ActorHandle) -> None:
    """End an actor; a head that is lost, and never answers, does not hold us up."""
    bounded(partial(ray.kill, actor), KILL_S)


def _host(build: Build, hosts: SpareHosts | None, *, threads: int = 0) -> ActorHandle:
    return launch_beside_driver(build, threads=threads) if hosts is None else hosts.take(build, threads=threads)


def wait_for(reference: Any) -> Any:
    """Wait for a remote call; failures come out under their own names."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Failure):
            raise error.cause from error
        raise
    except ray.exceptions.RayActorError as error:
        raise ActorDied(f"an actor of this run died: {cause_of_death(error)}") from error
