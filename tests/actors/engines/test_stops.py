"""Stop strings are found at the token that completes them, whatever tokens and steps make them up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.scripted.tokens import byte_tokenizer
from actors.engines.stops import StopStrings
from actors.engines.text import read_tokenizer
from tests.actors.conftest import EXAMPLE

VOCABULARIES = {
    "bytes": byte_tokenizer("\n\n"),
    "example": read_tokenizer(EXAMPLE / "generator" / TOKENIZER_FILE),
}
STOPS = [("\n\nQ:",), ("ab", "b."), ("\N{SNOWMAN}",), ("So",), ("\n",)]


@pytest.mark.parametrize("stops", STOPS)
@pytest.mark.parametrize("name", VOCABULARIES)
@given(data=st.data())
def test_a_sample_ends_at_the_first_token_that_completes_one(name, stops, data):
    """The slow twin decodes all that was sampled after each token."""
    tokenizer, watch = VOCABULARIES[name], StopStrings(VOCABULARIES[name], stops)
    pieces = st.sampled_from([*"".join(stops), *stops, ".", "\n", "\n\n", "\N{SNOWMAN}", "a"])
    text = "".join(data.draw(st.lists(pieces, min_size=1, max_size=12)))
    ids = tokenizer.encode(text, special=False)
    slow = next((end for end in range(1, len(ids) + 1) if any(s in tokenizer.decode(ids[:end]) for s in stops)), None)
    for cut in {0, len(ids) // 2} if slow is None else {0, slow // 2, slow - 1}:  # earlier steps have the rest
        sampled = ids[cut:]
        found = next((cut + end for end in range(1, len(sampled) + 1) if watch.ended(ids[:cut], sampled[:end])), None)
        assert found == slow


def test_nothing_stops_without_any():
    assert not StopStrings(VOCABULARIES["bytes"], ()).ended((), (5,))
