"""Fitting replicas to nodes, by what these have in all.

A replica lies on one node. Whole GPUs are its own; a share of a GPU lies on one GPU, beside others. Large replicas are
placed first; among nodes with room a packed replica takes the first, a spread one that with the fewest of its role.
Ray decides for itself, by the same resources and labels; another order of its own can leave more out, never take more
than a node has.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from records.nodes import Demand, Node
from records.usage import Role

ROUNDING = 1e-9
_AMONG = re.compile(r"in\((.*)\)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a replica lies: the number of its node, and those of its GPUs on it."""

    node: int
    gpus: tuple[int, ...]


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a node's labels are as selected, in Ray's spelling.

    >>> labels = {"kind": "generator", "zone": "a"}
    >>> [matches({"kind": said}, labels) for said in ("generator", "!prm", "in(generator,both)", "!in(generator)")]
    [True, True, True, False]
    >>> matches({"rack": "!7"}, labels)  # a label that is not there is not 7
    True
    """
    return all(_value_matches(wanted, labels.get(key)) for key, wanted in selector.items())


def _value_matches(wanted: str, value: str | None) -> bool:
    negated, wanted = wanted.startswith("!"), wanted.removeprefix("!")
    among = _AMONG.fullmatch(wanted)
    values = [one.strip() for one in among[1].split(",")] if among else [wanted]
    return (value in values) != negated


class _Room:
    """What is left of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.num_of = Counter[Role]()
        self._left = {name: value for name, value in node.resources.items() if name != "GPU"}
        self._gpus = [1.0] * int(node.resources.get("GPU", 0))

    def take(self, demand: Demand) -> tuple[int, ...] | None:
        """The numbers of the GPUs that the replica gets; None, and nothing is taken, where it does not fit."""
        others = {name: value for name, value in demand.resources.items() if name != "GPU" and value > 0}
        gpus = self._gpus_for(demand.num_gpus)
        if gpus is None or any(self._left.get(name, 0.0) < value - ROUNDING for name, value in others.items()):
            return None
        for name, value in others.items():
            self._left[name] -= value
        for gpu in gpus:
            self._gpus[gpu] -= min(1.0, demand.num_gpus)
        self.num_of[demand.role] += 1
        return gpus

    def _gpus_for(self, number: float) -> tuple[int, ...] | None:
        if number <= 0:
            return ()
        share, count = (number, 1) if number < 1 else (1.0, int(number))
        free = [gpu for gpu, left in enumerate(self._gpus) if left >= share - ROUNDING]
        if share < 1:  # on a GPU that is shared already, so that whole ones stay whole
            free.sort(key=lambda gpu: self._gpus[gpu])
        return tuple(free[:count]) if len(free) >= count else None


def places_for(demands: Sequence[Demand], nodes: Sequence[Node]) -> list[Place | None]:
    """A place for each replica, in the order given; None for one that has none left.

    Dead and draining nodes hold nothing.

    >>> nodes = [Node(node_id=name, name=name, resources={"GPU": number}) for name, number in (("a", 1.0), ("b", 2.0))]
    >>> small, large = Demand(role="prm", resources={"GPU": 0.25}), Demand(role="generator", resources={"GPU": 2.0})
    >>> places_for([small, large, small, large], nodes)
    [Place(node=0, gpus=(0,)), Place(node=1, gpus=(0, 1)), Place(node=0, gpus=(0,)), None]
    """
    rooms = [(number, _Room(node)) for number, node in enumerate(nodes) if node.alive and not node.draining]
    places: list[Place | None] = [None] * len(demands)
    largest_first = sorted(range(len(demands)), key=lambda index: -demands[index].num_gpus)
    for index in largest_first:
        demand = demands[index]
        open_rooms = [(number, room) for number, room in rooms if matches(demand.labels, room.node.labels)]
        if demand.spread:
            open_rooms.sort(key=lambda entry: entry[1].num_of[demand.role])
        for number, room in open_rooms:
            gpus = room.take(demand)
            if gpus is not None:
                places[index] = Place(number, gpus)
                break
    return places


def num_fitting(demands: Sequence[Demand], nodes: Sequence[Node]) -> Counter[Role]:
    """How many replicas of each role find a place, by role."""
    places = places_for(demands, nodes)
    return Counter(demand.role for demand, place in zip(demands, places, strict=True) if place is not None)
