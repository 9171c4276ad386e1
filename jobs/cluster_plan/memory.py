"""What a replica keeps in the memory of a GPU, from its model's files: weights, KV cache, and what the engine needs.

    memory of a GPU x gpu_memory_utilization = weights + KV cache + RESERVED_GIB

Weights are counted as loaded: numbers in the tensors times the size of the recipe's type; quantised ones as stored. A
token's KV cache is 2 x layers x KV heads x size of a head x size of a number (keys and values of full attention; layers
that keep less make it an upper bound). Tensor parallelism divides both, KV heads at most down to one a GPU.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.engines.model_files import CONFIG_FILE, context_length, read_header, read_json, weight_files
from jobs.recipes.engines import EngineSection

BYTES_PER_GIB = 2**30
RESERVED_GIB = 2.0
"""CUDA's context, captured graphs and activations of one engine step: a rough figure."""
_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
_FLOATS = {"F64", "F32", "BF16", "F16"}
_STORED = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "I16": 2}
"""Bytes of a number as stored; 1 for all others (8-bit floats, packed quantised weights)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMemory:
    """Of one GPU of a replica.

    Attributes:
        weights_bytes: of the model's part on it.
        kv_bytes_per_token: likewise; None where the configuration does not say.
        max_model_len: context limit in tokens; None where nobody says.
    """

    weights_bytes: int
    kv_bytes_per_token: int | None
    max_model_len: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFit:
    """How a replica's part fits into a GPU.

    Attributes:
        gpu_gib: memory of the GPU.
        allowed_gib: what the engine may take of it.
        kv_gib: what is left for the KV cache, or what the recipe says; negative where nothing is left.
        kv_tokens: that fit into it; None where a token's size is unknown.
        max_model_len: as above.
        problem: why it does not fit; None where it does.
    """

    gpu_gib: float
    allowed_gib: float
    kv_gib: float
    kv_tokens: int | None
    max_model_len: int | None
    problem: str | None


def model_memory(folder: Path, section: EngineSection) -> ModelMemory:
    """Read a model's memory off its files (`stage_outline` is enough).

    Raises:
        InvalidInput: the files cannot be read.
    """
    config = read_json(folder / CONFIG_FILE)
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    size = _SIZES[_dtype(section, config)]
    stored = [tensor for file in weight_files(folder) for tensor in read_header(file).values()]
    weights = sum(
        math.prod(tensor.shape) * (size if tensor.dtype in _FLOATS else _STORED.get(tensor.dtype, 1))
        for tensor in stored
    )
    parts = section.tensor_parallel_size
    return ModelMemory(
        weights_bytes=math.ceil(weights / parts),
        kv_bytes_per_token=_kv_bytes(text, size, parts),
        max_model_len=section.max_model_len or context_length(folder),
    )


def _dtype(section: EngineSection, config: dict[str, Any]) -> str:
    """The recipe's type; "auto" is the model's own, float32 as bfloat16, as vLLM has it on a GPU."""
    if section.dtype != "auto":
        return section.dtype
    own = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16").removeprefix("torch.")
    return own if own in ("bfloat16", "float16") else "bfloat16"


def _kv_bytes(config: dict[str, Any], size: int, parts: int) -> int | None:
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    kv_heads, hidden = config.get("num_key_value_heads", heads), config.get("hidden_size")
    head_dim = config.get("head_dim") or (hidden // heads if hidden and heads else None)
    if not (layers and kv_heads and head_dim):
        return None
    heads_here = max(1, math.ceil(int(kv_heads) / parts))
    return 2 * int(layers) * heads_here * int(head_dim) * size


def memory_fit(memory: ModelMemory, section: EngineSection, gpu_gib: float) -> MemoryFit:
    """How a replica's part fits into a GPU of so much memory."""
    allowed_gib, weights_gib = gpu_gib * section.gpu_memory_utilization, memory.weights_bytes / BYTES_PER_GIB
    left_gib = allowed_gib - weights_gib - RESERVED_GIB
    kv_gib = left_gib if section.kv_cache_gib is None else section.kv_cache_gib
    per_token = memory.kv_bytes_per_token
    tokens = None if per_token is None else max(0, int(kv_gib * BYTES_PER_GIB / per_token))
    return MemoryFit(
        gpu_gib=gpu_gib,
        allowed_gib=allowed_gib,
        kv_gib=kv_gib,
        kv_tokens=tokens,
        max_model_len=memory.max_model_len,
        problem=_problem(memory, section, allowed_gib=allowed_gib, left_gib=left_gib, tokens=tokens),
    )


def _problem(
    memory: ModelMemory, section: EngineSection, *, allowed_gib: float, left_gib: float, tokens: int | None
) -> str | None:
    weights = f"weights of {memory.weights_bytes / BYTES_PER_GIB:.1f} GiB"
    allowed = f"the {allowed_gib:.1f} GiB that gpu_memory_utilization = {section.gpu_memory_utilization:g} allows"
    if left_gib <= 0:
        return (
            f"{weights} and some {RESERVED_GIB:g} GiB for the engine are more than {allowed}: take a larger GPU, or "
            "more of them with tensor_parallel_size"
        )
    if section.kv_cache_gib is not None and section.kv_cache_gib > left_gib:
        return (
            f"{weights} and kv_cache_gib = {section.kv_cache_gib:g} are more than {allowed}, with some "
            f"{RESERVED_GIB:g} GiB for the engine: set kv_cache_gib to {max(left_gib, 0):.1f} or less"
        )
    length = memory.max_model_len
    if tokens is not None and length is not None and tokens < length:
        return (
            f"the KV cache holds {tokens} tokens, and one call may take max_model_len = {length}: set max_model_len to "
            "less, or take a larger GPU"
        )
    return None
