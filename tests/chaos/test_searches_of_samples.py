"""Searches of whole samples that are struck: schedules that are always the same, on scripted engines."""

import pytest

from tests.chaos.trial import Undisturbed, undisturbed
from tests.chaos.twelve import cases, check
from tests.chaos.workloads import named

pytestmark = [pytest.mark.ray, pytest.mark.long]

WORKLOADS = (
    "samples",
    "decided",
    "marginal",
)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return {name: undisturbed(named(name), "scripted", folder / name) for name in WORKLOADS}


@pytest.mark.parametrize(("workload", "number"), cases(*WORKLOADS))
def test_nothing_is_lost_and_nothing_stays(tmp_path, references, workload, number):
    check(workload, number, references[workload], tmp_path / "schedule")
