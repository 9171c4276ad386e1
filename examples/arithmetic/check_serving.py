"""Compare the reward model served by vLLM's pooling runner with its reference scores."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from vllm import LLM
from vllm.config import PoolerConfig

from examples.arithmetic.common import HERE
from examples.arithmetic.prm import encode_solution, load_prm


def pooling_engine(path: Path) -> Any:
    """The backbone in vLLM; it returns the last hidden state after the final norm."""
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    return LLM(
        model=str(path),
        runner="pooling",
        convert="embed",
        pooler_config=PoolerConfig(task="embed", seq_pooling_type="LAST", use_activation=False),
        dtype="float32",
        enforce_eager=True,
        max_model_len=512,
        block_size=32,
        kv_cache_memory_bytes=1 << 29,
    )


def compare(path: Path, engine: Any) -> dict[str, float]:
    """Largest differences of hidden states and probabilities over all prefixes of the reference file."""
    model, tokenizer = load_prm(path)
    golden = json.loads((path / "golden.json").read_text(encoding="utf-8"))
    hidden_gap = score_gap = 0.0
    prefixes = 0
    for entry in golden:
        ids, places = encode_solution(tokenizer, entry["question"], entry["steps"])
        with torch.inference_mode():
            states: Tensor = model.backbone.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        served = engine.embed([{"prompt_token_ids": ids[: place + 1]} for place in places], use_tqdm=False)
        for place, output, score in zip(places, served, entry["scores"], strict=True):
            embedding = torch.tensor(output.outputs.embedding)
            probability = model.head(embedding).sigmoid().item()
            hidden_gap = max(hidden_gap, (embedding - states[place]).abs().max().item())
            score_gap = max(score_gap, abs(probability - score))
            prefixes += 1
    return {"prefixes": prefixes, "hidden_max_difference": hidden_gap, "score_max_difference": score_gap}


def main() -> None:
    """Print the differences as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prm", type=Path, default=HERE / "prm")
    args = parser.parse_args()
    print(json.dumps(compare(args.prm, pooling_engine(args.prm))))


if __name__ == "__main__":
    main()
