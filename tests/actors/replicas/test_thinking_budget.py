"""Budgets of thinking, held against a slow twin that draws token by token and looks at the whole text after each."""

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engines.logprobs import TopLogprobs
from actors.engines.protocol import EngineSample, SampleRequest
from actors.engines.settings import ThinkingSettings
from actors.engines.thoughts.marks import MarkFinder
from actors.engines.thoughts.reader import ThinkingBudget, ThoughtReader, thought_reader
from actors.engines.thoughts.scan import ThoughtScan
from actors.engines.thoughts.steps import StepTexts, ThoughtSteps
from actors.replicas.drawing import Drawing, draw_within
from actors.replicas.preflight import check_generator
from records.calls import Sampling
from records.failure import InvalidInput
from records.path import FinishReason
from records.request import Until
from tests.actors.conftest import REAL_GENERATOR
from tests.actors.engines.thoughts.test_thoughts import FORMATS, Format
from tests.actors.replicas.test_thinking_generator import THINKING, answer_in, call, served
from tests.support.fakes import GENERATOR_SETTINGS
from tests.support.tiers import some_of

CLOSING = "\nEnough.\n</think>\n\n"
FORMAT_NAMES = ("qwen3", "deepseek-r1, its template opens", "qwq, spelled", "qwq, spelled, its template opens")


def reader_of(form: Format, most: int | None, least: int) -> ThoughtReader:
    encode = form.tokenizer.encode
    budget = ThinkingBudget(
        most_tokens=most,
        least_tokens=least,
        closing=(encode(CLOSING, special=False),),
        bare_ends=(encode("</think>", special=False),),
        prolonging=encode(" Wait", special=False),
    )
    return replace(form.reader(), budget=budget)


@cache
def steps_of(form: Format) -> ThoughtSteps:
    texts = StepTexts(form.tokenizer, ("\n\n",))
    return ThoughtSteps(form.tokenizer, texts, texts, form.splitter().filler_ids)


@dataclass
class Parrot:
    """Says a script, token by token, at the place where what was said before ends; then that it is done."""

    form: Format
    script: list[int]
    requests: list[SampleRequest] = field(default_factory=list)

    @property
    def eos(self) -> int:
        return self.form.tokenizer.encode("<eos>", special=False)[0]

    def token(self, num_said: int) -> int:
        return self.script[num_said] if num_said < len(self.script) else self.eos

    async def sample(self, request: SampleRequest) -> EngineSample:
        self.requests.append(request)
        ids: list[int] = []
        reason = FinishReason.LENGTH
        while len(ids) < request.max_tokens:
            ids.append(self.token(request.num_sampled + len(ids)))
            if request.ends is not None and request.ends(ids):
                reason = FinishReason.EOS if ids[-1] == self.eos else FinishReason.TOKENS
                break
            if ids[-1] == self.eos:
                reason = FinishReason.EOS
                break
        likeliest = np.array([[token] for token in ids])
        top = TopLogprobs(likeliest, np.full((len(ids), 1), -1.0)) if request.top_logprobs else None
        return EngineSample(
            token_ids=tuple(ids), logprobs=(-1.0,) * len(ids), finish_reason=reason, cached_tokens=0, queued_s=0.0,
            run_s=0.0, top=top,
        )  # fmt: skip


def asked(max_tokens: int, until: Until = Until.END, **more) -> SampleRequest:
    return SampleRequest(
        prompt_ids=(1, 2, 3), until=until, max_tokens=max_tokens, seed=7, sampling=Sampling(0.0), **more
    )


async def drawn(form: Format, script: list[int], reader: ThoughtReader, max_tokens: int) -> tuple[Drawing, ThoughtScan]:
    scan = reader.scan(())
    parrot = Parrot(form, script)
    return await draw_within(parrot.sample, asked(max_tokens), reader, scan, steps_of(form)), scan


# --- the slow twin: looks at the whole of what was said after each token


def open_thought(form: Format, ids: list[int]) -> tuple[bool, int]:
    """Whether a thought is open behind these tokens, and how many tokens thoughts have, by a scan of all of them."""
    scan = ThoughtScan(form.reader().finder, form.opened)
    scan.extend(ids)
    return scan.open_pair is not None, scan.used


def twin(form: Format, script: list[int], most: int | None, least: int, max_tokens: int) -> list[int]:
    """A sample whose thought is begun once, token by token."""
    encode = form.tokenizer.encode
    closing, bare = encode(CLOSING, special=False), encode("</think>", special=False)
    wait = encode(" Wait", special=False)
    said: list[int] = []
    spent, closed = 0, False
    parrot = Parrot(form, script)
    while spent < max_tokens:
        was_open, used = open_thought(form, said)
        if not closed and was_open and most is not None and used >= most:
            text = next((ids for ids in (closing, bare) if len(ids) <= max_tokens - spent), bare[: max_tokens - spent])
            said += text
            spent += len(text)
            closed = True
            continue
        token = parrot.token(len(said))
        said.append(token)
        spent += 1
        if token == parrot.eos:
            break
        is_open, used = open_thought(form, said)
        if was_open and not is_open and not closed and used - len(bare) < least:
            lead = form.tokenizer.decode(said[-len(bare) :]).partition("</think>")[0]
            put = [*encode(lead, special=False), *wait] if lead else list(wait)
            fits = most is None or used - len(bare) + len(put) <= most
            if len(put) < max_tokens - spent and fits:
                said[-len(bare) :] = put
                spent += len(put)
            else:
                least = 0
    return said


def scripts(form: Format) -> st.SearchStrategy[list[int]]:
    """A thought and an answer, or only one of them, spelled as the model would."""
    words = st.lists(st.sampled_from(["a", " b", "\n\n", "13", "."]), max_size=12).map("".join)

    def said(parts: tuple[str, bool, str]) -> list[int]:
        thought, ends, answer = parts
        begin = "" if form.opened is not None else "<think>"
        text = begin + thought + ("</think>" + answer if ends else "")
        return list(form.tokenizer.encode(text, special=False))

    return st.tuples(words, st.booleans(), words).map(said)


@pytest.mark.parametrize("name", FORMAT_NAMES)
@settings(max_examples=some_of(200))
@given(data=st.data())
async def test_a_budget_acts_as_one_that_looks_after_every_token(name, data):
    form = FORMATS[name]
    script = data.draw(scripts(form))
    most = data.draw(st.none() | st.integers(3, 40))  # tokens of a mark that is spelled
    least = data.draw(st.integers(0, 12 if most is None else min(12, most)))
    max_tokens = data.draw(st.integers(1, 60))
    reader = reader_of(form, most, least)
    drawing, scan = await drawn(form, script, reader, max_tokens)
    assert drawing.token_ids == twin(form, script, most, least, max_tokens)
    assert len(drawing.token_ids) <= drawing.spent <= max_tokens
    assert most is None or scan.used <= most
    text = form.tokenizer.decode(drawing.token_ids)
    assert scan.phases(0, len(drawing.token_ids), text).thinking_tokens == scan.used


@pytest.mark.parametrize("name", FORMAT_NAMES)
@settings(max_examples=some_of(200))
@given(data=st.data())
async def test_a_budget_that_is_not_reached_changes_nothing(name, data):
    form = FORMATS[name]
    script = data.draw(scripts(form))
    plain, scan = await drawn(form, script, reader_of(form, None, 0), 200)
    is_open = scan.open_pair is not None
    budgeted, _ = await drawn(form, script, reader_of(form, scan.used + is_open, 0), 200)
    assert budgeted.token_ids == plain.token_ids
    assert budgeted.closed == []
    assert budgeted.finish_reason is plain.finish_reason


@pytest.mark.parametrize("name", FORMAT_NAMES)
@settings(max_examples=some_of(100))
@given(data=st.data())
async def test_a_cap_holds_over_calls_that_cut_a_sample_anywhere(name, data):
    """Chunks of any sizes; whatever is thought in all of them together stays below the cap."""
    form = FORMATS[name]
    script, most = data.draw(scripts(form)), data.draw(st.integers(1, 20))
    reader, parrot = reader_of(form, most, 0), Parrot(form, script)
    said: list[int] = []
    thinking = 0
    for size in data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=12)):
        scan = reader.scan(said)
        request = asked(size, Until.TOKENS, num_sampled=len(said))
        drawing = await draw_within(parrot.sample, request, reader, scan, steps_of(form))
        assert 0 < len(drawing.token_ids) <= size
        text = form.tokenizer.decode_after(said, drawing.token_ids)
        thinking += scan.phases(0, len(drawing.token_ids), text).thinking_tokens
        said += drawing.token_ids
        if parrot.eos in said:
            break
    assert thinking <= most


async def test_what_was_put_in_was_not_sampled():
    form = FORMATS["qwen3"]
    script = list(form.tokenizer.encode("<think>abcdefgh</think>12", special=False))
    reader = reader_of(form, 5, 0)
    parrot, scan = Parrot(form, script), reader.scan(())
    drawing = await draw_within(parrot.sample, asked(60, top_logprobs=1), reader, scan, steps_of(form))
    put = len(reader.budget.closing[0])
    assert drawing.closed == [5]
    assert drawing.logprobs == [-1.0] * 5 + [0.0] * put + [-1.0] * (len(drawing.token_ids) - 5 - put)
    assert [value is None for value in drawing.confidences or ()].count(True) == put
    assert drawing.prompt_tokens == 3 + (3 + 5)
    first, second = parrot.requests
    assert (first.seed, second.num_sampled) == (7, 5 + put)
    assert second.seed not in (0, 7)


async def test_a_search_by_steps_ends_its_step_with_the_text_that_closes():
    form = FORMATS["qwen3"]
    script = list(form.tokenizer.encode("<think>abcdefgh</think>12", special=False))
    reader = reader_of(form, 5, 0)
    drawing = await draw_within(
        Parrot(form, script).sample,
        asked(60, Until.STEP),
        reader,
        reader.scan(()),
        steps_of(form),
    )
    assert form.tokenizer.decode(drawing.token_ids) == f"<think>abcd{CLOSING}"
    assert drawing.finish_reason is FinishReason.SEPARATOR


# --- in a replica, with the scripted model


@pytest.mark.parametrize("most", [8, 20, 29, 45])
async def test_a_replica_closes_the_thought_and_the_model_answers(most):
    thinking = ThinkingSettings(max_thinking_tokens=most, closing_text="\nTime is up.</think>\n\n")
    [sampled] = await served(replace(THINKING, thinking=thinking), call("whole"))
    text = "".join(step.text for step in sampled.steps)
    assert "\nTime is up.</think>\n\nThe answer is \\boxed{" in text
    assert sum(step.phases.thinking_tokens for step in sampled.steps) == most
    assert sum(step.phases.is_closed for step in sampled.steps) == 1
    assert answer_in(sampled) is not None
    assert sampled.steps[-1].finish_reason is FinishReason.EOS


async def test_a_replica_goes_on_with_a_thought_that_ends_too_early():
    [plain] = await served(THINKING, call("whole"))
    used = sum(step.phases.thinking_tokens for step in plain.steps)
    thinking = ThinkingSettings(min_thinking_tokens=used + 40)
    [sampled] = await served(replace(THINKING, thinking=thinking), call("whole", max_tokens=900))
    assert "Wait" in "".join(step.text for step in sampled.steps)
    assert sum(step.phases.thinking_tokens for step in sampled.steps) >= used + 40
    assert sum(step.phases.num_prolonged for step in sampled.steps) >= 1
    assert answer_in(sampled) is not None


# --- what is refused before a model is loaded


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"closing_text": "\n\nFinal Answer:"}, "does not end a thought of qwen3, which ends with '</think>'"),
        ({"prolonging_text": "So</think>"}, "ends the thought itself"),
    ],
)
def test_texts_that_do_not_do_what_they_are_for_are_refused(settings, said):
    thinking = ThinkingSettings(preset="qwen3", max_thinking_tokens=5, **settings)
    with pytest.raises(InvalidInput, match=said):
        check_generator(replace(REAL_GENERATOR, thinking=thinking))


def test_closing_texts_of_families_end_their_thoughts():
    for name in ("magistral", "gpt-oss", "qwen3"):
        form = FORMATS[name]
        found = thought_reader(GENERATOR_SETTINGS, ThinkingSettings(preset=form.name), form.tokenizer, "")
        for number, closing in enumerate(found.budget.closing):
            scan = ThoughtScan(MarkFinder(form.tokenizer, found.family.pairs), number)
            scan.put(closing)
            assert scan.open_pair is None
            assert scan.used == 0
