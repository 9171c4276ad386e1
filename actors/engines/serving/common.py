"""What the generator and the PRM engine share: environment, arguments, tokenizer, what is known of the model.

vLLM and torch are imported inside functions: importing this module is cheap.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.adapter import adapter_files_of, num_multiplied_parameters
from actors.engines.chat import chat_writer
from actors.engines.model_files import TOKENIZER_FILE, context_length, identity_files, sha256_of
from actors.engines.protocol import EngineFacts
from actors.engines.settings import EngineSettings, GeneratorSettings
from actors.engines.text import TextTokenizer
from records.failure import InvalidInput

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine

CPU_BLOCK_SIZE = 32
"""Smallest block that vLLM's CPU kernels like; its default of 128 tokens is longer than most steps."""
CPU_KV_CACHE_GIB = 1.0
CPU_BATCHED_TOKENS = 4096
CHILD_WARNINGS = (
    "ignore::UserWarning:multiprocessing.resource_tracker,ignore::FutureWarning:vllm.triton_utils.dispatcher"
)
"""What processes that vLLM starts say at every start and end; they inherit the environment only."""


def has_cuda() -> bool:
    """Whether a CUDA device is visible to this process."""
    import torch

    return torch.cuda.is_available()


def prepare_environment(settings: EngineSettings, *, cuda: bool) -> None:
    """Set what vLLM reads from the environment. To be called before vLLM is imported."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING" if cuda else "ERROR")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("PYTHONWARNINGS", CHILD_WARNINGS)
    # The engine in this process (`engine_thread`), and on CPU the model too, instead of one more process for each.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if not cuda:
        # Two replicas on one machine would bind the same cores otherwise.
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        os.environ["OMP_NUM_THREADS"] = str(settings.cpu_threads)
        if settings.enforce_eager:
            # vLLM compiles a helper of its sampler even then: seconds in the first request, and a need for g++.
            os.environ["TORCHDYNAMO_DISABLE"] = "1"


def common_arguments(settings: EngineSettings, *, cuda: bool) -> dict[str, Any]:
    """Arguments of `AsyncEngineArgs` that do not depend on the role."""
    arguments: dict[str, Any] = {
        "model": settings.model,
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "block_size": settings.block_size,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "enforce_eager": settings.enforce_eager,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "trust_remote_code": settings.trust_remote_code,
        "enable_prefix_caching": True,
        "use_tqdm_on_load": False,
    }
    kv_cache_gib = settings.kv_cache_gib
    if not cuda:
        arguments["block_size"] = settings.block_size or CPU_BLOCK_SIZE
        kv_cache_gib = kv_cache_gib or CPU_KV_CACHE_GIB
    if kv_cache_gib is not None:
        arguments["kv_cache_memory_bytes"] = int(kv_cache_gib * 2**30)
    return arguments


def unchunked_arguments(settings: EngineSettings) -> dict[str, Any]:
    """Arguments that keep every prompt whole in one engine step.

    On CPU a seeded request dies, and the engine with it, when its prompt is computed in chunks: vLLM then rewinds the
    request's random generator, which CPU generators cannot do.
    """
    longest = settings.max_model_len or context_length(Path(settings.model))
    if longest is None:
        raise InvalidInput(f"{settings.model}: config.json states no max_position_embeddings: set max_model_len")
    tokens = settings.max_num_batched_tokens or max(CPU_BATCHED_TOKENS, longest, settings.max_num_seqs)
    if tokens < longest:
        raise InvalidInput(
            f"max_num_batched_tokens is {tokens}, below max_model_len ({longest}): on CPU a prompt must fit one step"
        )
    return {"enable_chunked_prefill": False, "max_num_batched_tokens": tokens}


def engine_facts(llm: "LLMEngine", settings: EngineSettings, **details: str | int | float | bool | None) -> EngineFacts:
    """What is known of the model that runs."""
    import vllm
    from vllm.platforms import current_platform

    model = Path(settings.model)
    config = llm.model_config
    return EngineFacts(
        model_sha256=sha256_of([*identity_files(model), *adapter_files_of(settings)]),
        tokenizer_sha256=sha256_of([model / TOKENIZER_FILE]),
        num_parameters=num_multiplied_parameters(settings),
        max_model_len=config.max_model_len,
        device=current_platform.get_device_name(),
        dtype=str(config.dtype).removeprefix("torch."),
        details={
            "vllm": vllm.__version__,
            "block_size": llm.vllm_config.cache_config.block_size,
            **details,
        },
    )


def load_tokenizer(llm: "LLMEngine", settings: GeneratorSettings) -> TextTokenizer:
    """The model's tokenizer: a copy, because transformers changes its own's truncation in passing."""
    from tokenizers import Tokenizer

    hugging_face: Any = llm.get_tokenizer()
    backend = Tokenizer.from_str(hugging_face.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    return TextTokenizer(backend, chat_writer(Path(settings.model), settings))
