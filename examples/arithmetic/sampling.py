"""Sampling from the generator with vLLM on CPU, in one process tree, with seeds by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transformers import AutoTokenizer
from vllm import LLM, SamplingParams

from examples.arithmetic.common import prompt_text, split_steps

MAX_NEW_TOKENS: Final = 320
BATCH_REQUESTS: Final = 1024
"""Requests handed to the engine at once; very long queues slow it down."""


@dataclass(frozen=True, slots=True)
class Request:
    """Ask for ``count`` continuations of a question and the steps taken so far."""

    question: str
    steps: tuple[str, ...]
    count: int
    seed: int


@dataclass(frozen=True, slots=True)
class Continuation:
    """Sampled steps after a request's prefix; ``finished`` means that the generator ended by itself."""

    steps: tuple[str, ...]
    finished: bool
    tokens: int


def prefix_text(question: str, steps: Sequence[str]) -> str:
    """Question and steps, each followed by the separator: the prompt for what comes next."""
    return "".join(prompt_text(part) for part in (question, *steps))


class Sampler:
    """A generator in vLLM; ``sampled_tokens`` counts everything it has written."""

    def __init__(self, model: Path, *, dtype: str = "float32", sequences: int = 256) -> None:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
        self.sampled_tokens = 0
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        self._engine: Any = LLM(
            model=str(model),
            dtype=dtype,
            enforce_eager=True,
            max_model_len=512,
            max_num_seqs=sequences,
            max_num_batched_tokens=8192,
            enable_chunked_prefill=False,
            block_size=32,
            kv_cache_memory_bytes=2 << 30,
        )

    def sample(self, requests: Sequence[Request], temperature: float) -> list[list[Continuation]]:
        """Continuations of each request, in the order of the requests."""
        results: list[list[Continuation]] = []
        for start in range(0, len(requests), BATCH_REQUESTS):
            results.extend(self._sample_batch(requests[start : start + BATCH_REQUESTS], temperature))
        return results

    def _sample_batch(self, requests: Sequence[Request], temperature: float) -> list[list[Continuation]]:
        texts = [prefix_text(request.question, request.steps) for request in requests]
        prompts = [{"prompt_token_ids": ids} for ids in self._tokenizer(texts)["input_ids"]]
        params = [
            SamplingParams(
                n=request.count,
                temperature=temperature,
                seed=request.seed,
                max_tokens=MAX_NEW_TOKENS,
                detokenize=False,
            )
            for request in requests
        ]
        outputs = self._engine.generate(prompts, params, use_tqdm=False)
        return [[self._continuation(sample) for sample in output.outputs] for output in outputs]

    def _continuation(self, sample: Any) -> Continuation:
        tokens = len(sample.token_ids)
        self.sampled_tokens += tokens
        text = self._tokenizer.decode(sample.token_ids, skip_special_tokens=True)
        return Continuation(tuple(split_steps(text)), sample.finish_reason == "stop", tokens)
