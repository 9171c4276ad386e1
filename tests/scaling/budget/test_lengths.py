"""The running quantile of sample lengths against a plain sort of the window."""

from hypothesis import given
from hypothesis import strategies as st

from records.request import Until
from scaling.budget.ledger import LengthEstimate


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 20), st.integers(1, 60))
def test_it_is_the_quantile_of_what_was_seen_last(lengths, window, max_tokens):
    estimate = LengthEstimate(window=window)
    for seen, length in enumerate(lengths, start=1):
        estimate.observe(Until.STEP, length)
        last = sorted(lengths[max(0, seen - window) : seen])
        wanted = last[min(len(last) - 1, int(0.95 * len(last)))]
        assert estimate.useful_tokens(Until.STEP, max_tokens) == min(max_tokens, wanted)
    assert estimate.useful_tokens(Until.END, max_tokens) == max_tokens
