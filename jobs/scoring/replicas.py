"""The replicas of a recipe: launched once, introduced and checked before any budget is spent, used by runs."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.controller.elastic import Growth
from actors.controller.settings import GeneratorHandle, PrmHandle, roles_of
from actors.replicas.generator import Generator
from actors.replicas.preflight import check_together
from actors.replicas.prm import Prm
from cluster.session import is_local
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import prm_settings
from jobs.scoring.cost import check_gpu_cap, gpus_per_replica, load_prices, replica_rates, role_sections
from jobs.scoring.introduction import Arrivals, Introduction
from jobs.scoring.placement import check_nodes, expected_of_nodes, node_kind, replica_demands
from jobs.scoring.scripted import informed_generator_settings
from jobs.scoring.staged_replica import builder
from records.failure import PreflightFailed
from records.nodes import Demand, Node
from records.replica import ReplicaInfo
from records.run_folder.manifest import Manifest, replica_differences
from records.usage import Role, Usage
from scaling.budget.metering import Meter, ReplicaRate

if TYPE_CHECKING:
    from cluster.launch import SpareHosts


@dataclass(slots=True)
class Unmetered:
    """Time of replicas that is on no run's account, in seconds since 1970.

    Attributes:
        since_s: their launch, then the end of each controller that used them.
        accounted_s: up to here a run's lease says it, whose controller has not begun.
        placed_s: when each got its node, by name; those that have none yet cost nothing.
    """

    since_s: float
    accounted_s: float | None = None
    placed_s: dict[str, float] = field(default_factory=dict)

    def held_s(self, names: Iterable[str], now_s: float) -> dict[str, float]:
        """Seconds for which these have been held by now, on no run's account; those without a node are not in it."""
        placed = [name for name in names if name in self.placed_s]
        return {name: max(0.0, now_s - max(self.since_s, self.placed_s[name])) for name in placed}

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
        demands: what each takes of its node, in the same order; None where there are no nodes.
        node_kinds: what nodes of a role are called, where only some will do.
        growth: of the roles that a run may have more of; it launches these itself, and they end with it.
    """

    generators: tuple[GeneratorHandle, ...]
    prms: tuple[PrmHandle, ...]
    rates: Mapping[Role, ReplicaRate]
    unmetered: Unmetered
    hosts: "SpareHosts | None" = None
    demands: tuple[Demand, ...] | None = None
    node_kinds: Mapping[Role, str] = field(default_factory=dict)
    growth: Mapping[Role, Growth] = field(default_factory=dict)

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
        prms = self.prms if recipe.strategy.needs_prm else ()
        roles = set(roles_of(generators, prms).values())
        demands = None if self.demands is None else tuple(one for one in self.demands if one.role in roles)
        growth = {role: one for role, one in self.growth.items() if role in roles}
        return replace(self, generators=generators, prms=prms, demands=demands, growth=growth)

    def unmetered_usage(self, now_s: float) -> Usage:
        """What their time on no run's account has come to by now, in seconds since 1970."""
        roles, held_s = roles_of(self.generators, self.prms), self.unmetered_s(now_s)
        return Meter({name: roles[name] for name in held_s}, num_problems=0, startup_s=held_s).usage()

    def unmetered_s(self, now_s: float) -> dict[str, float]:
        """The same in seconds, by name, of those that have a node."""
        return self.unmetered.held_s(roles_of(self.generators, self.prms), now_s)

    def introduce(self, on_tick: Callable[[Arrivals], None]) -> tuple[ReplicaInfo, ...]:
        """Wait until a run can begin (`Introduction`); what those that are up say of themselves, generators first.

        Args:
            on_tick: called every second or so.

        Raises:
            PreflightFailed: models that do not fit together, or whose golden example comes out wrong.
            ReplicaFailed: no replica of a role came up in time.
        """
        roles = roles_of(self.generators, self.prms)
        handles = [(roles[handle.replica_id], handle) for handle in self._handles]
        introduction = Introduction(
            handles,
            demands=self.demands,
            look=self._nodes,
            node_kinds=self.node_kinds,
            on_placed=lambda name: self.unmetered.placed_s.setdefault(name, time.time()),
        )
        return asyncio.run(introduction.wait(on_tick))

    @property
    def _handles(self) -> list[Any]:
        return [*self.generators, *self.prms]

    def _nodes(self) -> Sequence[Node]:
        from cluster.nodes import nodes

        return nodes()


def launch(recipe: Recipe) -> Replicas:
    """Launch the replicas that the recipe's strategy needs, in the Ray session that we are in.

    Raises:
        PreflightFailed: a node lacks what they need.
    """
    from cluster.launch import SpareHosts, has_gpus, launch_replicas

    on_gpus = has_gpus() if recipe.cluster.device is None else recipe.cluster.device == "gpu"
    sections = role_sections(recipe)
    rates = replica_rates(recipe, load_prices(recipe.cost.prices), gpus_per_replica(recipe, on_gpus=on_gpus))
    check_gpu_cap(recipe, on_gpus=on_gpus)
    labelled = not is_local(recipe.cluster.address)
    demands = replica_demands(recipe, on_gpus=on_gpus, labelled=labelled, first=True)
    check_nodes(recipe, demands)
    expected = expected_of_nodes(recipe)
    builders = replica_builders(recipe)
    launched_s = time.time()
    each = {role: next(demand for demand in demands if demand.role == role) for role in sections}
    launches = {
        role: partial(
            launch_replicas,
            builders[role],
            each[role],
            start_timeout_s=recipe.cluster.start_timeout_s,
            expected=expected[role],
        )
        for role in sections
    }
    handles = {role: launches[role](numbers=range(section.first_replicas)) for role, section in sections.items()}
    growth = {
        role: Growth(section.first_replicas, section.num_replicas, launches[role])
        for role, section in sections.items()
        if section.first_replicas < section.num_replicas
    }
    return Replicas(
        generators=tuple(handles.get("generator", ())),
        prms=tuple(handles.get("prm", ())),
        rates=rates,
        unmetered=Unmetered(launched_s),
        hosts=SpareHosts(writer_module="actors.writer.writer", controller_module="jobs.scoring.controlling"),
        demands=tuple(demands),
        node_kinds={role: node_kind(section) for role, section in sections.items()},
        growth=growth,
    )


def replica_builders(recipe: Recipe) -> dict[Role, Callable[[], Any]]:
    """What makes a replica of each role in use, in its actor's process."""
    roles, prm = role_sections(recipe), prm_settings(recipe)
    builders: dict[Role, Callable[[], Any]] = {}
    if "generator" in roles:
        builders["generator"] = builder(Generator, informed_generator_settings(recipe))
    if "prm" in roles and prm is not None:
        builders["prm"] = builder(Prm, prm)
    return builders


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
