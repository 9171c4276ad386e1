"""The replicas of a recipe: launched once, introduced and checked before any budget is spent, used by runs."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.controller.settings import GeneratorHandle, PrmHandle, roles_of
from actors.replicas.generator import Generator
from actors.replicas.preflight import check_together
from actors.replicas.prm import Prm
from jobs.recipes.engines import SCRIPTED, EngineSection
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import prm_settings
from jobs.scoring.cost import check_gpu_cap, gpus_per_replica, load_prices, replica_rates, role_sections
from jobs.scoring.scripted import informed_generator_settings
from jobs.scoring.staged_replica import builder
from records.failure import PreflightFailed, first_failure
from records.replica import ReplicaInfo
from records.run_folder.manifest import Manifest, replica_differences
from records.usage import Role, Usage
from scaling.budget.metering import Meter, ReplicaRate

if TYPE_CHECKING:
    from cluster.launch import SpareHosts

SCRIPTED_CPUS = 0.01
"""Share of a CPU slot that Ray keeps for a scripted replica: a hundred of them fit on one core."""
TICK_S = 1.0
"""How often the caller hears from us while models are loaded."""


@dataclass(slots=True)
class Unmetered:
    """Time of replicas that is on no run's account, in seconds since 1970.

    Attributes:
        since_s: their launch, then the end of each controller that used them.
        accounted_s: up to here a run's lease says it, whose controller has not begun.
    """

    since_s: float
    accounted_s: float | None = None

    def begin(self) -> None:
        """Another epoch begins: what a lease of the one before says is on that one's account."""
        if self.accounted_s is not None:
            self.since_s, self.accounted_s = self.accounted_s, None

    def end(self) -> None:
        """A controller that accounted for them has come to its end."""
        self.since_s, self.accounted_s = time.time(), None


@dataclass(frozen=True, slots=True)
class Replicas:
    """Handles of all replicas of one recipe, generators first.

    Attributes:
        rates: of a replica of each role: its GPUs and its price.
        unmetered: their time that is on no run's account.
        hosts: processes for the writer and the controller of a run (`prepare_run`); None: it starts its own.
    """

    generators: tuple[GeneratorHandle, ...]
    prms: tuple[PrmHandle, ...]
    rates: Mapping[Role, ReplicaRate]
    unmetered: Unmetered
    hosts: "SpareHosts | None" = None

    def __len__(self) -> int:
        """Number of replicas."""
        return len(self.generators) + len(self.prms)

    def prepare_run(self) -> None:
        """Start the processes that a run will need beside these; whoever has another run to come does so early."""
        if self.hosts is not None:
            self.hosts.refill()

    def needed_by(self, recipe: Recipe) -> "Replicas":
        """Those that the recipe's strategy uses."""
        generators = self.generators if recipe.strategy.samples else ()
        return replace(self, generators=generators, prms=self.prms if recipe.strategy.needs_prm else ())

    def unmetered_usage(self, now_s: float) -> Usage:
        """What their time on no run's account has come to by now, in seconds since 1970."""
        held_s = max(0.0, now_s - self.unmetered.since_s)
        return Meter(roles_of(self.generators, self.prms), num_problems=0, startup_s=held_s).usage()

    def introduce(self, on_tick: Callable[[int], None]) -> tuple[ReplicaInfo, ...]:
        """Wait until all have their models loaded; what each says of itself, generators first.

        Args:
            on_tick: called every second or so with the number of replicas that are up.

        Raises:
            PreflightFailed: models that do not fit together, or whose golden example comes out wrong.
            ReplicaDied: a replica that did not come up in time.
        """
        try:
            return asyncio.run(self._introduce(on_tick))
        except ExceptionGroup as group_of:
            failure = first_failure(group_of)
            if failure is None:
                raise
            raise failure from group_of

    async def _introduce(self, on_tick: Callable[[int], None]) -> tuple[ReplicaInfo, ...]:
        handles: list[Any] = [*self.generators, *self.prms]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(handle.hello()) for handle in handles]
            while not all(task.done() for task in tasks):
                on_tick(sum(task.done() and not task.cancelled() for task in tasks))
                await asyncio.wait(tasks, timeout=TICK_S, return_when=asyncio.FIRST_EXCEPTION)
        return tuple(task.result() for task in tasks)


def launch(recipe: Recipe) -> Replicas:
    """Launch the replicas that the recipe's strategy needs, in the Ray session that we are in."""
    from cluster.launch import Resources, SpareHosts, has_gpus, launch_replicas

    on_gpus = has_gpus() if recipe.cluster.device is None else recipe.cluster.device == "gpu"
    sections = role_sections(recipe)
    num_gpus = gpus_per_replica(recipe, on_gpus=on_gpus)
    rates = replica_rates(recipe, load_prices(recipe.cost.prices), num_gpus)
    check_gpu_cap(recipe, on_gpus=on_gpus)
    launched_s = time.time()

    def resources(section: EngineSection) -> Resources:
        if section.kind == SCRIPTED:
            return Resources(num_cpus=SCRIPTED_CPUS, node_resource=section.node_resource)
        if on_gpus:
            num_gpus = section.tensor_parallel_size
            return Resources(num_cpus=1, num_gpus=num_gpus, node_resource=section.node_resource)
        return Resources(num_cpus=section.cpu_threads, node_resource=section.node_resource)

    def replicas(role: Role, build: Callable[[], Any]) -> tuple[Any, ...]:
        section = sections[role]
        launched = launch_replicas(
            build,
            role=role,
            num_replicas=section.num_replicas,
            resources=resources(section),
            start_timeout_s=recipe.cluster.start_timeout_s,
        )
        return tuple(launched)

    prm = prm_settings(recipe)
    return Replicas(
        generators=replicas("generator", builder(Generator, informed_generator_settings(recipe)))
        if "generator" in sections
        else (),
        prms=replicas("prm", builder(Prm, prm)) if "prm" in sections and prm is not None else (),
        rates=rates,
        unmetered=Unmetered(launched_s),
        hosts=SpareHosts(writer_module="actors.writer.writer", controller_module="jobs.scoring.driver"),
    )


def cpu_slots(recipe: Recipe) -> int:
    """CPU slots that the recipe's replicas take where there is no GPU."""
    return math.ceil(
        sum(
            section.num_replicas * (SCRIPTED_CPUS if section.kind == SCRIPTED else section.cpu_threads)
            for section in _engines(recipe)
        )
    )


def node_slots(recipe: Recipe) -> dict[str, int]:
    """The custom resources that the recipe's replicas take, and how many of each."""
    slots: Counter[str] = Counter()
    for section in _engines(recipe):
        if section.node_resource is not None:
            slots[section.node_resource] += section.num_replicas
    return dict(slots)


def _engines(recipe: Recipe) -> list[EngineSection]:
    return list(role_sections(recipe).values())


def check_introductions(infos: Sequence[ReplicaInfo], manifest: Manifest) -> list[str]:
    """Compare what the replicas loaded with each other and with the manifest; warnings that it does not have yet.

    Raises:
        PreflightFailed: they do not fit.
    """
    differences = [line for info in infos for line in replica_differences(manifest, info)]
    if differences:
        raise PreflightFailed(
            "the replicas loaded something else than the run was begun with:\n" + "\n".join(differences)
        )
    generators = [info for info in infos if info.role == "generator"]
    prms = [info for info in infos if info.role == "prm"]
    warnings = check_together(generators[0], prms[0]) if generators and prms else []
    return [warning for warning in warnings if warning not in manifest.warnings]
