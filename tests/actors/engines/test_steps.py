"""Splitting samples into steps: nothing is lost, whatever the tokens are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models

from actors.engines.steps import StepSplitter
from actors.engines.text import TextTokenizer
from tests.support.fakes import byte_backend, byte_tokenizer

SEPARATOR = "\n\n"


def tokenizer_with(*added: str) -> TextTokenizer:
    """The bytes, and tokens of our own."""
    backend = Tokenizer.from_str(byte_backend().to_str())
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    return TextTokenizer(backend)


VOCABULARIES = {
    "separator": byte_tokenizer(),
    "merged": tokenizer_with(".\n\n", "\n\n\n", "\n\n\n\n", "\n"),
    "bytes only": TextTokenizer(
        Tokenizer.from_str(byte_backend().to_str().replace('"content":"\\n\\n"', '"content":"~~"'))
    ),
}
SPLITTERS = {name: StepSplitter(tokenizer, SEPARATOR) for name, tokenizer in VOCABULARIES.items()}


def ids_of(tokenizer: TextTokenizer, *pieces: str) -> list[int]:
    return [token_id for piece in pieces for token_id in tokenizer.encode(piece, special=False)]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_solution_falls_into_its_steps(name):
    tokenizer = VOCABULARIES[name]
    ids = ids_of(tokenizer, "One.\n\nTwo\n\n", "\\boxed{3}", "<eos>")
    steps = SPLITTERS[name].split([], ids)
    assert [step.text for step in steps] == ["One.\n\n", "Two\n\n", "\\boxed{3}"]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_further_newlines_stay_with_the_step_that_they_follow(name):
    tokenizer = VOCABULARIES[name]
    ids = ids_of(tokenizer, "One\n\n", "\n\n", "\n", "Two")
    assert [step.text for step in SPLITTERS[name].split([], ids)] == ["One\n\n\n\n\n", "Two"]


def test_an_end_of_answer_after_a_separator_is_no_step_of_its_own():
    tokenizer = VOCABULARIES["separator"]
    ids = ids_of(tokenizer, "One\n\n", "<eos>")
    (step,) = SPLITTERS["separator"].split([], ids)
    assert step.text == "One\n\n"
    assert list(step.token_ids) == ids


def test_a_lone_end_of_answer_is_an_empty_step():
    ids = ids_of(VOCABULARIES["separator"], "<eos>")
    (step,) = SPLITTERS["separator"].split([10, 11], ids)
    assert step.text == ""


@pytest.mark.parametrize("name", VOCABULARIES)
@given(data=st.data())
def test_ids_and_texts_concatenate(name, data):
    tokenizer, splitter = VOCABULARIES[name], SPLITTERS[name]
    newlines = ids_of(tokenizer, "\n\n") + ids_of(tokenizer, "\n")
    size = len(tokenizer.vocabulary_texts())
    token_ids = st.lists(st.one_of(st.integers(0, size - 1), st.sampled_from(newlines)), max_size=40)
    # A context that ends in the middle of a character changes how what follows decodes, so it ends in text.
    context = [*data.draw(token_ids), *ids_of(tokenizer, "x")]
    ids = data.draw(token_ids)
    steps = splitter.split(context, ids)
    assert [token_id for step in steps for token_id in step.token_ids] == ids
    assert "".join(step.text for step in steps) == tokenizer.decode(ids)
    assert all(SEPARATOR in step.text for step in steps[:-1])
    assert all(SEPARATOR not in step.text.strip("\n") for step in steps if "\ufffd" not in step.text)


def test_a_leading_space_that_only_context_shows_is_kept():
    """SentencePiece style: a word's token brings its space, except at the beginning of a text."""
    vocabulary = {"\u2581One": 0, "\u2581Two": 1, "\n": 2}
    backend = Tokenizer(models.WordLevel(vocabulary))
    backend.decoder = decoders.Metaspace()
    tokenizer = TextTokenizer(backend)
    assert tokenizer.decode([1]) == "Two"
    assert tokenizer.decode_after([0, 2], [1]) == " Two"
    splitter = StepSplitter(tokenizer, "\n")
    assert [step.text for step in splitter.split([0], [1, 2, 0])] == [" Two\n", " One"]


@pytest.mark.parametrize("separator", ["\n\n", "\n", "ab", "\N{IDEOGRAPHIC FULL STOP}", "\n\N{RIGHTWARDS ARROW}"])
@pytest.mark.parametrize("name", VOCABULARIES)
@given(data=st.data())
def test_a_step_that_is_sampled_ends_at_the_first_token_that_completes_a_separator(name, separator, data):
    """Whatever tokens make it up, bytes of a character too; the slow twin decodes all of it after each token."""
    tokenizer = VOCABULARIES[name]
    splitter = StepSplitter(tokenizer, separator)
    pieces = st.sampled_from([*separator, separator, ".", "\n", "\N{SNOWMAN}", "a"])
    ids = ids_of(tokenizer, *data.draw(st.lists(pieces, min_size=1, max_size=12)))
    sampled = range(1, len(ids) + 1)
    slow = next((end for end in sampled if separator in tokenizer.decode(ids[:end])), None)
    found = next(
        (end for end in sampled if ids[end - 1] in splitter.separator_ids or splitter.ends_step(ids[:end])), None
    )
    assert found == slow
