"""A set of ids in little memory is a set of ids, also where hashes are the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writer import seen_ids
from actors.writer.seen_ids import SeenIds
from tests.support.tiers import some_of

IDS = st.lists(st.text(max_size=4), max_size=40)


@given(first=IDS, later=IDS, asked=IDS, same_hash=st.booleans(), recent=st.integers(1, 9))
@settings(max_examples=some_of(150))
def test_it_is_a_set(first, later, asked, same_hash, recent):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_ids, "RECENT_IDS", recent)
        if same_hash:
            patch.setattr(seen_ids, "_hash", lambda one: seen_ids.np.uint64(len(one)))
        seen, plain = SeenIds(first), set(first)
        for one in later:
            seen.add(one)
            plain.add(one)
        assert (len(seen), sorted(seen)) == (len(plain), sorted(plain))
        assert [one in seen for one in [*asked, *later]] == [one in plain for one in [*asked, *later]]
