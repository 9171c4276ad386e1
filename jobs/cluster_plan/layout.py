"""Which replica goes to which group of nodes, and why one has no place."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from records.nodes import Demand, Node, NodeGroup
from records.usage import Role
from scaling.placement.fit import matches, places_for


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupUse:
    """Replicas of one role in one group of nodes."""

    group: str
    role: Role
    num_replicas: int
    num_nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLayout:
    """Where all replicas go.

    Attributes:
        uses: by role and group, in the order in which groups are asked.
        num_nodes: nodes of each group that hold a replica.
        homeless: replicas of each role that have no place.
        reasons: why, a sentence for each group, by role.
    """

    uses: tuple[GroupUse, ...]
    num_nodes: Mapping[str, int]
    homeless: Mapping[Role, int]
    reasons: Mapping[Role, tuple[str, ...]]


def lay_out(demands: Sequence[Demand], groups: Sequence[NodeGroup], max_nodes: int) -> ClusterLayout:
    """Place replicas on groups as large as these may become.

    Args:
        demands: of all replicas.
        groups: that there are.
        max_nodes: of all groups together.
    """
    asked = sorted(groups, key=lambda group: -group.priority)
    nodes = [_node(group, number) for group in asked for number in range(min(group.max_nodes, len(demands)))]
    places = places_for(demands, nodes)
    used = list(dict.fromkeys(place.node for place in places if place is not None))
    kept = set(used[:max_nodes])  # nodes beyond the bound of all are never started
    replicas, on_nodes = Counter[tuple[Role, str]](), dict[tuple[Role, str], set[int]]()
    homeless = Counter[Role]()
    for demand, place in zip(demands, places, strict=True):
        if place is None or place.node not in kept:
            homeless[demand.role] += 1
            continue
        key = (demand.role, nodes[place.node].name)
        replicas[key] += 1
        on_nodes.setdefault(key, set()).add(place.node)
    return ClusterLayout(
        uses=tuple(
            GroupUse(group=group, role=role, num_replicas=number, num_nodes=len(on_nodes[role, group]))
            for (role, group), number in replicas.items()
        ),
        num_nodes=Counter(nodes[number].name for number in kept),
        homeless=homeless,
        reasons={role: _reasons(role, demands, asked, max_nodes, len(used)) for role in homeless},
    )


def _node(group: NodeGroup, number: int) -> Node:
    return Node(node_id=f"{group.name}-{number}", name=group.name, resources=group.resources, labels=group.labels)


def _reasons(
    role: Role, demands: Sequence[Demand], groups: Sequence[NodeGroup], max_nodes: int, num_used: int
) -> tuple[str, ...]:
    """Why groups have no place left for the replicas of a role; those of other labels are told together."""
    demand = next(one for one in demands if one.role == role)
    fitting = [group for group in groups if matches(demand.labels, group.labels)]
    said = [] if fitting or not demand.labels else [f"no group has labels like {_spelled(demand.labels)}"]
    for group in fitting:
        short = [
            f"{name} {value:g} of {group.resources.get(name, 0.0):g}"
            for name, value in demand.resources.items()
            if value > group.resources.get(name, 0.0)
        ]
        if not short:
            said.append(f"{group.name}: its {group.max_nodes} nodes are full")
        elif group.resources.get("CPU", 0.0) > 0:
            said.append(f"{group.name}: a replica would take {', '.join(short)}")
    if num_used > max_nodes:
        said.append(f"{num_used} nodes are needed, and the cluster has at most {max_nodes}")
    return tuple(said)


def _spelled(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())
