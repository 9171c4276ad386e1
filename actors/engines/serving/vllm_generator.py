"""The generator engine: vLLM's `AsyncLLM`, prompts and samples as token ids."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.logprobs import TopLogprobs
from actors.engines.protocol import EngineRefused, EngineSample, SampleRequest
from actors.engines.serving.common import (
    EngineHandle,
    common_arguments,
    has_cuda,
    load_tokenizer,
    prepare_environment,
    unchunked_arguments,
)
from actors.engines.settings import GeneratorSettings
from actors.engines.steps import StepSplitter
from records.failure import ReplicaDied
from records.path import FinishReason
from records.request import Until

if TYPE_CHECKING:
    from vllm import SamplingParams


class VllmGenerator:
    """Implements `GeneratorEngine`."""

    def __init__(self, settings: GeneratorSettings) -> None:
        """Load the model. To be called within a running event loop, which it blocks until the engine is up."""
        cuda = has_cuda()
        prepare_environment(settings, cuda=cuda)
        self._handle = EngineHandle(generator_arguments(settings, cuda=cuda))
        self.tokenizer = load_tokenizer(self._handle.llm)
        self.facts = self._handle.facts(settings)
        self._separator = settings.separator
        self._separator_ids = sorted(StepSplitter(self.tokenizer, settings.separator).separator_ids)

    async def sample(self, request: SampleRequest) -> EngineSample:
        """See `GeneratorEngine.sample`."""
        async with self._handle.request() as (request_id, waited_s):
            output = await self._generate(request, request_id)
        completion, metrics = output.outputs[0], output.metrics
        logprobs, top = read_logprobs(completion.logprobs, request.top_logprobs)
        if not all(map(math.isfinite, logprobs)):
            raise EngineRefused("the engine sampled from probabilities that are no numbers", retryable=True)
        return EngineSample(
            token_ids=tuple(completion.token_ids),
            logprobs=logprobs,
            finish_reason=self._finish_reason(completion.finish_reason, completion.stop_reason),
            cached_tokens=output.num_cached_tokens or 0,
            queued_s=waited_s + metrics.scheduled_ts - metrics.queued_ts,
            run_s=metrics.last_token_ts - metrics.scheduled_ts,
            top=top,
        )

    @property
    def num_steps(self) -> int:
        """See `GeneratorEngine.num_steps`."""
        return self._handle.num_steps

    async def watch(self) -> None:
        """See `GeneratorEngine.watch`."""
        await self._handle.watch()

    async def close(self) -> None:
        """See `GeneratorEngine.close`."""
        self._handle.close()

    async def _generate(self, request: SampleRequest, request_id: str) -> Any:
        # "type" marks ids that are ready: raw prompts would go through vLLM's tokenizer threads.
        prompt = {"type": "token", "prompt_token_ids": list(request.prompt_ids)}
        final = None
        parameters = sampling_parameters(request, separator=self._separator, separator_ids=self._separator_ids)
        async for output in self._handle.llm.generate(prompt, parameters, request_id):
            final = output
        if final is None:
            raise ReplicaDied("the engine ended a request without an output")
        return final

    def _finish_reason(self, finish_reason: str | None, stop_reason: int | str | None) -> FinishReason:
        if finish_reason == "length":
            return FinishReason.LENGTH
        if finish_reason != "stop":
            raise EngineRefused(f"the engine ended the request with {finish_reason!r}", retryable=True)
        if stop_reason == self._separator or stop_reason in self._separator_ids:
            return FinishReason.SEPARATOR
        return FinishReason.EOS


def generator_arguments(settings: GeneratorSettings, *, cuda: bool) -> dict[str, Any]:
    """Arguments of vLLM's engine for a generator."""
    arguments = common_arguments(settings, cuda=cuda) | ({} if cuda else unchunked_arguments(settings))
    return arguments | {"max_logprobs": settings.max_logprobs}


def read_logprobs(flat: Any, num_top: int) -> tuple[tuple[float, ...], TopLogprobs | None]:
    """Log-probabilities of the sampled tokens, and of the `num_top` likeliest, from vLLM's `FlatLogprobs`.

    At each position it has the sampled token first, and then the likeliest ones, the sampled one again among them.
    """
    if num_top == 0:
        return tuple(flat.logprobs), None
    shape = (len(flat), 1 + num_top)
    logprobs = np.array(flat.logprobs, dtype=np.float64).reshape(shape)
    token_ids = np.array(flat.token_ids, dtype=np.int64).reshape(shape)
    return tuple(logprobs[:, 0].tolist()), TopLogprobs(token_ids[:, 1:], logprobs[:, 1:])


def sampling_parameters(request: SampleRequest, *, separator: str, separator_ids: Sequence[int]) -> "SamplingParams":
    """What vLLM is told of a request.

    Args:
        request: what is wanted.
        separator: the text that ends a step.
        separator_ids: tokens that hold it.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    by_step = request.until is Until.STEP
    return SamplingParams(
        temperature=request.sampling.temperature,
        top_p=request.sampling.top_p,
        seed=request.seed,
        max_tokens=request.max_tokens,
        # Tokens that hold the separator stop in the engine; a separator that several tokens make up stops in the
        # front end, which has to detokenise for it.
        stop_token_ids=list(separator_ids) if by_step else None,
        stop=[separator] if by_step else None,
        include_stop_str_in_output=True,
        detokenize=by_step,
        logprobs=request.top_logprobs,  # and of the sampled token
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )
