"""A node of a cluster as whoever places replicas on it sees it, and what a replica takes of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from records.usage import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node.

    Attributes:
        node_id: unique, also among nodes that are gone.
        name: for people: its address, or the name that it was started with.
        alive: the cluster has not declared it dead.
        draining: it is about to go (an interruption notice, a scale-down): nothing new is placed on it.
        resources: what it has in all, used or not: "CPU", "GPU", "memory" in bytes, and custom ones.
        labels: of the node.
    """

    node_id: str
    name: str
    alive: bool = True
    draining: bool = False
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one replica takes.

    Attributes:
        role: "generator" or "prm".
        resources: of its node: "CPU", "GPU" (a whole number, or a share below 1), and custom ones.
        labels: what its node's labels have to be, as Ray spells it: a value, !value, in(a,b), !in(a,b).
        spread: it keeps away from others of its role.
    """

    role: Role
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    spread: bool = False

    @property
    def num_gpus(self) -> float:
        """Whole GPUs, or a share of one."""
        return self.resources.get("GPU", 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """Nodes of one kind that a cluster has, or can have.

    Attributes:
        name: of the kind; of a node that is there, its own.
        max_nodes: how many there are at most.
        resources: of each, as in `Node`.
        labels: of each.
        priority: the group with the highest is asked first.
        hints: names in which the kind of GPU may be found: instance type, accelerator label, node selector.
    """

    name: str
    max_nodes: int
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    hints: tuple[str, ...] = ()
