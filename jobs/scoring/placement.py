"""What the replicas of a recipe take of the nodes that they go to, and what those nodes have to have."""

import math
from collections import Counter
from collections.abc import Sequence

from cluster.node_check import Expected, code_identity
from cluster.staging import is_staged
from jobs.recipes.engines import SCRIPTED, EngineSection
from jobs.recipes.sections import MODELS, Recipe
from jobs.scoring.cost import gpus_per_replica, role_sections
from records.failure import PreflightFailed
from records.nodes import Demand, Node
from records.usage import Role
from scaling.placement.fit import places_for

SCRIPTED_CPUS = 0.01
"""Share of a CPU slot that Ray keeps for a scripted replica: a hundred of them fit on one core."""


def replica_demand(role: Role, section: EngineSection, *, num_gpus: float, labelled: bool = True) -> Demand:
    """What one replica of a role takes.

    Args:
        role: of the replica.
        section: of the role.
        num_gpus: that it has, or its share of one; 0 on CPUs.
        labelled: nodes have labels; the one node of a local cluster stands for all kinds.
    """
    own = {section.node_resource: 1.0} if section.node_resource is not None else {}
    return Demand(
        role=role,
        resources={"CPU": _num_cpus(section, num_gpus), "GPU": num_gpus, **own},
        labels=section.node_labels if labelled else {},
        spread=section.placement == "spread",
    )


def _num_cpus(section: EngineSection, num_gpus: float) -> float:
    if section.kind == SCRIPTED:
        return SCRIPTED_CPUS
    return 1.0 if num_gpus else float(section.cpu_threads)


def replica_demands(recipe: Recipe, *, on_gpus: bool, labelled: bool = True, first: bool = False) -> list[Demand]:
    """What all replicas of a recipe take, generators first; arguments as for `replica_demand`.

    `first`: only those that are there from the beginning.
    """
    num_gpus = gpus_per_replica(recipe, on_gpus=on_gpus)
    return [
        replica_demand(role, section, num_gpus=num_gpus[role], labelled=labelled)
        for role, section in role_sections(recipe).items()
        for _ in range(section.first_replicas if first else section.num_replicas)
    ]


def node_kind(section: EngineSection) -> str:
    """What the nodes of a role are called: by the resource or the labels that they need; "" where any will do."""
    labels = [f"{key}={value}" for key, value in section.node_labels.items()]
    return ", ".join([*([section.node_resource] if section.node_resource is not None else []), *labels])


def cpu_slots(recipe: Recipe) -> int:
    """CPU slots that the recipe's replicas take where there is no GPU."""
    return math.ceil(sum(demand.resources["CPU"] for demand in replica_demands(recipe, on_gpus=False)))


def node_slots(recipe: Recipe) -> dict[str, int]:
    """The custom resources that the recipe's replicas take, and how many of each."""
    slots: Counter[str] = Counter()
    for section in role_sections(recipe).values():
        if section.node_resource is not None:
            slots[section.node_resource] += section.num_replicas
    return dict(slots)


def expected_of_nodes(recipe: Recipe) -> dict[Role, Expected]:
    """What a node needs for a replica of each role in use: the driver's code, and the model where that is a folder."""
    return {
        role: Expected(code_identity(), _folders_that_stay(role, section))
        for role, section in role_sections(recipe).items()
    }


def _folders_that_stay(role: Role, section: EngineSection) -> tuple[tuple[str, str], ...]:
    """What has to be on a replica's node already, by the setting that names it."""
    if section.kind == SCRIPTED:
        return ()
    named = {key: getattr(section, key.removeprefix(f"{role}."), None) for key in MODELS if key.startswith(f"{role}.")}
    return tuple((key, folder) for key, folder in named.items() if folder is not None and not is_staged(folder))


def check_nodes(recipe: Recipe, demands: Sequence[Demand]) -> None:
    """Ask each other node that could hold a replica whether it has what that needs, before anything is loaded.

    The driver's own node is the one on which all was checked already.

    Raises:
        PreflightFailed: a sentence for each node and what it lacks.
    """
    from cluster.nodes import nodes, other_nodes, unfit

    expected = expected_of_nodes(recipe)
    others = other_nodes(nodes())
    asked = [(node, wanted) for node in others if (wanted := _expected_of(node, demands, expected)) is not None]
    if lacks := unfit([node for node, _ in asked], [wanted for _, wanted in asked]):
        raise PreflightFailed("\n".join(["nodes of the cluster lack what replicas need:", *lacks]))


def _expected_of(node: Node, demands: Sequence[Demand], expected: dict[Role, Expected]) -> Expected | None:
    """Of a node that could hold replicas, what all of those need; None for one that can hold none."""
    roles = [
        role for role in expected if any(demand.role == role and places_for([demand], [node])[0] for demand in demands)
    ]
    if not roles:
        return None
    return Expected(
        code_identity(), tuple(folder for role in expected if role in roles for folder in expected[role].folders)
    )
