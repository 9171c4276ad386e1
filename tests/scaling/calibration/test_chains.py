"""Packing prefixes into sequences, against an obvious twin; splits by name."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.calibration.chains import CONFORMAL, STOPPING, TEST, TRAINING, Shares, pack, split_of

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=25)


def slow_maximal(sequences):
    """Those that are no proper beginning of another."""
    return {one for one in sequences if not any(other != one and other[: len(one)] == one for other in sequences)}


@given(SEQUENCES)
def test_every_row_is_read_once_at_its_own_end(sequences):
    chains = pack(sequences)
    assert sorted(row for chain in chains for row in chain.rows) == list(range(len(sequences)))
    for chain in chains:
        assert len(chain.places) == len(chain.rows)
        assert list(chain.places) == sorted(chain.places)
        for place, row in zip(chain.places, chain.rows, strict=True):
            assert chain.ids[: place + 1] == sequences[row]


@given(SEQUENCES)
def test_there_are_no_more_sequences_than_have_to_be(sequences):
    assert Counter(chain.ids for chain in pack(sequences)) == Counter(slow_maximal(sequences))


@given(SEQUENCES, st.randoms())
def test_the_order_of_rows_changes_nothing(sequences, chance):
    order = list(range(len(sequences)))
    chance.shuffle(order)

    def told(rows):
        return [(chain.ids, chain.places, [rows[row] for row in chain.rows]) for chain in pack(rows)]

    assert told([sequences[row] for row in order]) == told(sequences)


def test_a_sequence_without_tokens_is_refused():
    with pytest.raises(ValueError, match="no place"):
        pack([(1,), ()])


def test_a_problem_stays_in_its_split_whatever_else_there_is():
    shares = Shares(stopping=0.1, conformal=0.2, test=0.3)
    names = [f"p{number}" for number in range(4000)]
    splits = {name: split_of(name, seed=5, shares=shares) for name in names}
    found = Counter(splits.values())
    for split, share in ((STOPPING, 0.1), (CONFORMAL, 0.2), (TEST, 0.3), (TRAINING, 0.4)):
        assert abs(found[split] / len(names) - share) < 0.03
    # More to stop on and none for a shift: what was tested stays tested.
    other = Shares(stopping=0.3, conformal=0.0, test=0.3)
    assert all((split_of(name, seed=5, shares=other) == TEST) == (splits[name] == TEST) for name in names)
    assert any(split_of(name, seed=6, shares=shares) != splits[name] for name in random.Random(0).sample(names, 20))
