"""The ledger: tokens are conserved, whatever is asked of it and in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.budget.ledger import Ledger, Refusal

moves = st.lists(
    st.tuples(st.sampled_from("gsal"), st.integers(0, 9), st.integers(1, 60), st.floats(0, 1)), max_size=80
)


@given(total=st.integers(1, 200), moves=moves)
def test_tokens_are_conserved_and_the_ceiling_holds(total, moves):
    ledger = Ledger(total_tokens=total, leased_tokens=0)
    granted: dict[str, int] = {}
    for kind, name, tokens, share in moves:
        key = str(name)
        if kind == "g":
            grant = ledger.grant(key, wanted_tokens=tokens, useful_tokens=int(tokens * share))
            if isinstance(grant, int):
                assert 1 <= grant <= max(tokens, granted.get(key, 0))
                granted.setdefault(key, grant)
        elif kind == "l":
            ledger.leased_tokens = ledger.next_lease(tokens) or ledger.leased_tokens
        elif key in granted:
            assert ledger.settle(key, used_tokens=int(share * granted[key])) == granted.pop(key)
        assert ledger.remaining_tokens is not None
        assert ledger.remaining_tokens + ledger.reserved_tokens + ledger.spent_tokens == total
        assert ledger.remaining_tokens >= 0
        assert ledger.reserved_tokens == sum(granted.values())
        assert ledger.spent_tokens + ledger.reserved_tokens <= (ledger.leased_tokens or 0)


def test_settling_twice_spends_once():
    ledger = Ledger(total_tokens=10, leased_tokens=10)
    ledger.grant("a", wanted_tokens=5, useful_tokens=5)
    assert ledger.settle("a", used_tokens=3) == 5
    assert ledger.settle("a", used_tokens=3) == 0
    assert (ledger.spent_tokens, ledger.remaining_tokens) == (3, 7)


def test_using_more_than_granted_is_refused():
    ledger = Ledger(total_tokens=10, leased_tokens=10)
    ledger.grant("a", wanted_tokens=5, useful_tokens=5)
    with pytest.raises(ValueError, match="used 6 tokens of 5"):
        ledger.settle("a", used_tokens=6)


def test_near_the_cap_a_grant_is_clamped_while_it_is_useful():
    ledger = Ledger(total_tokens=100, leased_tokens=100)
    assert ledger.grant("a", wanted_tokens=80, useful_tokens=10) == 80
    assert ledger.grant("b", wanted_tokens=80, useful_tokens=10) == 20
    assert ledger.grant("c", wanted_tokens=80, useful_tokens=10) is Refusal.WAIT
    ledger.settle("a", used_tokens=75)
    assert ledger.grant("c", wanted_tokens=80, useful_tokens=10) is Refusal.WAIT
    ledger.settle("b", used_tokens=20)
    assert ledger.grant("c", wanted_tokens=80, useful_tokens=10) == 5
    ledger.settle("c", used_tokens=5)
    assert ledger.grant("d", wanted_tokens=80, useful_tokens=10) is Refusal.EXHAUSTED


def test_without_a_cap_everything_is_granted_until_closed():
    ledger = Ledger()
    assert ledger.grant("a", wanted_tokens=10**9, useful_tokens=1) == 10**9
    assert ledger.next_lease(5) is None
    ledger.close()
    assert ledger.grant("b", wanted_tokens=1, useful_tokens=1) is Refusal.EXHAUSTED
    assert ledger.settle("a", used_tokens=7) == 10**9


def test_a_cap_lowered_below_what_was_spent_is_exhausted_at_once():
    ledger = Ledger(total_tokens=50, spent_tokens=70, leased_tokens=80)
    assert ledger.exhausted
    assert ledger.grant("a", wanted_tokens=1, useful_tokens=1) is Refusal.EXHAUSTED
