"""Windows: shares that add up to the cap, whatever is spent of them, and samples that wait for all to be read."""

from hypothesis import given
from hypothesis import strategies as st

from scaling.budget.ledger import Ledger, window_share
from scaling.scheduler.open_search import WindowBarrier


@given(
    total=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    used=st.lists(st.floats(0, 1), min_size=8, max_size=8),
)
def test_no_window_takes_more_than_its_share_and_what_one_leaves_goes_to_the_others(total, sizes, used):
    left, num_left = total, sum(sizes)
    for size, part in zip(sizes, used, strict=False):
        share = window_share(left, 0, num_problems=size, num_left=num_left)
        assert 0 <= share <= left
        assert share * num_left <= left * size < (share + 1) * num_left
        left -= int(part * share)
        num_left -= size
    assert window_share(left, 0, num_problems=1, num_left=1) == left


def test_an_interrupted_window_goes_on_with_what_is_left_of_its_share():
    """Two windows of 100 problems, 200 000 tokens: the first has spent 90 000 of its half when it is interrupted."""
    assert window_share(110_000, 90_000, num_problems=100, num_left=200) == 10_000
    assert window_share(110_000, 0, num_problems=100, num_left=200) == 55_000
    assert window_share(1_000, 90_000, num_problems=10, num_left=200) == 0


def test_a_ledger_spends_no_more_than_a_window_may():
    ledger = Ledger(total_tokens=100, leased_tokens=100)
    ledger.begin_window(num_problems=1, num_left=4)
    assert ledger.grant("a", wanted_tokens=40, useful_tokens=5) == 25
    ledger.settle("a", used_tokens=25)
    assert ledger.exhausted
    assert ledger.remaining_tokens == 75
    ledger.begin_window(num_problems=3, num_left=3)
    assert not ledger.exhausted
    assert ledger.grant("b", wanted_tokens=80, useful_tokens=5) == 75
    uncapped = Ledger()
    uncapped.begin_window(num_problems=1, num_left=4)
    assert uncapped.grant("a", wanted_tokens=40, useful_tokens=5) == 40


def test_a_window_is_complete_when_all_are_open_and_each_is_ready_or_over():
    window = WindowBarrier(2)
    window.opened("a")
    window.ready("a")
    assert not window.complete
    window.opened("b")
    assert not window.complete
    window.ready("b")
    assert window.complete
    window.opened("later")
    assert window.complete
    assert WindowBarrier().complete
