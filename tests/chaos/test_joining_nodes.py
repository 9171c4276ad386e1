"""Three schedules of nodes that join, die and freeze: the rows of an undisturbed run, and nothing left behind."""

import pytest

from tests.chaos.nodes import Nodes, drawn
from tests.services.ray_nodes import LocalCluster

pytestmark = [pytest.mark.ray, pytest.mark.ci]

SEED = 1


def test_schedules_of_nodes(tmp_path):
    with LocalCluster() as cluster:
        nodes = Nodes(cluster, tmp_path)
        for number in (1, 2, 3):
            outcome = nodes.carry_out(drawn(SEED, number))
            assert outcome.wrong == [], outcome.schedule


def test_a_schedule_is_the_same_again():
    assert drawn(SEED, 5) == drawn(SEED, 5)
    assert {event.what for number in range(20) for event in drawn(SEED, number).events} == {"kill", "freeze", "join"}
