"""Some inputs made wrong, as `python -m tests.fuzz` makes any number: no traceback, no hang, no escape."""

import pytest

from tests.fuzz.__main__ import outcomes

pytestmark = pytest.mark.slow

FEW, MORE = range(60), range(60, 300)


@pytest.mark.parametrize("numbers", [FEW, pytest.param(MORE, marks=pytest.mark.ci)], ids=["few", "more"])
def test_every_input_ends_in_success_or_in_one_refusal(numbers):
    found = list(outcomes(numbers, seed=16, jobs=2))
    faults = {number: (case.kind, ended.fault, case.arguments) for number, case, ended in found if ended.fault}
    assert faults == {}
    assert {ended.status for _, _, ended in found} >= {0, 2}
