"""The scripted generator and PRM: `GeneratorEngine` and `PrmEngine` of `actors.engines.scripted.world`."""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from actors.engines.formats import SeparatorFormat
from actors.engines.logprobs import TopLogprobs
from actors.engines.prompts import ANY_QUESTION, PromptWriter
from actors.engines.protocol import EngineFacts, EngineRefused, EngineSample, EngineScore, SampleRequest
from actors.engines.recall import Recall, unless_recalled
from actors.engines.scripted.tokens import (
    ASKED,
    BEGIN,
    END,
    BlockCache,
    byte_tokenizer,
    num_token_ids,
    special_id,
    split_at,
    tokenizer_sha256,
)
from actors.engines.scripted.world import WORLD_VERSION, next_piece, next_thinking_piece, true_score
from actors.engines.settings import EngineSettings, GeneratorSettings, PrmSettings
from actors.engines.stops import StopStrings
from actors.engines.text import TextTokenizer
from actors.engines.thoughts.reader import thought_reader
from records.path import FinishReason
from records.request import Until

DEFAULT_CONTEXT_TOKENS = 32_768
"""Where the recipe says nothing; a token is a byte."""
BLOCK_SIZE = 16
"""Tokens of a block of the prefix cache, likewise."""
NUM_PARAMETERS = 1_000_000
"""What FLOPs are counted with."""
PRM_SEPARATOR = "\n\n"
"""The PRM reads the text of a step and writes this after it, whatever the generator ends its steps with."""
LOGPROB = -0.25
"""Of each sampled token, in nats."""


@dataclass(frozen=True, slots=True)
class ScriptIdentity:
    """What a manifest says of a scripted model; the fields are those of a real one's."""

    model_sha256: str
    tokenizer_sha256: str
    num_parameters: int


def identity(settings: EngineSettings) -> ScriptIdentity:
    """Of the model that is played: all that decides what it says."""
    answers = sorted((key.hex(), answer) for key, answer in settings.script.answers.items())
    told = json.dumps([type(settings).__name__, WORLD_VERSION, answers]).encode()
    tokenizer = tokenizer_sha256(settings.separator if isinstance(settings, GeneratorSettings) else PRM_SEPARATOR)
    return ScriptIdentity(hashlib.sha256(told).hexdigest(), tokenizer, NUM_PARAMETERS)


class ScriptedEngine:
    """What both have in common: identity, a prefix cache, as many calls at a time as a batch takes, and time."""

    def __init__(self, settings: EngineSettings, details: Mapping[str, bool | None] | None = None) -> None:
        """Nothing is loaded; `settings.script` says how fast it is, and `details` goes into the facts."""
        self.num_steps = 0
        named = identity(settings)
        self.facts = EngineFacts(
            model_sha256=named.model_sha256,
            tokenizer_sha256=named.tokenizer_sha256,
            num_parameters=named.num_parameters,
            max_model_len=settings.max_model_len or DEFAULT_CONTEXT_TOKENS,
            device="none (scripted)",
            dtype=settings.dtype,
            details=dict(details or {}),
        )
        self._blocks = BlockCache(settings.block_size or BLOCK_SIZE)
        self._tokens_per_s = settings.script.tokens_per_s
        self._batch = asyncio.Semaphore(settings.max_num_seqs)
        self._busy: dict[object, tuple[float, int]] = {}  # since when, with how many tokens

    async def watch(self) -> None:
        """See `GeneratorEngine.watch`: there is no process that could end."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to end."""

    async def _take_time(self, num_tokens: int, recall: Recall | None = None) -> tuple[float, float, int]:
        """Be busy with so many tokens; seconds that the call waited for its turn and that it took, and its tokens.

        These are fewer where it is recalled meanwhile.
        """
        begun_s = time.monotonic()
        if not self._batch.locked():
            await self._batch.acquire()
        elif not await unless_recalled(self._batch.acquire(), recall):
            return time.monotonic() - begun_s, 0.0, 0
        try:
            queued_s = time.monotonic() - begun_s
            run_s, done = await self._work(num_tokens, recall)
        finally:
            self._batch.release()
        self.num_steps += 1
        return queued_s, run_s, done

    async def _work(self, num_tokens: int, recall: Recall | None) -> tuple[float, int]:
        """Seconds that so many tokens take, and how many of them there are when nobody needs more."""
        if not self._tokens_per_s:
            return 0.0, num_tokens
        call, begun_s, run_s = object(), time.monotonic(), num_tokens / self._tokens_per_s
        self._busy[call] = (begun_s, num_tokens)
        try:
            if await unless_recalled(asyncio.sleep(run_s, True), recall):
                return run_s, num_tokens
        finally:
            del self._busy[call]
        taken_s = time.monotonic() - begun_s
        return taken_s, min(num_tokens, int(taken_s * self._tokens_per_s))


class ScriptedGenerator(ScriptedEngine):
    """Samples of the scripted world. The same seed after the same prefix gives the same sample."""

    def __init__(self, settings: GeneratorSettings) -> None:
        """See `ScriptedEngine`."""
        super().__init__(settings)
        self.tokenizer = byte_tokenizer(settings.separator)
        self._stops_of = cache(partial(StopStrings, self.tokenizer))
        self._separator, self._answers = settings.separator, settings.script.answers
        self._max_logprobs, self._logprobs = settings.max_logprobs, settings.logprobs
        written = PromptWriter(settings, self.tokenizer).text(ANY_QUESTION).removeprefix(BEGIN).removesuffix(ASKED)
        self._before_question, _, self._after_question = written.rpartition(ANY_QUESTION)
        self._end, self._asked = (special_id(self._separator, text) for text in (END, ASKED))
        self._tags = _tags(settings, self.tokenizer, written)

    @property
    def flying_tokens(self) -> int:
        """See `GeneratorEngine.flying_tokens`: each sample gains as many a second as the script says."""
        now_s = time.monotonic()
        return sum(min(total, int((now_s - since_s) * self._tokens_per_s)) for since_s, total in self._busy.values())

    async def sample(self, request: SampleRequest, recall: Recall | None = None) -> EngineSample:
        """See `GeneratorEngine.sample`."""
        self._check(request)
        cached = self._blocks.cached_tokens(request.prompt_ids)
        token_ids, reason = self._draw(request)
        queued_s, run_s, num_tokens = await self._take_time(len(token_ids), recall)
        if num_tokens < len(token_ids):
            token_ids, reason = token_ids[:num_tokens], FinishReason.CANCELLED
        return EngineSample(
            token_ids=token_ids,
            logprobs=(LOGPROB,) * len(token_ids) if self._logprobs or request.top_logprobs else None,
            finish_reason=reason,
            cached_tokens=cached,
            queued_s=queued_s,
            run_s=run_s,
            top=self._top(token_ids, request.top_logprobs) if request.top_logprobs else None,
        )

    def _check(self, request: SampleRequest) -> None:
        if request.sampling.temperature < 0:
            raise EngineRefused(f"temperature {request.sampling.temperature:g} is below 0", retryable=False)
        if request.top_logprobs > self._max_logprobs:
            raise EngineRefused(
                f"{request.top_logprobs} log-probabilities per token, and at most {self._max_logprobs}", retryable=False
            )

    def _draw(self, request: SampleRequest) -> tuple[tuple[int, ...], FinishReason]:
        question, solution = self._read(request.prompt_ids)
        seed = request.seed if request.sampling.temperature else 0
        ids: list[int] = []
        while len(ids) < request.max_tokens:
            piece, final = self._next_piece(question, solution, seed)
            solution += piece
            ids += self.tokenizer.encode(piece, special=False)
            if final:
                ids.append(self._end)
            if final or request.until is Until.STEP:
                break
        if (ended := self._ended(request, ids[: request.max_tokens])) is not None:
            return ended
        if len(ids) > request.max_tokens:
            return tuple(ids[: request.max_tokens]), FinishReason.LENGTH
        if ids[-1] == self._end:
            return tuple(ids), FinishReason.EOS
        return tuple(ids), FinishReason.SEPARATOR if request.until is Until.STEP else FinishReason.LENGTH

    def _ended(self, request: SampleRequest, ids: list[int]) -> tuple[tuple[int, ...], FinishReason] | None:
        """Where a stop string or the request itself ends the sample before it ends by itself; None: nowhere."""
        stop, ends = request.sampling.stop, request.ends
        for end in range(1, len(ids) + 1) if stop or ends is not None else ():
            if stop and self._stops_of(stop).ended(request.path_ids, ids[:end]):
                return tuple(ids[:end]), FinishReason.EOS
            if ends is not None and ends(ids[:end]):
                return tuple(ids[:end]), FinishReason.EOS if ids[end - 1] == self._end else FinishReason.TOKENS
        return None

    def _next_piece(self, question: str, solution: str, seed: int) -> tuple[str, bool]:
        if self._tags is None:
            return next_piece(question, solution, seed, separator=self._separator, answers=self._answers)
        return next_thinking_piece(
            question, solution, seed, tags=self._tags, separator=self._separator, answers=self._answers
        )

    def _read(self, prompt_ids: Sequence[int]) -> tuple[str, str]:
        """Question and solution so far."""
        asked, solution = split_at(prompt_ids, self._asked, self.tokenizer.decode)
        return asked.removeprefix(self._before_question).removesuffix(self._after_question), solution

    def _top(self, token_ids: Sequence[int], num_top: int) -> TopLogprobs:
        """The sampled token first, as likely as all are; then others, each half as likely as the one before."""
        ranks = np.arange(num_top)
        ids = (np.array(token_ids, dtype=np.int64)[:, None] + ranks) % num_token_ids(self._separator)
        rest = math.log(1 - math.exp(LOGPROB)) - ranks * math.log(2)
        logprobs = np.where(ranks == 0, LOGPROB, rest) * np.ones((len(token_ids), 1))
        return TopLogprobs(ids, logprobs)


def _tags(settings: GeneratorSettings, tokenizer: TextTokenizer, prompt: str) -> tuple[str, str] | None:
    """The marks around the thought of a sample: the first is empty where the prompt opens it; None: it does not think.

    Args:
        settings: of the generator.
        tokenizer: of its world.
        prompt: of any question.
    """
    if settings.thinking is None:
        return None
    reader = thought_reader(settings, settings.thinking, tokenizer, prompt)
    start, end = (
        mark if isinstance(mark, str) else tokenizer.decode(mark, special=True)
        for mark in reader.finder.pairs[reader.opened or 0]
    )
    return ("" if reader.opened is not None else start), end


class ScriptedPrm(ScriptedEngine):
    """Reads the slips of the scripted world: an honest PRM."""

    def __init__(self, settings: PrmSettings) -> None:
        """See `ScriptedEngine`."""
        super().__init__(settings, {"separator": None, "stand_in": True})  # it reads any step
        self._tokenizer = byte_tokenizer(PRM_SEPARATOR)
        self._asked = special_id(PRM_SEPARATOR, ASKED)
        self.format = SeparatorFormat(self._tokenizer, PRM_SEPARATOR)

    async def score(self, token_ids: Sequence[int]) -> EngineScore:
        """See `PrmEngine.score`."""
        cached = self._blocks.cached_tokens(token_ids)
        queued_s, run_s, _ = await self._take_time(len(token_ids) - cached)
        question, solution = split_at(token_ids, self._asked, self._tokenizer.decode)
        score = true_score(question.removesuffix(PRM_SEPARATOR), solution, separator=PRM_SEPARATOR)
        return EngineScore(score=score, cached_tokens=cached, queued_s=queued_s, run_s=run_s)
