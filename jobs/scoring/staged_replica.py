"""Replicas whose model lies in an object store or on a hub: its folder is brought to their own node first."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from actors.engines.settings import EngineSettings
from cluster.staging import is_staged, stage_folder
from records.failure import ReplicaDied, StoreFailed
from records.replica import Collected, Replica, ReplicaInfo

_SettingsT = TypeVar("_SettingsT", bound=EngineSettings)


class StagedReplica(Generic[_SettingsT]):
    """A replica that begins with a download: `hello` stages the model, and from then on it is the replica of `make`.

    Replicas on one node share one download. It counts against `cluster.start_timeout_s`.

    Args:
        make: the replica of settings whose model is a local folder.
        settings: whose model is an `s3://` address, as which the replica still introduces itself.
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
                    folder = await asyncio.to_thread(stage_folder, self._settings.model)
                except StoreFailed as error:
                    raise ReplicaDied(f"the model did not arrive: {error}") from error
                self._replica = self._make(replace(self._settings, model=str(folder)))
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
    return partial(StagedReplica, make, settings) if is_staged(settings.model) else partial(make, settings)
