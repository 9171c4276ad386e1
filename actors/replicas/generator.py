"""The generator replica: prefixes in, sampled steps out, token ids carried throughout."""

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from actors.engines.build import build_generator
from actors.engines.prompts import ANY_QUESTION, PromptWriter
from actors.engines.protocol import EngineRefused, GeneratorEngine, SampleRequest
from actors.engines.recall import Recall
from actors.engines.settings import GeneratorSettings
from actors.engines.steps import Step, StepSplitter
from actors.engines.thoughts.reader import ThoughtReader, thought_reader
from actors.engines.thoughts.scan import ThoughtScan
from actors.engines.thoughts.steps import ThoughtSteps, thought_steps
from actors.replicas.base import ModelReplica
from actors.replicas.drawing import Drawing, draw_within
from actors.replicas.prefix_store import MAX_TOKENS, PrefixStore
from actors.replicas.told_steps import told_steps
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
from records.path import FinishReason, Phases
from records.replica import ReplicaInfo
from records.request import Until


class _Prefix(NamedTuple):
    """Prompt and path as token ids; the first `num_prompt_ids` are the prompt."""

    token_ids: tuple[int, ...]
    num_prompt_ids: int

    def longer(self, token_ids: tuple[int, ...]) -> "_Prefix":
        """The prefix with these tokens behind it."""
        return _Prefix(self.token_ids + token_ids, self.num_prompt_ids)


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
        self._thought_steps: ThoughtSteps | None = None

    async def _introduce(self, engine: GeneratorEngine) -> ReplicaInfo:
        settings, facts = self._settings, engine.facts
        if settings.chat and engine.tokenizer.chat is None:
            raise InvalidInput(f"{settings.model} has no chat template: set generator.chat to false")
        self._splitter = StepSplitter(engine.tokenizer, settings.separator)
        if settings.thinking is not None:
            prompt = PromptWriter(settings, engine.tokenizer).text(ANY_QUESTION)
            thoughts = self._thoughts = thought_reader(settings, settings.thinking, engine.tokenizer, prompt)
            self._thought_steps = thought_steps(
                thoughts.family,
                settings.thinking,
                engine.tokenizer,
                separator=settings.separator,
                filler_ids=self._splitter.filler_ids,
            )
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
        scan, forced = self._forced(prefix, forced_ids)
        try:
            drawing = await self._drawn(request, scan, recall)
        except EngineRefused as refused:
            return CallFailed(call.key, str(refused), retryable=refused.retryable)
        if not drawing.token_ids:
            return CallFailed(call.key, NOTHING_SAMPLED, retryable=False)
        drawn_ids = tuple(drawing.token_ids)
        self._hold(child_prefix_id(call.prefix_id, forced_ids + drawn_ids), prefix.longer(forced_ids + drawn_ids))
        steps = told_steps(call, drawing, self._pieces(call.until, prefix_ids, drawn_ids, scan), scan)
        return Sampled(
            key=call.key,
            steps=(*forced, *steps),
            prompt_tokens=drawing.prompt_tokens,
            cached_tokens=drawing.cached_tokens,
            queued_s=drawing.queued_s,
            run_s=drawing.run_s,
        )

    async def _drawn(self, request: SampleRequest, scan: ThoughtScan | None, recall: Recall) -> Drawing:
        """What a request comes to; `scan` has taken in the path, and then what was drawn too."""
        thoughts, steps = self._thoughts, self._thought_steps
        acts = thoughts is not None and (thoughts.budget.is_any or request.until is Until.STEP)
        if thoughts is None or scan is None or steps is None or not acts:
            drawing = Drawing(request)
            drawing.add(await self.engine.sample(request, recall))
            if scan is not None:
                scan.extend(drawing.token_ids)
            return drawing
        return await draw_within(partial(self.engine.sample, recall=recall), request, thoughts, scan, steps)

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

    def _pieces(
        self, until: Until, prefix_ids: tuple[int, ...], token_ids: tuple[int, ...], scan: ThoughtScan | None
    ) -> tuple[Step, ...]:
        if until is Until.END and scan is not None and self._thought_steps is not None:
            return self._thought_steps.split(prefix_ids, token_ids, scan)
        if until is Until.END and self._splitter is not None:
            return self._splitter.split(prefix_ids, token_ids)
        return (Step(self.engine.tokenizer.decode_after(prefix_ids, token_ids), token_ids),)

    def _forced(
        self, prefix: "_Prefix", forced_ids: tuple[int, ...]
    ) -> tuple[ThoughtScan | None, tuple[SampledStep, ...]]:
        """A scan of the thoughts up to where sampling begins, if they are told; what was forced, if anything."""
        scan = None if self._thoughts is None else self._thoughts.scan(prefix.token_ids[prefix.num_prompt_ids :])
        if not forced_ids:
            return scan, ()
        text, phases = self.engine.tokenizer.decode_after(prefix.token_ids, forced_ids), None
        if scan is not None:
            scan.put(forced_ids)
            phases = scan.phases(0, len(forced_ids), text)
            scan.start_call()
        return scan, (SampledStep(text, forced_ids, FinishReason.FORCED, None, phases=phases),)

    def _without_room(self, call: SampleCall, prefix: "_Prefix", forced_ids: tuple[int, ...]) -> Sampled:
        """A forced text that fills the context up: nothing is asked of the engine, and nothing is said."""
        scan, forced = self._forced(prefix, forced_ids)
        is_open = scan is not None and scan.open_pair is not None
        reason = FinishReason.UNFINISHED_THOUGHT if is_open else FinishReason.LENGTH
        phases = None if scan is None else Phases(0, 0, is_open)
        return Sampled(call.key, (*forced, SampledStep("", (), reason, None, phases=phases)), 0, 0, 0.0, 0.0)
