"""The replicas of a run and the connections to them: who waits for a node, who is up, who is lost, who is given up.

Results and deaths go straight into the scheduler; what follows from them is the controller's business (`on_event`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

from actors.controller.replica_client import MAX_FAILED_STARTS, ReplicaClient
from actors.controller.settings import GeneratorHandle, PrmHandle, RunSettings, roles_of
from records.calls import SampleCall, SampleResult, ScoreCall, ScoreResult
from records.failure import NoNode, ReplicaFailed
from records.nodes import Node
from records.progress import Progress, waiting_text
from records.replica import ReplicaInfo
from records.usage import Role
from scaling.budget.metering import Meter
from scaling.scheduler.dispatch import Dispatcher, Outgoing
from scaling.scheduler.scheduler import Scheduler
from scaling.search.accounting import Models

GeneratorClient = ReplicaClient[SampleCall, SampleResult]
_PrmClient = ReplicaClient[ScoreCall, ScoreResult]


class ReplicaState(NamedTuple):
    """One replica as the controller sees it; `role` is "generator" or "prm"."""

    role: Role
    replica_id: str
    up: bool
    num_deaths: int


class Fleet:
    """All clients of one run.

    Args:
        generators: may be empty for a strategy that never samples.
        prms: may be empty.
        settings: of the run.
        scheduler: is told of replicas and results.
        metered: the meter of the replicas' time, brought up to now.
        on_event: called after each such event.
        note: says something to the user.

    Attributes:
        num_wanted: replicas that should be up.
        serving: between `start` and `end`; no other comes after that.
    """

    def __init__(
        self,
        *,
        generators: Sequence[GeneratorHandle],
        prms: Sequence[PrmHandle],
        settings: RunSettings,
        scheduler: Scheduler,
        metered: Callable[[], Meter],
        on_event: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self.num_wanted = len(generators) + len(prms)
        self._settings, self._scheduler, self._metered = settings, scheduler, metered
        self._on_event, self._note = on_event, note
        self._generators = {handle.replica_id: self._client(handle, "generator") for handle in generators}
        self._prms = {handle.replica_id: self._client(handle, "prm") for handle in prms}
        self._needs_generator, self._needs_prm = bool(generators), bool(prms)
        self._roles: dict[str, Role] = roles_of(generators, prms)
        self._up: dict[str, ReplicaInfo] = {}
        self._given_up: list[GeneratorClient | _PrmClient] = []
        self._group: asyncio.TaskGroup
        self.serving = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[str] = set()

    @property
    def num_ready(self) -> int:
        """Number of replicas that are up."""
        return len(self._up)

    @property
    def num_lost(self) -> int:
        """Number of deaths of replicas so far."""
        return sum(one.num_deaths for one in self.replicas)

    @property
    def flying_tokens(self) -> int:
        """Generated so far for samples in flight."""
        return sum(client.flying_tokens for client in self._generators.values())

    @property
    def replicas(self) -> list[ReplicaState]:
        """All there were, those given up last."""
        return [
            ReplicaState(
                self._roles[client.replica_id], client.replica_id, client.replica_id in self._up, client.num_deaths
            )
            for client in (*self._clients(), *self._given_up)
        ]

    @property
    def models(self) -> Models | None:
        """The models; None until each role has had a replica up."""
        generators = [info for name, info in self._up.items() if name in self._generators]
        prms = [info for name, info in self._up.items() if name in self._prms]
        if (self._needs_generator and not generators) or (self._needs_prm and not prms):
            return None
        num_parameters, sha256 = (generators[0].num_parameters, generators[0].model_sha256) if generators else (0, None)
        return Models(num_parameters, prms[0].num_parameters if prms else None, sha256)

    def progress(self, visible: Progress) -> dict[str, Any]:
        """The fields of `visible`, those about replicas as they are now."""
        waiting = [client for client in self._clients() if not client.placed]
        return asdict(visible) | {
            "replicas_ready": self.num_ready,
            "replicas_wanted": self.num_wanted,
            "replicas_lost": self.num_lost,
            "replicas_waiting": len(waiting),
            "waiting": "; ".join(self._waiting(role) for role in dict.fromkeys(map(self._role, waiting))),
        }

    def nodes_seen(self, nodes: Sequence[Node]) -> None:
        """How the nodes are now: what was on dead ones is gone, what is on draining ones gets no more work.

        Unless nobody else is up for that work.
        """
        for node in nodes:
            if not node.alive:
                self._node_gone(node)
        leaving = {node.node_id: node.name for node in nodes if node.alive and node.draining}
        for dispatcher, clients in ((self._scheduler.samples, self._generators), (self._scheduler.scores, self._prms)):
            up = [client for client in clients.values() if client.replica_id in self._up.keys() - self._leaving]
            stays = any(client.node_id not in leaving for client in up)
            for client in up:
                if not (stays and client.node_id in leaving):
                    dispatcher.open(client.replica_id)
                elif dispatcher.close(client.replica_id):
                    self._note(f"node {leaving[client.node_id]} is about to go: {client.replica_id} gets no more work")
        self._on_event()

    def _node_gone(self, node: Node) -> None:
        """A node is dead: so is what was on it, whether or not anybody has noticed."""
        for client in self._clients():
            if client.node_id == node.node_id:  # often its connection has broken before, and it is down already
                client.node_gone(f"its node {node.name} is gone")
                self._metered().release(client.replica_id)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Keep each in service, in a task that fails with `ReplicaFailed` once the last of its role was given up."""
        self._group, self.serving = group, True
        for client in self._clients():
            self._tasks[client.replica_id] = group.create_task(self._keep(client))

    async def end(self) -> None:
        """End these tasks; the replicas go on."""
        self.serving = False
        await cancel_all(list(self._tasks.values()))

    def add(self, role: Role, handle: GeneratorHandle | PrmHandle) -> None:
        """One more replica, which may have no node yet."""
        client = self._client(handle, role)
        (self._generators if role == "generator" else self._prms)[handle.replica_id] = client
        self._roles[handle.replica_id] = role
        self.num_wanted += 1
        self._tasks[handle.replica_id] = self._group.create_task(self._keep(client))

    def close(self, replica: str) -> None:
        """A replica is not needed any more: it ends what it has, and gets nothing else."""
        self._leaving.add(replica)
        self._dispatcher(replica).close(replica)

    def reopen(self, replica: str) -> None:
        """It is, after all."""
        self._leaving.discard(replica)
        self._dispatcher(replica).open(replica)

    async def remove(self, replica: str) -> None:
        """Use a replica no more; what it had to do waits for another."""
        self._leaving.discard(replica)
        await cancel_all([self._tasks.pop(replica)])
        role = self._roles[replica]
        clients: dict[str, GeneratorClient] | dict[str, _PrmClient]
        clients = self._generators if role == "generator" else self._prms
        if (client := clients.pop(replica, None)) is not None:  # else it was given up before
            self._given_up.append(client)
        self.num_wanted -= 1
        down = self._scheduler.generator_down if role == "generator" else self._scheduler.prm_down
        if self._up.pop(replica, None) is not None:
            down(replica, "it is not needed any more", now_s=self._metered().now_s)
        self._metered().release(replica)
        self._on_event()

    def is_up(self, replica: str) -> bool:
        """Whether a replica takes calls."""
        return replica in self._up

    def send(self, outgoing: Outgoing) -> None:
        """Queue what the scheduler wants sent."""
        for replica, sample_keys in outgoing.cancelled_samples.items():
            self._generators[replica].cancel(sample_keys)
        for replica, score_keys in outgoing.cancelled_scores.items():
            self._prms[replica].cancel(score_keys)
        for replica, samples in outgoing.samples.items():
            self._generators[replica].send(samples)
        for replica, scores in outgoing.scores.items():
            self._prms[replica].send(scores)

    def _dispatcher(self, replica: str) -> Dispatcher[Any]:
        return self._scheduler.samples if self._roles[replica] == "generator" else self._scheduler.scores

    def _role(self, client: GeneratorClient | _PrmClient) -> Role:
        return self._roles[client.replica_id]

    def _waiting(self, role: Role) -> str:
        ready = sum(self._roles[name] == role for name in self._up)
        wanted = sum(self._role(client) == role for client in self._clients())
        kind = self._settings.node_kinds.get(role, "")
        return waiting_text(role, num_ready=ready, num_wanted=wanted, kind=kind)

    def _clients(self) -> list[GeneratorClient | _PrmClient]:
        return [*self._generators.values(), *self._prms.values()]

    def _client(self, handle: GeneratorHandle | PrmHandle, role: Role) -> Any:
        """The line to one replica; its results and deaths go to the scheduler under the role's names."""
        to = self._scheduler
        generates = role == "generator"
        take: Callable[..., None] = to.generator_results if generates else to.prm_results
        add, requeue = (to.generator_up, to.generator_down) if generates else (to.prm_up, to.prm_down)

        def on_results(replica: str, results: Sequence[Any]) -> None:
            take(replica, results, now_s=self._metered().now_s)
            self._on_event()

        return ReplicaClient[Any, Any](
            handle,
            epoch=self._settings.replica_epoch,
            on_up=partial(self._on_up, add),
            on_down=partial(self._on_down, requeue),
            on_results=on_results,
            health=self._settings.health,
            check=self._settings.check_replica,
            on_placed=self._placed,
        )

    def _placed(self, replica: str) -> None:
        self._metered().hold(replica, self._roles[replica])

    def _on_up(self, add: Callable[[str, int], None], replica: str, info: ReplicaInfo) -> None:
        if any(client.replica_id == replica and client.num_deaths for client in self._clients()):
            self._note(f"{replica} is back")
        self._up[replica] = info
        add(replica, info.max_concurrency)
        if replica in self._leaving:
            self._dispatcher(replica).close(replica)
        self._on_event()

    def _on_down(self, requeue: Callable[..., None], replica: str, cause: str) -> None:
        self._up.pop(replica, None)
        self._note(f"{replica} is gone ({cause}); its work waits for a replica")
        requeue(replica, cause, now_s=self._metered().now_s)
        self._on_event()

    async def _keep(self, client: GeneratorClient | _PrmClient) -> None:
        """Keep a replica in service; the run ends when the last of a role is given up, or none of it finds a node."""
        cause = None
        while cause is None:
            try:
                cause = await client.run()
            except NoNode as none:
                # One that loads again on its own node is as good as up: it has a verdict of its own.
                if not any(one.placed and self._role(one) == self._role(client) for one in self._clients()):
                    raise ReplicaFailed(f"{none}, and no other is up: {self._waiting(self._role(client))}") from none
        clients: dict[str, GeneratorClient] | dict[str, _PrmClient]
        clients = self._generators if client.replica_id in self._generators else self._prms
        del clients[client.replica_id]
        self._given_up.append(client)
        given_up = f"{client.replica_id} was given up after {MAX_FAILED_STARTS} starts without a result"
        if not clients:
            raise ReplicaFailed(f"{given_up}, and no other replica of its role is left: {cause}")
        self._note(f"{given_up} ({cause}); {len(clients)} of its role go on")


async def cancel_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks, again and again: a task group that is failing already swallows a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)
