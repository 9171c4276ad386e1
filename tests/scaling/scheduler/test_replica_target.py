"""How many replicas a run wants: within bounds, later than a moment's queue, fewer in the tail, never to and fro."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.scheduler.replica_target import GROW_S, PAYS, SHRINK_S, SPARE_SHARE, ReplicaTarget, Work

BUSY = Work(num_calls=200, num_coming=1000.0, capacity=64, num_open=1, left_s=1000.0, start_s=60.0)
TAIL = Work(num_calls=40, num_coming=0.0, capacity=256, num_open=4, left_s=10.0, start_s=60.0)


def after(target: ReplicaTarget, work: Work, *, from_s: float, for_s: float) -> int:
    number = target.number
    for tick in range(int(for_s / 2) + 1):
        number = target.look(work, now_s=from_s + 2 * tick)
    return number


def test_a_queue_has_to_last():
    target = ReplicaTarget(least=1, most=8)
    assert after(target, BUSY, from_s=0, for_s=GROW_S - 2) == 1
    target.look(replace(BUSY, num_calls=10, num_coming=0.0), now_s=GROW_S - 1)
    assert after(target, BUSY, from_s=GROW_S, for_s=GROW_S - 2) == 1
    assert target.look(BUSY, now_s=2 * GROW_S) == 8


def test_no_more_than_the_work_fills():
    target = ReplicaTarget(least=1, most=8)
    assert after(target, replace(BUSY, num_calls=130, num_coming=0.0), from_s=0, for_s=GROW_S) == 3


@pytest.mark.parametrize(
    "work",
    [
        replace(BUSY, num_calls=50),  # they are not full, whatever is to come
        replace(BUSY, left_s=PAYS * BUSY.start_s),  # done before another is up and has paid for its start
        replace(BUSY, num_open=0, capacity=0),  # nobody knows what one of them does
    ],
)
def test_what_asks_for_no_more(work):
    assert after(ReplicaTarget(least=1, most=8), work, from_s=0, for_s=10 * GROW_S) == 1


def test_the_tail_lets_them_go_and_the_least_stay():
    target = ReplicaTarget(least=2, most=4)
    after(target, replace(BUSY, num_open=2, capacity=128), from_s=0, for_s=GROW_S)
    assert target.number == 4
    assert after(target, TAIL, from_s=100, for_s=SHRINK_S - 2) == 4
    assert target.look(TAIL, now_s=100 + SHRINK_S) == 2
    assert after(target, replace(TAIL, num_calls=0), from_s=200, for_s=10 * SHRINK_S) == 2


def test_one_load_never_grows_and_then_shrinks():
    """Wherever the number is, a load that does not change takes it to one place and leaves it there."""
    for num_calls in range(1, 400, 7):
        for begun in range(1, 9):
            target = ReplicaTarget(least=1, most=8)
            target.number = begun
            seen = [begun]
            for tick in range(100):
                up = target.number
                work = replace(BUSY, num_calls=num_calls, num_coming=0.0, num_open=up, capacity=64 * up)
                seen.append(target.look(work, now_s=2.0 * tick))
            assert seen in (sorted(seen), sorted(seen, reverse=True))
            end = seen[-1]
            assert num_calls <= 64 * end or end == 8, "they are full, and more would be"
            assert num_calls > 64 * SPARE_SHARE * (end - 1), "one less would have done"


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.floats(0, 1e6), st.integers(0, 8), st.floats(0, 1e4), st.floats(0.1, 30)),
        max_size=60,
    ),
    st.integers(1, 4),
    st.integers(0, 8),
)
def test_it_stays_within_its_bounds_and_moves_one_way_at_a_time(looks, least, more):
    target, now_s, moved_s = ReplicaTarget(least=least, most=least + more), 0.0, -math.inf
    for num_calls, coming, num_up, left_s, passed_s in looks:
        now_s += passed_s
        before = target.number
        work = Work(
            num_calls=num_calls, num_coming=coming, capacity=64 * num_up, num_open=num_up, left_s=left_s, start_s=60.0
        )
        number = target.look(work, now_s=now_s)
        assert least <= number <= least + more
        if number != before:
            assert now_s - moved_s >= min(GROW_S, SHRINK_S)
            moved_s = now_s


def test_bounds_that_hold_no_number():
    with pytest.raises(ValueError, match="no number of replicas is between 3 and 2"):
        ReplicaTarget(least=3, most=2)
