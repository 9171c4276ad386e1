"""Reading many files at once is reading them one after another, but for the time that it takes."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.run_folder.parallel import NUM_THREADS, in_parallel
from tests.support.tiers import some_of


@given(st.lists(st.integers(), max_size=80))
@settings(max_examples=some_of(40))
def test_it_is_map(items):
    assert list(in_parallel(str, items)) == list(map(str, items))


def test_as_many_are_asked_at_a_time_as_there_are_threads():
    together = threading.Barrier(NUM_THREADS, timeout=20)  # broken, unless so many wait at it at once
    assert list(in_parallel(lambda item: together.wait() >= 0 and item, range(2 * NUM_THREADS))) == [
        *range(2 * NUM_THREADS)
    ]


def test_the_first_failure_is_raised_in_its_turn_and_ends_the_asking():
    asked = []

    def ask(item):
        asked.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    found = in_parallel(ask, range(1000))
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(found)
    assert len(asked) <= 3 + 2 * NUM_THREADS
