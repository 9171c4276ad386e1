"""`parsimony plan-cluster`: which replica goes to which kind of node, what it needs there, what does not fit and why.

recipe --------> demands --+
cluster file --> groups ---+--> layout --> memory of each GPU, from the models' files --> what is said, exit status
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from json import dumps

from actors.engines.model_files import CONFIG_FILE
from cluster.hub import is_hub_name
from cluster.node_groups import groups_of_nodes, read_node_groups
from cluster.staging import stage_outline
from jobs.cluster_plan.layout import ClusterLayout, lay_out
from jobs.cluster_plan.memory import BYTES_PER_GIB, MemoryFit, ModelMemory, memory_fit, model_memory
from jobs.command_line.plan_cluster import PlanClusterOptions
from jobs.display.terminal import out
from jobs.recipes.engines import SCRIPTED, EngineSection
from jobs.recipes.load import load_recipe
from jobs.recipes.sections import Recipe
from jobs.scoring.cost import PriceTable, load_prices, role_sections
from jobs.scoring.placement import node_kind, replica_demands
from records.failure import InvalidInput
from records.nodes import Demand, NodeGroup
from records.usage import Role

DOES_NOT_FIT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePlan:
    """What is planned for one role.

    Attributes:
        role: of the replicas.
        num_replicas: asked for, at most.
        min_replicas: that are there from the beginning.
        each: what one takes.
        kind: what its nodes are called; "" where any will do.
        memory: of one GPU's part of it; None for a stand-in.
        no_memory: why nothing is known of its memory; None where it is, or where there is none.
        fits: how it fits into a GPU, by group that it goes to; not on CPUs, nor where nobody knows the GPU.
        unknown_gpus: groups that it goes to whose GPU's memory nobody knows.
    """

    role: Role
    num_replicas: int
    min_replicas: int
    each: Demand
    kind: str
    memory: ModelMemory | None
    no_memory: str | None
    fits: dict[str, MemoryFit]
    unknown_gpus: tuple[str, ...]


def run(options: PlanClusterOptions) -> int:
    """Run the command; the exit status: 0 if everything fits.

    Raises:
        InvalidInput: recipe, cluster file or model folder; what to do.
    """
    recipe = load_recipe(options.recipe, options.overrides)
    groups, max_nodes = _groups(options, recipe)
    on_gpus = recipe.cluster.device != "cpu" and any(group.resources.get("GPU", 0) for group in groups)
    demands = replica_demands(recipe, on_gpus=on_gpus)
    layout = lay_out(demands, groups, max_nodes)
    prices = load_prices(recipe.cost.prices)
    gpu_gib = {group.name: options.gpu_memory_gib or _gpu_gib(group, prices) for group in groups}
    plans = [
        _role_plan(section, next(demand for demand in demands if demand.role == role), layout, gpu_gib)
        for role, section in role_sections(recipe).items()
    ]
    fits = not layout.homeless and not any(fit.problem for plan in plans for fit in plan.fits.values())
    if options.json:
        roles = [asdict(plan) for plan in plans]
        out(dumps({"fits": fits, "layout": asdict(layout), "roles": roles}, indent=2) + "\n")
    else:
        out("\n".join(_said(plans, layout, groups)) + "\n")
    return 0 if fits else DOES_NOT_FIT


def _groups(options: PlanClusterOptions, recipe: Recipe) -> tuple[list[NodeGroup], int]:
    if options.cluster is not None:
        return read_node_groups(options.cluster)
    from cluster.session import connect, is_local

    if is_local(recipe.cluster.address):
        raise InvalidInput("no cluster to plan for: give --cluster FILE, or set cluster.address or RAY_ADDRESS")
    with connect(recipe.cluster.address):
        from cluster.nodes import nodes

        groups = groups_of_nodes(nodes())
    return groups, len(groups)


def _role_plan(
    section: EngineSection, each: Demand, layout: ClusterLayout, gpu_gib: Mapping[str, float | None]
) -> RolePlan:
    memory, no_memory = _memory(section)
    used = [use.group for use in layout.uses if use.role == each.role] if each.num_gpus else []
    known = {name: gpu_gib[name] for name in used}
    return RolePlan(
        role=each.role,
        num_replicas=section.num_replicas,
        min_replicas=section.first_replicas,
        each=each,
        kind=node_kind(section),
        memory=memory,
        no_memory=no_memory,
        fits={name: memory_fit(memory, section, gib) for name, gib in known.items() if memory and gib},
        unknown_gpus=tuple(name for name, gib in known.items() if gib is None),
    )


def _memory(section: EngineSection) -> tuple[ModelMemory | None, str | None]:
    """A model that is not here is no mistake: it may be on the nodes only."""
    if section.kind == SCRIPTED:
        return None, None
    if is_hub_name(section.model):  # there is no outline of it: only all of its weights
        return None, f"{section.model} is on a hub: its memory is unknown before it is downloaded"
    folder = stage_outline(section.model)
    if not (folder / CONFIG_FILE).is_file():
        return None, f"{section.model} is not here: its memory is unknown"
    return model_memory(folder, section), None


def _gpu_gib(group: NodeGroup, prices: PriceTable) -> float | None:
    """Memory of one GPU of a group: by its instance, or by what else says its kind."""
    instances = {instance.name: instance.gpu for instance in prices.instance}
    for hint in group.hints:
        device = prices.device_of(instances.get(hint) or hint)
        if device is not None and device.memory_gib is not None:
            return device.memory_gib
    return None


def _said(plans: Sequence[RolePlan], layout: ClusterLayout, groups: Sequence[NodeGroup]) -> list[str]:
    lines = []
    most = {group.name: group.max_nodes for group in groups}
    for plan in plans:
        taken = ", ".join(f"{value:g} {name}" for name, value in plan.each.resources.items() if value)
        where = f", on nodes of kind {plan.kind}" if plan.kind else ""
        how = "spread" if plan.each.spread else "packed"
        number = (
            f"{plan.min_replicas} to {plan.num_replicas}"
            if plan.min_replicas < plan.num_replicas
            else plan.num_replicas
        )
        lines.append(f"{plan.role}: {number} replicas, each {taken}{where}, {how}")
        for use in layout.uses:
            if use.role == plan.role:
                lines.append(f"  {use.group}: {use.num_replicas} on {use.num_nodes} of at most {most[use.group]} nodes")
                lines += [f"    {line}" for line in _memory_lines(plan, use.group)]
        if plan.no_memory is not None:
            lines.append(f"  {plan.no_memory}")
        if missing := layout.homeless.get(plan.role, 0):
            lines.append(f"  DOES NOT FIT: {missing} of {plan.num_replicas} have no place")
            lines += [f"    {reason}" for reason in layout.reasons[plan.role]]
    used = ", ".join(f"{number} {name}" for name, number in layout.num_nodes.items())
    return [*lines, f"nodes with replicas: {used or 'none'}"]


def _memory_lines(plan: RolePlan, group: str) -> list[str]:
    if plan.memory is None:
        return []
    weights = f"weights {plan.memory.weights_bytes / BYTES_PER_GIB:.2f} GiB"
    fit = plan.fits.get(group)
    if fit is None:
        unknown = "; memory of the GPU unknown: --gpu-memory-gib" if group in plan.unknown_gpus else ""
        return [f"{weights} a replica{unknown}"]
    tokens = ""
    if fit.kv_tokens is not None:
        calls = f", {fit.kv_tokens // fit.max_model_len} calls of {fit.max_model_len}" if fit.max_model_len else ""
        tokens = f" ({fit.kv_tokens:,} tokens{calls})"
    line = (
        f"each GPU: {weights}, KV cache {fit.kv_gib:.2f} GiB{tokens}, of {fit.allowed_gib:.1f} of {fit.gpu_gib:g} GiB"
    )
    return [line, *([f"DOES NOT FIT: {fit.problem}"] if fit.problem else [])]


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="plan-cluster"))
