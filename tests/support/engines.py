"""vLLM engines that make the same tokens whatever else they are asked at the same time.

vLLM's own batch-invariant mode (`VLLM_BATCH_INVARIANT`) is a set of Triton kernels for CUDA devices; the CPU build has
none. What a token's probabilities depend on is which sequences, and how many of their tokens, are computed in one step.
So an engine that computes one sequence at a time, and each from its first token, depends on the call alone: its seed,
its prompt, its parameters.
"""

from typing import Any

ONE_AT_A_TIME: dict[str, Any] = {"max_num_seqs": 1, "block_size": 512}
"""Of an engine of the arithmetic example. A prefix cache keeps whole blocks; one has as many tokens as the models have
of context, so nothing is kept."""

SAME_TOKENS = tuple(
    f"{section}.{name}={value}" for section in ("generator", "prm") for name, value in ONE_AT_A_TIME.items()
)
"""Likewise, as settings of a recipe."""
