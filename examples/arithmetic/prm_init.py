"""Starting weights of the reward model: a trained generator, widened and deepened so that it can check itself.

The hidden state of a trained language model predicts the next token and has half forgotten the present one;
checking means to compare the two. So the residual stream gets some more channels, which no trained block
reads or writes: a constant, the identity of the present token, and what was predicted for it. The first
new block starts with one head that looks at the token before and copies its prediction over; all else in
the new blocks is learned.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from examples.arithmetic.common import SEPARATOR

WORDS: Final = (*"0123456789+-*=}", " so ", "\\boxed{", SEPARATOR)
"""The tokens of which a well-formed solution consists: those that are compared."""
EXTRA: Final = 64
NEW_BLOCKS: Final = 2
RESIDUAL_SCALE: Final = 1 / 12
"""Trained blocks write this much less (their input norms undo it): the new blocks write about 1 per channel."""
CODE: Final = 0.03
"""Size of the constant and identity channels: small, not to change the norms of the trained blocks."""
FOCUS: Final = 10.0
"""Size of the query and of the key by which the first new block finds the token before."""
LOGIT_SCALE: Final = 0.2


def _empty_model(config: LlamaConfig) -> LlamaForCausalLM:
    make: Callable[[LlamaConfig], LlamaForCausalLM] = LlamaForCausalLM
    return make(config)


def _copy_trained(model: Any, base: Any, width: int) -> None:
    """Copy the trained weights into the first ``width`` channels; the other channels stay untouched by them."""
    norm_scale = (width / (width + EXTRA)) ** 0.5
    model.embed_tokens.weight.zero_()
    model.embed_tokens.weight[:, :width] = base.embed_tokens.weight * RESIDUAL_SCALE
    for new, old in zip(model.layers[: len(base.layers)], base.layers, strict=True):
        for name, value in old.named_parameters():
            target: Tensor = new.get_parameter(name)
            target.zero_()
            if value.ndim == 1:
                target[:width] = value * norm_scale
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                target[:width] = value * RESIDUAL_SCALE
            else:
                target[:, :width] = value


def _look_back(attention: Any, values: Tensor, constant: int, predicted: int) -> None:
    """Let head 0 attend to the token before and copy ``values`` [words, channels] of it; others write nothing."""
    size = attention.head_dim
    quick = torch.arange(4)
    angle = 10000.0 ** (-2.0 * quick / size)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[:size].zero_()
    attention.q_proj.weight[quick, constant] = FOCUS * torch.cos(angle)
    attention.q_proj.weight[quick + size // 2, constant] = -FOCUS * torch.sin(angle)
    attention.k_proj.weight[quick, constant] = FOCUS
    words = len(values)
    attention.v_proj.weight[:words, : values.shape[1]] = values
    attention.o_proj.weight.zero_()
    attention.o_proj.weight[predicted + torch.arange(words), torch.arange(words)] = 1.0


@torch.no_grad()
def starting_backbone(path: Path) -> LlamaForCausalLM:
    """Backbone of the reward model, from the trained generator in a folder."""
    config = LlamaConfig.from_pretrained(path)
    width, known = int(config.hidden_size or 0), int(config.num_hidden_layers or 0)
    config.hidden_size = width + EXTRA
    config.num_hidden_layers = known + NEW_BLOCKS
    model = _empty_model(config)
    base: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32)
    _copy_trained(model.model, base.model, width)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    words = torch.tensor([tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in WORDS])
    identity, predicted = width + 1, width + 1 + len(words)
    model.model.embed_tokens.weight[:, width] = CODE
    model.model.embed_tokens.weight[words, identity + torch.arange(len(words))] = CODE
    logits = base.model.embed_tokens.weight[words] * base.model.norm.weight
    values = (logits - logits.mean(0)) * LOGIT_SCALE * (width / (width + EXTRA)) ** 0.5
    for block in model.model.layers[known:]:
        block.self_attn.o_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
        for norm in (block.input_layernorm, block.post_attention_layernorm):
            norm.weight[width:predicted] = 1 / CODE
    _look_back(model.model.layers[known].self_attn, values, width, predicted)
    return model
