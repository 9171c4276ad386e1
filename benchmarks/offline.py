"""The ceiling: `LLM.generate` with a generator replica's engine arguments, in a process of its own."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.protocol import SampleRequest
from actors.engines.serving.common import has_cuda, prepare_environment
from actors.engines.serving.vllm_generator import generator_arguments, sampling_parameters
from actors.engines.settings import GeneratorSettings
from actors.engines.steps import StepSplitter
from actors.engines.text import read_tokenizer
from benchmarks.recorded import RecordedSample
from records.calls import Sampling

RAY_NICENESS = 15
"""Ray gives its workers this low a priority. So has the offline engine, or another program would slow one side only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One timed `LLM.generate`: its tokens and its time."""

    tokens: int
    seconds: float


class OfflineEngine:
    """vLLM's `LLM`; every call starts with an empty prefix cache.

    Args:
        settings: of the generator replica.
        sampling: how tokens are drawn.
    """

    def __init__(self, settings: GeneratorSettings, sampling: Sampling) -> None:
        # "spawn": nothing of the caller's Ray, threads and sockets is wanted there.
        self._pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=get_context("spawn"),
            initializer=_load,
            initargs=(settings, sampling),
        )

    def __enter__(self) -> Self:
        """Load the model."""
        self.process_id: int = self._pool.submit(os.getpid).result()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End the process."""
        self._pool.submit(_end).result()
        self._pool.shutdown()

    def replay(self, samples: Sequence[RecordedSample]) -> Pass:
        """All samples in one batch, each as the replica asked for it: a request of its own, with seed and logprob."""
        return self._pool.submit(_replay, samples).result()

    def plain(self, samples: Sequence[RecordedSample]) -> Pass:
        """The same work as vLLM does it fastest: siblings in one request (`n`), no seeds, no log-probabilities."""
        return self._pool.submit(_plain, samples).result()


_loaded: dict[str, Any] = {}


def _load(settings: GeneratorSettings, sampling: Sampling) -> None:
    os.dup2(2, 1)  # vLLM logs to stdout, which is for the result
    os.nice(RAY_NICENESS - os.nice(0))
    cuda = has_cuda()
    prepare_environment(settings, cuda=cuda)
    # An engine process with the model in it. For any other way to write 1, vLLM has the engine beside
    # its caller too, but for "1" its CPU platform adds a second process for the model, which is slower.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "01"
    from vllm import LLM  # noqa: PLC0415

    arguments = generator_arguments(settings, cuda=cuda)
    arguments.pop("use_tqdm_on_load")
    _loaded["llm"] = LLM(**arguments)
    tokenizer = read_tokenizer(Path(settings.model) / TOKENIZER_FILE)
    ids = sorted(StepSplitter(tokenizer, settings.separator).separator_ids)
    _loaded.update(sampling=sampling, separator_ids=ids)


def _end() -> None:
    llm = _loaded.pop("llm")
    llm.llm_engine.engine_core.shutdown()


def _parameters(sample: RecordedSample) -> Any:
    request = SampleRequest(
        prompt_ids=sample.prompt_ids,
        until=sample.until,
        max_tokens=sample.max_tokens,
        seed=sample.seed,
        sampling=_loaded["sampling"],
    )
    return sampling_parameters(request, separator_ids=_loaded["separator_ids"])


def _replay(samples: Sequence[RecordedSample]) -> Pass:
    return _generate([(sample.prompt_ids, _parameters(sample)) for sample in samples])


def _plain(samples: Sequence[RecordedSample]) -> Pass:
    batch = []
    at = 0
    while at < len(samples):
        sample = samples[at]
        parameters = _parameters(sample)
        parameters.seed, parameters.logprobs, parameters.n = None, None, sample.siblings
        batch.append((sample.prompt_ids, parameters))
        at += sample.siblings
    return _generate(batch)


def _generate(batch: Sequence[tuple[tuple[int, ...], Any]]) -> Pass:
    llm = _loaded["llm"]
    llm.reset_prefix_cache()
    prompts = [{"prompt_token_ids": list(ids)} for ids, _ in batch]
    started_s = time.perf_counter()
    outputs = llm.generate(prompts, [parameters for _, parameters in batch], use_tqdm=False)
    seconds = time.perf_counter() - started_s
    return Pass(tokens=sum(len(sample.token_ids) for output in outputs for sample in output.outputs), seconds=seconds)
