"""Grow the generator into a larger one that computes the same function, as a start for more training.

Depth: after every layer comes a copy of it whose two output projections are zero, so that it adds nothing to the
residual stream (block expansion, LLaMA Pro, arXiv 2401.02415). Width: every MLP gets new inner units, whose output
weights are zero as well (function-preserving widening, the idea of Net2Net, arXiv 1511.05641).
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from examples.arithmetic.common import HERE
from examples.arithmetic.problems import DEFAULT_SEED
from examples.arithmetic.tokenizer import build_tokenizer

MLP_UNITS: Final = 768
"""Inner units of an MLP of the larger generator: with 8 layers 4.8 million parameters, 9.5 MB in bfloat16."""
ZEROED: Final = ("self_attn.o_proj.weight", "mlp.down_proj.weight")


def widened(name: str, value: Tensor, units: int, spread: float) -> Tensor:
    """An MLP matrix with more inner units; the new ones read at random and write nothing."""
    if name.endswith(("mlp.gate_proj.weight", "mlp.up_proj.weight")):
        return torch.cat([value, torch.randn(units - len(value), value.shape[1]) * spread])
    if name.endswith("mlp.down_proj.weight"):
        return torch.cat([value, torch.zeros(len(value), units - value.shape[1])], dim=1)
    return value


def grown(model: LlamaForCausalLM, mlp_units: int = MLP_UNITS, seed: int = DEFAULT_SEED) -> LlamaForCausalLM:
    """A model with twice the layers and ``mlp_units`` inner units that gives the same logits.

    ValueError where the model's MLP is wider than that already.
    """
    old: LlamaConfig = model.config
    if mlp_units < old.intermediate_size:
        raise ValueError(f"an MLP of {old.intermediate_size} inner units cannot be grown to {mlp_units}")
    torch.manual_seed(seed)
    config = copy.deepcopy(old)
    config.num_hidden_layers = 2 * old.num_hidden_layers
    config.intermediate_size = mlp_units
    weights: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        wide = widened(name, value, mlp_units, config.initializer_range)
        if not name.startswith("model.layers."):
            weights[name] = wide
            continue
        layer, part = name.removeprefix("model.layers.").split(".", 1)
        weights[f"model.layers.{2 * int(layer)}.{part}"] = wide
        copied = torch.zeros_like(wide) if part in ZEROED else wide
        weights[f"model.layers.{2 * int(layer) + 1}.{part}"] = copied.clone()
    larger = type(model)(config)
    larger.load_state_dict(weights)
    return larger


def main() -> None:
    """Write the grown generator, in float32: the start of `train_generator --start`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=Path, default=HERE / "generator", help="folder of the small generator")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--mlp-units", type=int, default=MLP_UNITS)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    model = grown(LlamaForCausalLM.from_pretrained(args.start, dtype=torch.float32), args.mlp_units, args.seed)
    model.save_pretrained(args.output)
    build_tokenizer().save_pretrained(args.output)
    print(f"{model.num_parameters():,} parameters in {args.output}")


if __name__ == "__main__":
    main()
