"""Replicas whose model lies in an object store or on a hub: its folder is brought to their own node first."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from actors.engines.settings import EngineSettings, GeneratorSettings
from cluster.staging import is_staged, stage_folder
from records.failure import ReplicaDied, StoreFailed
from records.replica import Collected, Replica, ReplicaInfo

_SettingsT = TypeVar("_SettingsT", bound=EngineSettings)


class StagedReplica(Generic[_SettingsT]):
    """A replica that begins with a download: `hello` stages the model, and from then on it is the replica of `make`.

    Replicas on one node share one download. It counts against `cluster.start_timeout_s`.

    Args:
        make: the replica of settings whose model is a local folder.
        settings: whose model, or adapter, is an `s3://` address or a name on a hub, as which the replica still
            introduces itself.
    """

    def __init__(self, make: Callable[[_SettingsT], Replica[Any, Any]], settings: _SettingsT) -> None:
        self._make = make
        self._settings = settings
        self._starting = asyncio.Lock()
        self._replica: Replica[Any, Any] | None = None

    async def hello(self) -> ReplicaInfo:
        """See `Replica`; a store that fails is a replica that did not come up, and is tried again like one."""
        async with self._starting:
            if self._replica is None:
                try:
                    local = await asyncio.to_thread(with_local_folders, self._settings)
                except StoreFailed as error:
                    raise ReplicaDied(f"the model did not arrive: {error}") from error
                self._replica = self._make(local)
        return replace(await self._replica.hello(), model=self._settings.model)

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[Any]) -> None:
        """See `Replica`."""
        await self._up().submit(incarnation, epoch, calls)

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[Any]:
        """See `Replica`."""
        return await self._up().collect(incarnation, epoch, acked, max_wait_s)

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica`."""
        await self._up().cancel(incarnation, epoch, keys)

    async def check_health(self, deadline_s: float) -> None:
        """See `Replica`."""
        await self._up().check_health(deadline_s)

    async def close(self) -> None:
        """See `Replica`."""
        if self._replica is not None:
            await self._replica.close()

    def _up(self) -> Replica[Any, Any]:
        if self._replica is None:
            raise ReplicaDied("the model is not here yet: hello() comes first")
        return self._replica


def builder(make: Callable[[_SettingsT], Replica[Any, Any]], settings: _SettingsT) -> Callable[[], Any]:
    """What an actor calls to have its replica; travels."""
    staged = any(is_staged(folder) for folder in folders_of(settings).values())
    return partial(StagedReplica, make, settings) if staged else partial(make, settings)


def folders_of(settings: EngineSettings) -> dict[str, str]:
    """The folders of weights that a replica needs, as the recipe names them, by setting."""
    adapter = settings.adapter if isinstance(settings, GeneratorSettings) else None
    return {"model": settings.model} | ({} if adapter is None else {"adapter": adapter})


def with_local_folders(settings: _SettingsT) -> _SettingsT:
    """The settings with these folders on this machine. Raises as `stage_folder`."""
    local: dict[str, Any] = {name: str(stage_folder(folder)) for name, folder in folders_of(settings).items()}
    return replace(settings, **local)
