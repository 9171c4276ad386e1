"""The generator engine: vLLM in this process, prompts and samples as token ids."""

import math
import secrets
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.adapter import RANKS, adapter_rank
from actors.engines.logprobs import TopLogprobs
from actors.engines.protocol import EngineRefused, EngineSample, SampleRequest
from actors.engines.recall import Recall
from actors.engines.serving.common import (
    common_arguments,
    engine_facts,
    has_cuda,
    load_tokenizer,
    prepare_environment,
    unchunked_arguments,
)
from actors.engines.serving.engine_request import ENDED, RECALLED, Finished
from actors.engines.serving.engine_thread import EngineThread, refusals
from actors.engines.settings import GeneratorSettings
from actors.engines.steps import StepSplitter
from actors.engines.stops import StopStrings
from records.path import FinishReason
from records.request import Until

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest


class VllmGenerator:
    """Implements `GeneratorEngine`."""

    def __init__(self, settings: GeneratorSettings) -> None:
        """Load the model. To be called within a running event loop, which it blocks until the engine is up."""
        cuda = has_cuda()
        prepare_environment(settings, cuda=cuda)
        threads = None if cuda else settings.cpu_threads
        arguments = generator_arguments(settings, cuda=cuda)
        adapter = None if settings.adapter is None else _lora_request(settings.adapter)
        self._thread = EngineThread(arguments, cpu_threads=threads, lora_request=adapter)
        self.tokenizer = load_tokenizer(self._thread.llm, settings)
        self.facts = engine_facts(self._thread.llm, settings)
        self._seeded, self._logprobs = settings.seeded, settings.logprobs
        self._splitter = StepSplitter(self.tokenizer, settings.separator)
        self._separator_ids = sorted(self._splitter.separator_ids)
        self._stops_of = cache(partial(StopStrings, self.tokenizer))

    async def sample(self, request: SampleRequest, recall: Recall | None = None) -> EngineSample:
        """See `GeneratorEngine.sample`."""
        with refusals():
            parameters = sampling_parameters(
                request, separator_ids=self._separator_ids, seeded=self._seeded, logprobs=self._logprobs
            )
        done = await self._thread.run(request.prompt_ids, parameters, self._ends(request), recall)
        given = parameters.logprobs is not None
        logprobs: list[float] = done.logprobs[:, 0].tolist()
        if not all(map(math.isfinite, logprobs)):
            raise EngineRefused("the engine sampled from probabilities that are no numbers", retryable=True)
        top = None if request.top_logprobs == 0 else TopLogprobs(done.logprob_ids[:, 1:], done.logprobs[:, 1:])
        return EngineSample(
            token_ids=tuple(done.token_ids),
            logprobs=tuple(logprobs) if given else None,
            finish_reason=self._finish_reason(request, done),
            cached_tokens=done.cached_tokens,
            queued_s=done.queued_s,
            run_s=done.run_s,
            top=top,
        )

    @property
    def num_steps(self) -> int:
        """See `GeneratorEngine.num_steps`."""
        return self._thread.num_steps

    @property
    def flying_tokens(self) -> int:
        """See `GeneratorEngine.flying_tokens`."""
        return self._thread.flying_tokens

    async def watch(self) -> None:
        """See `GeneratorEngine.watch`."""
        await self._thread.watch()

    async def close(self) -> None:
        """See `GeneratorEngine.close`."""
        await self._thread.close()

    def _ends(self, request: SampleRequest) -> Callable[[Sequence[int]], bool] | None:
        """What is asked after each token: whether a stop, a separator of several tokens, or the request ends it."""
        asked: list[Callable[[Sequence[int]], bool]] = []
        if request.sampling.stop:
            asked.append(partial(self._stops_of(request.sampling.stop).ended, request.path_ids))
        if request.ends is not None:
            asked.append(request.ends)
        if request.until is Until.STEP:
            asked.append(self._splitter.ends_step)
        if len(asked) < 2:
            return asked[0] if asked else None
        return lambda ids: any(ends(ids) for ends in asked)

    def _finish_reason(self, request: SampleRequest, done: Finished) -> FinishReason:
        if done.finish_reason == RECALLED:
            return FinishReason.CANCELLED
        stop = request.sampling.stop
        if stop and self._stops_of(stop).ended(request.path_ids, done.token_ids):
            return FinishReason.EOS
        if request.ends is not None and request.ends(done.token_ids):
            said_it_all = done.stopped and done.stop_reason not in self._separator_ids
            return FinishReason.EOS if said_it_all else FinishReason.TOKENS
        if done.finish_reason == "length":
            return FinishReason.LENGTH
        if done.finish_reason == ENDED:
            return FinishReason.SEPARATOR
        if done.finish_reason != "stop":
            raise EngineRefused(f"the engine ended the request with {done.finish_reason!r}", retryable=True)
        return FinishReason.SEPARATOR if done.stop_reason in self._separator_ids else FinishReason.EOS


def _lora_request(adapter: str) -> "LoRARequest":
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, adapter)


def generator_arguments(settings: GeneratorSettings, *, cuda: bool) -> dict[str, Any]:
    """Arguments of vLLM's engine for a generator."""
    arguments = common_arguments(settings, cuda=cuda) | ({} if cuda else unchunked_arguments(settings))
    if not settings.seeded:  # vLLM's own default is the same stream in every process
        arguments["seed"] = secrets.randbits(31)
    if settings.adapter is not None:
        rank = adapter_rank(Path(settings.adapter))
        room = next(each for each in RANKS if each >= rank)
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
    return arguments | {"max_logprobs": settings.max_logprobs}


def sampling_parameters(
    request: SampleRequest, *, separator_ids: Sequence[int], seeded: bool = True, logprobs: bool = True
) -> "SamplingParams":
    """What vLLM is told of a request.

    Args:
        request: what is wanted.
        separator_ids: tokens that hold the text which ends a step. A separator that several tokens make up is looked
            for beside the engine (`StepSplitter.ends_step`).
        seeded: with the request's seed.
        logprobs: of the sampled tokens, also where the likeliest are not asked for.
    """
    from vllm import SamplingParams

    return SamplingParams(
        temperature=request.sampling.temperature,
        top_p=request.sampling.top_p,
        top_k=request.sampling.top_k,
        min_p=request.sampling.min_p,
        repetition_penalty=request.sampling.repetition_penalty,
        presence_penalty=request.sampling.presence_penalty,
        frequency_penalty=request.sampling.frequency_penalty,
        logit_bias=dict(request.sampling.logit_bias) or None,
        seed=request.seed if seeded else None,
        max_tokens=request.max_tokens,
        stop_token_ids=list(separator_ids) if request.until is Until.STEP else None,
        detokenize=False,
        logprobs=request.top_logprobs if logprobs or request.top_logprobs else None,  # and of the sampled token
        skip_clone=True,
    )
