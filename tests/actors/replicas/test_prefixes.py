"""The prefix store: bounded, least recently used first out."""

from hypothesis import given
from hypothesis import strategies as st

from actors.replicas.prefix_store import PrefixStore


def test_the_least_recently_used_goes_first():
    store: PrefixStore[str] = PrefixStore(max_tokens=10)
    store.put("a", "A", 4)
    store.put("b", "B", 4)
    assert store.get("a") == "A"
    store.put("c", "C", 4)
    assert (store.get("a"), store.get("b"), store.get("c")) == ("A", None, "C")


def test_what_is_larger_than_the_store_is_not_held():
    store: PrefixStore[str] = PrefixStore(max_tokens=3)
    store.put("a", "A", 4)
    assert store.get("a") is None
    assert store.num_tokens == 0


@given(puts=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9)), max_size=50))
def test_the_bound_holds_and_the_newest_is_there(puts):
    store: PrefixStore[int] = PrefixStore(max_tokens=20)
    for key, num_tokens in puts:
        store.put(key, num_tokens, num_tokens)
        assert store.num_tokens <= 20
        assert store.get(key) == num_tokens
    assert store.num_tokens == sum(store.get(key) or 0 for key in "abcdef")
