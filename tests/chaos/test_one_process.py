"""Twelve schedules, always the same, of runs in one process: nothing is lost, nothing is twice, nothing stays behind.

Those with Ray are in `test_searches_of_steps.py` and `test_searches_of_samples.py`.
"""

from typing import Any

import pytest

from tests.chaos.schedules import DISK, DRIVER, EVERYTHING, WRITE, draw
from tests.chaos.trial import Undisturbed, carry_out, undisturbed
from tests.chaos.workloads import ONE_PROCESS

pytestmark = pytest.mark.slow

SEED = 5
VICTIMS = (DRIVER, EVERYTHING, WRITE, DISK)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return {one.name: undisturbed(one, "scripted", folder / one.name) for one in ONE_PROCESS}


MARKS: dict[int, Any] = dict.fromkeys((2, 3, 9, 12), pytest.mark.ci)
"""Four in `.ci/run`, all in `make test-all`."""
NUMBERS = [pytest.param(number, marks=MARKS.get(number, pytest.mark.long)) for number in range(1, 13)]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_struck_run_leaves_what_an_undisturbed_one_leaves(tmp_path, references, number):
    schedule = draw(SEED, number, engines="scripted", stores=["local"], victims=VICTIMS, workloads=ONE_PROCESS)
    outcome = carry_out(schedule, references[schedule.workload.name], None, tmp_path / "schedule")
    assert not outcome.wrong, outcome
    assert outcome.looks > 0, "the polling reader saw nothing"
