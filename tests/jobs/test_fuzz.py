"""A few hundred inputs made wrong, as `python -m tests.fuzz` makes any number: no traceback, no hang, no escape."""

import pytest

from tests.fuzz.__main__ import outcomes
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow


def test_every_input_ends_in_success_or_in_one_refusal():
    found = list(outcomes(range(some_of(1500)), seed=16, jobs=2))
    faults = {number: (case.kind, ended.fault, case.arguments) for number, case, ended in found if ended.fault}
    assert faults == {}
    assert {ended.status for _, _, ended in found} >= {0, 2}
