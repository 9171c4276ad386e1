"""The tokens of one call, drawn from the engine at once, or in several requests with a budget of thinking in between.

    request --> tokens --> limit of thinking reached?  what closes a thought is put there, and the model answers
                       --> a thought ended too early?  what goes on takes the place of its end
                       --> anything else               that is the sample

A request ends at the very token at which a budget has to act (`SampleRequest.ends`), so a cap is never passed, and a
sample that never reaches it is drawn as if there were none: in one request, with the seed of its call.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from actors.engines.logprobs import sampled_logprobs, token_confidences
from actors.engines.protocol import EngineSample, SampleRequest
from actors.engines.thoughts.reader import ThoughtReader
from actors.engines.thoughts.scan import ThoughtScan
from actors.engines.thoughts.steps import ThoughtSteps
from records.calls import Sampling
from records.path import FinishReason
from records.request import Until
from scaling.seeds import seed_for

_ValueT = TypeVar("_ValueT")
StepEnd = Callable[[Sequence[int], int], FinishReason | None]
"""How a step ends with the last of some tokens, given how many it has before them; None: it goes on."""


@dataclass(slots=True)
class Drawing:
    """What a call has come to.

    Attributes:
        request: as it would be served at once.
        token_ids: sampled and put in.
        logprobs: of each, 0 of those that were put in; None where the engine gave none.
        confidences: of each, None of those that were put in; None where nobody asked.
        drawn: log-probabilities as drawn, like `logprobs`; None where nobody asked, or nobody can tell.
        finish_reason: of the last request, or LENGTH where there was no room for another.
        spent: tokens, those included that were replaced; never more than the request has.
        prompt_tokens: of all requests, without what had been put in.
        closed: places in `token_ids` at which a thought was closed.
        prolonged: places at which one was gone on with.
    """

    request: SampleRequest
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] | None = None
    confidences: list[float | None] | None = None
    drawn: list[float] | None = None
    finish_reason: FinishReason = FinishReason.LENGTH
    spent: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    queued_s: float = 0.0
    run_s: float = 0.0
    closed: list[int] = field(default_factory=list)
    prolonged: list[int] = field(default_factory=list)
    _num_requests: int = 0
    _num_put: int = 0

    @property
    def room(self) -> int:
        """Tokens that are left."""
        return self.request.max_tokens - self.spent

    def ends(self, end_of: StepEnd) -> bool:
        """Whether the sample ends with what was put in, or accepted, last; `finish_reason` says how."""
        reason = end_of(self.token_ids, 0) if self.request.until is Until.STEP else None
        self.finish_reason = FinishReason.LENGTH if reason is None else reason
        return reason is not None or self.room <= 0

    def next_request(self, ends: Callable[[Sequence[int]], bool] | None) -> SampleRequest:
        """What is to be asked of the engine next; of each but the first the seed is of its number."""
        until = Until.TOKENS if self.request.until is Until.STEP else self.request.until  # `ends` knows where it ends
        if not self._num_requests and not self.token_ids:
            return replace(self.request, until=until, ends=ends)
        seed = seed_for(self.request.seed, "after a thought's budget", self._num_requests)
        return replace(
            self.request,
            until=until,
            prompt_ids=(*self.request.prompt_ids, *self.token_ids),
            num_sampled=self.request.num_sampled + len(self.token_ids),
            max_tokens=self.room,
            seed=seed if self._num_requests else self.request.seed,
            ends=ends,
        )

    def add(self, sample: EngineSample) -> None:
        """Take in what a request came to."""
        before = len(self.token_ids)
        confidences, drawn = certainty(self.request.sampling, sample)
        self.token_ids += sample.token_ids
        self.logprobs = _joined(self.logprobs, 0.0, before, sample.logprobs)
        self.confidences = _joined(self.confidences, None, before, confidences)
        self.drawn = _joined(self.drawn, 0.0, before, drawn)
        self.finish_reason = sample.finish_reason
        self.spent += len(sample.token_ids)
        self.prompt_tokens += len(self.request.prompt_ids) + before - self._num_put
        self.cached_tokens += sample.cached_tokens
        self.queued_s += sample.queued_s
        self.run_s += sample.run_s
        self._num_requests += 1

    def put(self, token_ids: Sequence[int]) -> None:
        """Put tokens behind that nobody sampled."""
        count = len(token_ids)
        self.token_ids += token_ids
        self.spent += count
        self._num_put += count
        if self.logprobs is not None:
            self.logprobs += [0.0] * count
        if self.confidences is not None:
            self.confidences += [None] * count
        if self.drawn is not None:
            self.drawn += [0.0] * count

    def drop(self, count: int) -> None:
        """The last so many tokens were sampled and are replaced."""
        for values in (self.token_ids, self.logprobs, self.confidences, self.drawn):
            if values is not None:
                del values[len(values) - count :]


async def draw_within(
    sample: Callable[[SampleRequest], Awaitable[EngineSample]],
    request: SampleRequest,
    thoughts: ThoughtReader,
    scan: ThoughtScan,
    steps: ThoughtSteps,
) -> Drawing:
    """What a request comes to, within the budget of thinking that it has.

    Args:
        sample: the engine's.
        request: of the call.
        thoughts: how they are read, and their budget.
        scan: that has taken in the path before; it follows what is drawn.
        steps: where they end, in a search by steps.

    Raises:
        EngineRefused: as the engine does.
    """
    drawing, follow_steps = Drawing(request), request.until is Until.STEP

    def end_of(token_ids: Sequence[int], num_before: int) -> FinishReason | None:
        return steps.end_of(token_ids, num_before, thinking=scan.open_pair is not None)

    while True:
        if scan.at_limit:
            _close(drawing, thoughts, scan)
            if drawing.ends(end_of):
                return drawing
        begin, num_before = scan.num_tokens, len(drawing.token_ids)
        follow = partial(_ends, scan, begin, partial(end_of, num_before=num_before), follow_steps)
        drawn = await sample(drawing.next_request(follow))
        scan.follow(drawn.token_ids, begin)
        drawing.add(drawn)
        if drawn.finish_reason is not FinishReason.TOKENS:
            if scan.early is not None:
                scan.accept_early()
            return drawing
        if scan.early is not None:
            _prolong(drawing, thoughts, scan)
            if drawing.ends(end_of):
                return drawing
        elif follow_steps and (reason := end_of(drawn.token_ids, num_before)) is not None:
            drawing.finish_reason = reason  # a budget that has to act here does so in the next step
            return drawing


def _ends(
    scan: ThoughtScan, begin: int, end_of: Callable[[Sequence[int]], object], by_steps: bool, ids: Sequence[int]
) -> bool:
    """Whether a budget has to act at the last token, or a step ends there."""
    return scan.follow(ids, begin) or (by_steps and end_of(ids) is not None)


def _close(drawing: Drawing, thoughts: ThoughtReader, scan: ThoughtScan) -> None:
    """Close the thought that is open; with as much of its end as there is room for."""
    pair = scan.open_pair or 0
    whole, bare = thoughts.budget.closing[pair], thoughts.budget.bare_ends[pair]
    closing = next((ids for ids in (whole, bare) if len(ids) <= drawing.room), bare[: drawing.room])
    if closing:
        drawing.closed.append(len(drawing.token_ids))
        drawing.put(closing)
        scan.put(closing)


def _prolong(drawing: Drawing, thoughts: ThoughtReader, scan: ThoughtScan) -> None:
    """Go on with a thought that has ended too early, if there is room for it; else take its end as one."""
    early = scan.early
    if early is None:
        raise ValueError("no thought has ended too early")
    lead = thoughts.tokenizer.encode(early.lead, special=False) if early.lead else ()
    replacement = (*lead, *thoughts.budget.prolonging)
    most, used = scan.most_tokens, scan.used - early.num_tokens + len(replacement)
    if len(replacement) >= drawing.room or (most is not None and used > most):
        scan.accept_early()
        return
    drawing.drop(early.num_tokens)
    scan.drop_early()
    drawing.prolonged.append(len(drawing.token_ids))
    drawing.put(replacement)
    scan.extend(replacement)


def certainty(sampling: Sampling, sample: EngineSample) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Confidences and, unless more than the temperature shapes the distribution, log-probabilities as drawn.

    None where not asked.
    """
    if sample.top is None:
        return None, None
    confidences = token_confidences(sample.top)
    if sample.logprobs is None or sampling.reshaped:
        return confidences, None
    return confidences, sampled_logprobs(sample.token_ids, sample.logprobs, sample.top, sampling.temperature)


def _joined(
    values: list[_ValueT] | None, missing: _ValueT, before: int, new: Sequence[_ValueT] | None
) -> list[_ValueT] | None:
    """Values of tokens with those of the next ones; `missing` for what was put in before there were any."""
    if new is None:
        return values
    return [*([missing] * before if values is None else values), *new]
