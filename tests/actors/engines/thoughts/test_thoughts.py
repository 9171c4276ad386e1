"""Where thoughts begin and end in sampled tokens, held against a slow twin that looks at the whole text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from actors.engines.steps import Step, StepSplitter
from actors.engines.text import TextTokenizer
from actors.engines.thoughts.families import THINKING_FAMILIES
from actors.engines.thoughts.marks import MarkFinder
from actors.engines.thoughts.reader import ThoughtReader
from records.path import Phases, text_after_thought
from tests.support.fakes import byte_backend
from tests.support.tiers import some_of

TAGS = ("<think>", "</think>")


def tokenizer_with(*, plain: tuple[str, ...] = (), special: tuple[str, ...] = ()) -> TextTokenizer:
    """The bytes, and tokens of our own, of which the special ones leave no text."""
    backend = Tokenizer.from_str(byte_backend().to_str())
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    return TextTokenizer(backend)


SPELLED = tokenizer_with(plain=("</", "think", ">\n\n", "k>", ".\n<", "<think>a", "</think><think>"))
"""Has no token of its own for a mark: tokens hold parts of it, and what stands around it."""
HARMONY = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>")


@dataclass(frozen=True, eq=False)
class Format:
    """How one family writes, with the model's tokenizer."""

    name: str
    tokenizer: TextTokenizer
    opened: int | None = None

    @cache  # noqa: B019 (they live as long as the module)
    def reader(self) -> ThoughtReader:
        family = THINKING_FAMILIES[self.name]
        return ThoughtReader(self.tokenizer, family, MarkFinder(self.tokenizer, family.pairs), self.opened)

    @cache  # noqa: B019
    def size(self) -> int:
        return len(self.tokenizer.vocabulary_texts())

    @cache  # noqa: B019
    def splitter(self) -> StepSplitter:
        return StepSplitter(self.tokenizer, "\n\n")

    @cache  # noqa: B019
    def marks(self) -> dict[str, str]:
        """Each mark, and what stands for it in the twin's text: a sign of its own where it is one token."""
        texts = dict.fromkeys(str(mark) for pair in THINKING_FAMILIES[self.name].pairs for mark in pair)
        ids = {text: self.tokenizer.encode(text, special=False) for text in texts}
        return {text: chr(0xE100 + ids[text][0]) if len(ids[text]) == 1 else text for text in texts}

    @cache  # noqa: B019
    def sign(self, token: int) -> str:
        """What a token says in the twin's text; one that leaves no text stands for a sign, or for itself in a mark."""
        if (own := chr(0xE100 + token)) in self.marks().values():
            return own
        in_mark = any(token in self.tokenizer.encode(mark, special=False) for mark in self.marks())
        return self.tokenizer.decode([token], special=in_mark) or "\ue000"


FORMATS = {
    "deepseek-r1, its template opens": Format("deepseek-r1", tokenizer_with(plain=TAGS), opened=0),
    "deepseek-r1": Format("deepseek-r1", tokenizer_with(plain=TAGS)),
    "qwen3": Format("qwen3", tokenizer_with(plain=TAGS)),
    "qwq, spelled": Format("qwq", SPELLED),
    "qwq, spelled, its template opens": Format("qwq", SPELLED, opened=0),
    "magistral": Format("magistral", tokenizer_with(special=("[THINK]", "[/THINK]"))),
    "gpt-oss": Format("gpt-oss", tokenizer_with(special=HARMONY, plain=("analysis", "final", "commentary"))),
}


# --- the slow twin


def slow_twin(form: Format, ids: list[int]) -> tuple[list[bool], str | None]:
    """Of the whole sample: whether each token is of a thought, and the text of the answer; None in a thought."""
    pairs = [(form.marks()[str(start)], form.marks()[str(end)]) for start, end in THINKING_FAMILIES[form.name].pairs]
    marks = sorted(form.marks().values(), key=len, reverse=True)
    pieces = [form.sign(token) for token in ids]
    text = "".join(pieces)
    opened, consumed, answer_at = form.opened, 0, 0
    thinking = [False] * len(text)
    began = 0
    for end in range(1, len(text) + 1):
        mark = next((m for m in marks if end - len(m) >= consumed and text[:end].endswith(m)), None)
        if mark is None:
            continue
        consumed = end
        opens = [number for number, (start, _) in enumerate(pairs) if start == mark]
        if opened is None and opens:
            opened, began = opens[0], end - len(mark)
        elif opened is None or pairs[opened][1] == mark:
            begin = began if opened is not None else 0
            thinking[begin:end] = [True] * (end - begin)
            opened, answer_at = None, end
    if opened is not None:
        thinking[began:] = [True] * (len(text) - began)
    flags, place = [], 0
    for piece in pieces:
        flags.append(any(thinking[place : place + len(piece)]))
        place += len(piece)
    answer, place = [], 0
    for token, piece in zip(ids, pieces, strict=True):
        said = piece[max(0, answer_at - place) :] if place + len(piece) > answer_at else ""
        answer.append("" if token in form.tokenizer.special_ids else said)
        place += len(piece)
    return flags, None if opened is not None else "".join(answer)


PIECES = ["a", " ", "\n\n", ".", "<", ">", "/", "think", "13"]


def samples(form: Format) -> st.SearchStrategy[list[int]]:
    """Token ids of marks, parts of marks and text in between, in any order."""
    family = THINKING_FAMILIES[form.name]
    marks = [str(mark) for pair in family.pairs for mark in pair]
    whole = st.sampled_from([*marks, *PIECES]).map(lambda text: list(form.tokenizer.encode(text, special=False)))
    added = st.sampled_from(range(256, form.size())).map(lambda token: [token])
    return st.lists(whole | added, max_size=12).map(lambda parts: [token for part in parts for token in part])


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=some_of(300))
@given(data=st.data())
def test_tokens_and_answer_are_those_of_the_whole_text_however_it_is_cut(name, data):
    form = FORMATS[name]
    ids = data.draw(samples(form))
    reader, splitter = form.reader(), form.splitter()
    flags, answer = slow_twin(form, ids)
    steps = splitter.split((), ids)
    phases = phases_of(reader, steps)
    assert [phase.thinking_tokens for phase in phases] == counted(flags, [len(step.token_ids) for step in steps])
    said = [(step.text, phase) for step, phase in zip(steps, phases, strict=True)]
    assert text_after_thought(reversed(said)) == (answer if steps else "")


def phases_of(reader: ThoughtReader, steps: Sequence[Step]) -> list[Phases]:
    scan, found = reader.scan(()), []
    for step in steps:
        scan.extend(step.token_ids)
    begin = 0
    for step in steps:
        end = begin + len(step.token_ids)
        found.append(scan.phases(begin, end, step.text))
        begin = end
    return found


def counted(flags: list[bool], lengths: list[int]) -> list[int]:
    found, begin = [], 0
    for length in lengths:
        found.append(sum(flags[begin : begin + length]))
        begin += length
    return found


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=some_of(100))
@given(data=st.data())
def test_calls_may_cut_a_sample_anywhere(name, data):
    """The answer is that of the whole; tokens too, but for what only a later call shows to have been a thought."""
    form = FORMATS[name]
    ids = data.draw(samples(form))
    cut = data.draw(st.integers(0, len(ids)))
    reader = form.reader()
    _, answer = slow_twin(form, ids)
    tokenizer = form.tokenizer
    said: list[tuple[str, Phases | None]] = []
    for before, own in (([], ids[:cut]), (ids[:cut], ids[cut:])):
        if own:
            scan = reader.scan(before)
            scan.extend(own)
            text = tokenizer.decode_after(before, own)
            said.append((text, scan.phases(0, len(own), text)))
    found = text_after_thought(reversed(said))
    assert found == (answer if ids else "")


# --- published formats, as models write them


def read(form: Format, *parts: str) -> tuple[int, str | None]:
    """Tokens of thoughts, and the text of the answer, of a sample that is written in these parts."""
    ids = [token for part in parts for token in form.tokenizer.encode(part, special=False)]
    steps = form.splitter().split((), ids)
    phases = phases_of(form.reader(), steps)
    said = [(step.text, phase) for step, phase in zip(steps, phases, strict=True)]
    return sum(phase.thinking_tokens for phase in phases), text_after_thought(reversed(said))


MARKS = {
    "deepseek-r1": TAGS,
    "qwen3": TAGS,
    "qwq, spelled": TAGS,
    "magistral": ("[THINK]", "[/THINK]"),
    "gpt-oss": ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
}


@pytest.mark.parametrize("name", MARKS)
def test_a_thought_and_its_answer(name):
    form, (start, end) = FORMATS[name], MARKS[name]
    thought, answer = f"{start}Hmm, \\boxed{{13}}?\n\nNo.\n{end}", "\n\nIt is \\boxed{12}."
    spelled_with = len(form.tokenizer.encode(thought, special=False))
    assert read(form, thought, answer) == (spelled_with, answer)


@pytest.mark.parametrize("name", MARKS)
def test_without_a_thought_all_is_answer(name):
    assert read(FORMATS[name], "It is \\boxed{12}.") == (0, "It is \\boxed{12}.")


@pytest.mark.parametrize("name", MARKS)
def test_a_thought_that_never_ends_leaves_no_answer(name):
    form, (start, _) = FORMATS[name], MARKS[name]
    said = f"{start}Hmm, \\boxed{{13}}? still unsure, so"
    assert read(form, said) == (len(form.tokenizer.encode(said, special=False)), None)


@pytest.mark.parametrize("name", MARKS)
def test_a_thought_within_a_thought_ends_with_the_first_end(name):
    """As templates strip thoughts: what follows the last end is the answer."""
    form, (start, end) = FORMATS[name], MARKS[name]
    assert read(form, f"{start}a{start}b{end}", "It is 12.")[1] == "It is 12."
    assert read(form, f"{start}a{start}b{end}c{end}", "It is 12.")[1] == "It is 12."


@pytest.mark.parametrize("name", MARKS)
def test_a_thought_that_is_taken_up_again(name):
    form, (start, end) = FORMATS[name], MARKS[name]
    assert read(form, f"{start}a{end}It is 13.{start}b", "c")[1] is None
    assert read(form, f"{start}a{end}It is 13.{start}b{end}", "It is 12.")[1] == "It is 12."


@pytest.mark.parametrize("name", ["deepseek-r1, its template opens", "qwq, spelled, its template opens"])
def test_a_template_that_opens_the_thought(name):
    form = FORMATS[name]
    assert read(form, "Hmm, \\boxed{13}?\n\n</think>", "It is 12.")[1] == "It is 12."
    assert read(form, "Hmm, \\boxed{13}?\n\n")[1] is None


def test_a_text_that_looks_like_a_mark_is_none_where_the_mark_is_a_token():
    form = FORMATS["qwen3"]
    parts = ["<think>", "say <", "think", "> and </", "think", ">, no", "</think>", "12 </", "think", ">"]
    assert read(form, *parts)[1] == "12 </think>"


def test_the_prompt_may_open_a_thought_or_close_it():
    finder = MarkFinder(FORMATS["qwen3"].tokenizer, THINKING_FAMILIES["qwen3"].pairs)
    assert finder.opened_by("<|Assistant|><think>\n") == 0
    assert finder.opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n") is None
    assert finder.opened_by("Say what you <think>.") is None
    by_ids = MarkFinder(FORMATS["magistral"].tokenizer, (((260,), (261,)),))
    assert FORMATS["magistral"].tokenizer.decode([260], special=True) in ("[THINK]", "[/THINK]")
    assert by_ids.opened_by("[THINK]\n") is not None or by_ids.opened_by("[/THINK]\n") is not None
