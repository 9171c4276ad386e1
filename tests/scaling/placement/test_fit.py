"""Fitting replicas to nodes: nothing is given twice, what fits alone is placed alone, and how replicas spread."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from records.nodes import Demand, Node
from scaling.placement.fit import matches, places_for

RESOURCES = st.fixed_dictionaries(
    {"CPU": st.sampled_from([0.0, 1.0, 4.0]), "GPU": st.sampled_from([0.0, 1.0, 2.0, 4.0])},
    optional={"slot": st.sampled_from([1.0, 2.0])},
)
NODES = st.lists(
    st.builds(
        Node,
        node_id=st.uuids().map(str),
        name=st.just("n"),
        alive=st.sampled_from([True, True, False]),
        draining=st.sampled_from([False, False, True]),
        resources=RESOURCES,
        labels=st.sampled_from([{}, {"kind": "generator"}, {"kind": "prm"}]),
    ),
    max_size=5,
)
DEMANDS = st.lists(
    st.builds(
        Demand,
        role=st.sampled_from(["generator", "prm"]),
        resources=st.fixed_dictionaries(
            {"CPU": st.sampled_from([0.0, 0.5, 1.0]), "GPU": st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])},
            optional={"slot": st.just(1.0)},
        ),
        labels=st.sampled_from([{}, {"kind": "generator"}, {"kind": "!prm"}, {"kind": "in(prm,generator)"}]),
        spread=st.booleans(),
    ),
    max_size=8,
)


@given(DEMANDS, NODES)
def test_no_node_and_no_gpu_gives_more_than_it_has(demands, nodes):
    places = places_for(demands, nodes)
    assert len(places) == len(demands)
    taken: dict[int, Counter[str]] = {}
    gpus: Counter[tuple[int, int]] = Counter()
    for demand, place in zip(demands, places, strict=True):
        if place is None:
            continue
        node = nodes[place.node]
        assert node.alive
        assert not node.draining
        assert matches(demand.labels, node.labels)
        taken.setdefault(place.node, Counter()).update(demand.resources)
        assert len(place.gpus) == (1 if 0 < demand.num_gpus < 1 else demand.num_gpus)
        for gpu in place.gpus:
            gpus[place.node, gpu] += min(1.0, demand.num_gpus)
    for number, of_node in taken.items():
        assert all(value <= nodes[number].resources.get(name, 0.0) for name, value in of_node.items())
    for (number, gpu), share in gpus.items():
        assert share <= 1.0
        assert gpu < nodes[number].resources["GPU"]


@given(DEMANDS, NODES)
def test_what_has_no_place_does_not_fit_into_what_is_left(demands, nodes):
    """Those that are placed fit together; and whoever fits on an empty cluster is placed there when alone."""
    places = places_for(demands, nodes)
    kept = [demand for demand, place in zip(demands, places, strict=True) if place is not None]
    assert None not in places_for(kept, nodes)
    for demand in demands:
        fits = any(
            node.alive
            and not node.draining
            and matches(demand.labels, node.labels)
            and all(value <= node.resources.get(name, 0.0) for name, value in demand.resources.items())
            for node in nodes
        )
        assert (places_for([demand], nodes)[0] is not None) == fits


def test_packed_replicas_fill_nodes_and_spread_ones_avoid_each_other():
    nodes = [Node(node_id=name, name=name, resources={"CPU": 4.0}) for name in "abc"]

    def taken(*, spread: bool) -> list[int]:
        demand = Demand(role="prm", resources={"CPU": 1.0}, spread=spread)
        return [place.node for place in places_for([demand] * 3, nodes) if place is not None]

    assert taken(spread=False) == [0, 0, 0]
    assert sorted(taken(spread=True)) == [0, 1, 2]


def test_four_small_prms_share_one_gpu_beside_a_generator():
    node = Node(node_id="a", name="a", resources={"CPU": 8.0, "GPU": 2.0})
    small = Demand(role="prm", resources={"GPU": 0.25})
    whole = Demand(role="generator", resources={"GPU": 1.0})
    places = places_for([small, small, whole, small, small], [node])
    gpus = [place.gpus for place in places if place is not None]
    assert len(gpus) == 5
    assert len({*gpus[:2], *gpus[3:]}) == 1
    assert gpus[2] != gpus[0]
