"""The generator replica: prefixes in, sampled steps out, token ids carried throughout."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from actors.engines.build import build_generator
from actors.engines.logprobs import sampled_logprobs, token_confidences
from actors.engines.prompts import ANY_QUESTION, PromptWriter
from actors.engines.protocol import EngineRefused, EngineSample, GeneratorEngine, SampleRequest
from actors.engines.recall import Recall
from actors.engines.settings import GeneratorSettings
from actors.engines.steps import Step, StepSplitter
from actors.engines.thoughts.reader import ThoughtReader, thought_reader
from actors.replicas.base import ModelReplica
from actors.replicas.prefix_store import MAX_TOKENS, PrefixStore
from records.calls import (
    NOTHING_SAMPLED,
    CallFailed,
    PrefixMissing,
    SampleCall,
    Sampled,
    SampledStep,
    SampleResult,
    Sampling,
    child_prefix_id,
)
from records.failure import InvalidInput
from records.path import ENDS, FinishReason, Phases
from records.replica import ReplicaInfo
from records.request import Until


class _Prefix(NamedTuple):
    """Prompt and path as token ids; the first `num_prompt_ids` are the prompt."""

    token_ids: tuple[int, ...]
    num_prompt_ids: int


class Generator(ModelReplica[SampleCall, SampleResult, GeneratorEngine]):
    """One generator replica."""

    def __init__(
        self,
        settings: GeneratorSettings,
        *,
        build_engine: Callable[[GeneratorSettings], GeneratorEngine] = build_generator,
        die: Callable[[int], object] = os._exit,
        max_prefix_tokens: int = MAX_TOKENS,
    ) -> None:
        """Prepare a replica of the model in `settings`, which `build_engine` loads in `hello`; else as the base class.

        `max_prefix_tokens` bounds the prefixes that calls may refer to without carrying them.
        """
        super().__init__(lambda: build_engine(settings), queue_limit=settings.queue_limit, die=die)
        self._settings = settings
        self._prefixes: PrefixStore[_Prefix] = PrefixStore(max_prefix_tokens)
        self._splitter: StepSplitter | None = None
        self._thoughts: ThoughtReader | None = None

    async def _introduce(self, engine: GeneratorEngine) -> ReplicaInfo:
        settings, facts = self._settings, engine.facts
        if settings.chat and engine.tokenizer.chat is None:
            raise InvalidInput(f"{settings.model} has no chat template: set generator.chat to false")
        self._splitter = StepSplitter(engine.tokenizer, settings.separator)
        if settings.thinking is not None:
            prompt = PromptWriter(settings, engine.tokenizer).text(ANY_QUESTION)
            self._thoughts = thought_reader(settings, settings.thinking, engine.tokenizer, prompt)
        return ReplicaInfo(
            incarnation=self.incarnation,
            role="generator",
            model=settings.model,
            model_sha256=facts.model_sha256,
            tokenizer_sha256=facts.tokenizer_sha256,
            num_parameters=facts.num_parameters,
            max_model_len=facts.max_model_len,
            max_concurrency=settings.max_num_seqs,
            device=facts.device,
            details={"separator": settings.separator, "dtype": facts.dtype, **facts.details},
        )

    async def _canary(self) -> None:
        request = SampleRequest(
            prompt_ids=self._prompt_ids("1 + 1"), until=Until.TOKENS, max_tokens=1, seed=0, sampling=Sampling(0.0)
        )
        await self.engine.sample(request)

    def _flying_tokens(self) -> int:
        return self._engine.flying_tokens if self._engine is not None else 0

    async def _serve(self, call: SampleCall, recall: Recall) -> SampleResult:
        prefix = self._resolve(call)
        if prefix is None:
            return PrefixMissing(call.key)
        forced_ids = self.engine.tokenizer.encode(call.forced_text, special=False) if call.forced_text else ()
        prefix_ids = prefix.token_ids + forced_ids
        context = self.engine.facts.max_model_len
        if len(prefix_ids) >= context:
            if forced_ids and len(prefix.token_ids) < context:
                return self._without_room(call, prefix, forced_ids)
            error = f"the prompt is {len(prefix_ids)} tokens long and the context {context}: nothing can follow"
            return CallFailed(call.key, error, retryable=False)
        request = SampleRequest(
            prompt_ids=prefix_ids,
            until=call.until,
            max_tokens=min(call.max_tokens, context - len(prefix_ids)),
            seed=call.seed,
            sampling=call.sampling,
            top_logprobs=call.top_logprobs,
            num_sampled=len(prefix_ids) - prefix.num_prompt_ids,
        )
        try:
            sample = await self.engine.sample(request, recall)
        except EngineRefused as refused:
            return CallFailed(call.key, str(refused), retryable=refused.retryable)
        if not sample.token_ids:
            return CallFailed(call.key, NOTHING_SAMPLED, retryable=False)
        longer = _Prefix(prefix_ids + sample.token_ids, prefix.num_prompt_ids)
        self._hold(child_prefix_id(call.prefix_id, forced_ids + sample.token_ids), longer)
        return self._sampled(call, prefix, forced_ids, sample)

    def _resolve(self, call: SampleCall) -> "_Prefix | None":
        """Prompt and path as token ids; None where the call carries no prefix and none is held."""
        held = self._prefixes.get(call.prefix_id)
        if held is not None or call.prefix is None:
            return held
        prompt_ids = self._prompt_ids(call.prefix.question)
        prefix = _Prefix(prompt_ids + call.prefix.token_ids, len(prompt_ids))
        self._hold(call.prefix_id, prefix)
        return prefix

    def _hold(self, prefix_id: str, prefix: "_Prefix") -> None:
        self._prefixes.put(prefix_id, prefix, len(prefix.token_ids))

    def _prompt_ids(self, question: str) -> tuple[int, ...]:
        return PromptWriter(self._settings, self.engine.tokenizer).token_ids(question)

    def _sampled(
        self, call: SampleCall, prefix: "_Prefix", forced_ids: tuple[int, ...], sample: EngineSample
    ) -> Sampled:
        """The sample as steps; all but the last end at the separator, the last where the engine stopped.

        What was forced is a step before them.
        """
        prefix_ids = prefix.token_ids + forced_ids
        pieces = self._pieces(call.until, prefix_ids, sample.token_ids)
        phases = self._phases(prefix, forced_ids, pieces)
        confidences, drawn = _certainty(call.sampling, sample)
        steps = []
        if forced_ids:
            text = self.engine.tokenizer.decode_after(prefix.token_ids, forced_ids)
            steps.append(SampledStep(text, forced_ids, FinishReason.FORCED, None, phases=phases[0]))
        start = 0
        for number, piece in enumerate(pieces, start=1):
            stop = start + len(piece.token_ids)
            own = phases[number]
            reason = FinishReason.SEPARATOR if number < len(pieces) else _finish_reason(call, sample, own)
            logprob_sum = None if sample.logprobs is None else sum(sample.logprobs[start:stop])
            sampled_sum = None if drawn is None else sum(drawn[start:stop])
            sure = None if confidences is None else confidences[start:stop]
            steps.append(SampledStep(piece.text, piece.token_ids, reason, logprob_sum, sure, sampled_sum, own))
            start = stop
        return Sampled(
            key=call.key,
            steps=tuple(steps),
            prompt_tokens=len(prefix_ids),
            cached_tokens=sample.cached_tokens,
            queued_s=sample.queued_s,
            run_s=sample.run_s,
        )

    def _pieces(self, until: Until, prefix_ids: tuple[int, ...], token_ids: tuple[int, ...]) -> tuple[Step, ...]:
        if until is Until.END and self._splitter is not None:
            return self._splitter.split(prefix_ids, token_ids)
        return (Step(self.engine.tokenizer.decode_after(prefix_ids, token_ids), token_ids),)

    def _phases(
        self, prefix: "_Prefix", forced_ids: tuple[int, ...], pieces: Sequence[Step]
    ) -> Sequence[Phases | None]:
        """Of what was forced, whether or not anything was, and of each piece of the sample after it."""
        if self._thoughts is None:
            return [None] * (len(pieces) + 1)
        return self._thoughts.phases(prefix.token_ids[prefix.num_prompt_ids :], forced_ids, pieces)

    def _without_room(self, call: SampleCall, prefix: "_Prefix", forced_ids: tuple[int, ...]) -> Sampled:
        """A forced text that fills the context up: nothing is asked of the engine, and nothing is said."""
        before, said = self._phases(prefix, forced_ids, [Step("", ())])
        reason = FinishReason.UNFINISHED_THOUGHT if said is not None and said.is_open else FinishReason.LENGTH
        steps = (
            SampledStep(call.forced_text, forced_ids, FinishReason.FORCED, None, phases=before),
            SampledStep("", (), reason, None, phases=said),
        )
        return Sampled(call.key, steps, 0, 0, 0.0, 0.0)


def _certainty(sampling: Sampling, sample: EngineSample) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Confidences and, unless more than the temperature shapes the distribution, log-probabilities as drawn.

    None where not asked.
    """
    if sample.top is None:
        return None, None
    confidences = token_confidences(sample.top)
    if sample.logprobs is None or sampling.reshaped:
        return confidences, None
    return confidences, sampled_logprobs(sample.token_ids, sample.logprobs, sample.top, sampling.temperature)


def _finish_reason(call: SampleCall, sample: EngineSample, phases: Phases | None) -> FinishReason:
    """The engine's reason, but reaching the number of tokens that was asked for is no cut, and a thought no answer."""
    reached = call.until is Until.TOKENS and len(sample.token_ids) == call.max_tokens
    if reached and sample.finish_reason is FinishReason.LENGTH:
        return FinishReason.TOKENS
    if phases is not None and phases.is_open and sample.finish_reason in ENDS:
        return FinishReason.UNFINISHED_THOUGHT
    return sample.finish_reason
