"""The process reward model with plain transformers: input format, forward pass, files."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, LlamaForCausalLM

from examples.arithmetic.common import SEPARATOR, TEMPERATURE, prompt_text

BATCH_TOKENS: Final = 8192
Solution = tuple[str, tuple[str, ...]]
"""A question and the steps of a (partial) solution."""


def encode_solution(tokenizer: Any, question: str, steps: Sequence[str]) -> tuple[list[int], list[int]]:
    """Token ids of a solution, and the positions at which the scores are read [1 + steps].

    The question and every step end with one separator token; a prefix is scored at its last one.
    """
    ids: list[int] = list(tokenizer(prompt_text(question))["input_ids"])
    places = [len(ids) - 1]
    for step in steps:
        ids += tokenizer(step + SEPARATOR, add_special_tokens=False)["input_ids"]
        places.append(len(ids) - 1)
    return ids, places


class RewardModel(nn.Module):
    """Llama backbone, last hidden state after the final norm, linear head with one logit."""

    def __init__(self, backbone: LlamaForCausalLM) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(int(backbone.config.hidden_size or 0), 1)

    def forward(self, ids: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        """Logits [n] at the given (row, place) pairs of a batch of token ids [rows, T], padded right."""
        states = self.backbone.model(input_ids=ids, use_cache=False).last_hidden_state
        logits: Tensor = self.head(states[rows, places])
        return logits.squeeze(-1).float()


def pad_batch(batch: Sequence[tuple[list[int], list[int]]], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids [rows, T] of encoded solutions, and the rows and places of all their scores [n]."""
    ids = torch.full((len(batch), max(len(tokens) for tokens, _ in batch)), pad)
    rows: list[int] = []
    places: list[int] = []
    for row, (tokens, at) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        rows += [row] * len(at)
        places += at
    return ids, torch.tensor(rows), torch.tensor(places)


def batches_by_length(lengths: Sequence[int], order: Iterable[int], tokens: int) -> list[list[int]]:
    """Group indices, taken in the given order, so that rows times the longest stays within ``tokens``."""
    batches: list[list[int]] = []
    longest = 0
    for at in order:
        longest = max(longest, lengths[at])
        if not batches or (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = lengths[at]
        batches[-1].append(at)
    return batches


@torch.inference_mode()
def score_solutions(model: RewardModel, tokenizer: Any, solutions: Sequence[Solution]) -> list[list[float]]:
    """Probabilities of each solution in float32: at the question and after each step."""
    encoded = [encode_solution(tokenizer, question, steps) for question, steps in solutions]
    lengths = [len(ids) for ids, _ in encoded]
    scores: list[list[float]] = [[] for _ in encoded]
    order = sorted(range(len(encoded)), key=lambda at: lengths[at])
    for batch in batches_by_length(lengths, order, BATCH_TOKENS):
        ids, rows, places = pad_batch([encoded[at] for at in batch], tokenizer.pad_token_id)
        for row, value in zip(rows.tolist(), model(ids, rows, places).sigmoid().tolist(), strict=True):
            scores[batch[row]].append(value)
    return scores


def load_prm(path: Path) -> tuple[RewardModel, Any]:
    """Load a saved reward model and its tokenizer."""
    backbone: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32)
    model = RewardModel(backbone)
    model.head.load_state_dict(load_file(path / "head.safetensors"))
    return model.eval(), AutoTokenizer.from_pretrained(path)


def _write_weight_index(path: Path) -> None:
    """Name the backbone's weight file in an index: vLLM loads every safetensors file of a folder without one."""
    weights = load_file(path / "model.safetensors")
    index = {
        "metadata": {"total_size": sum(value.nbytes for value in weights.values())},
        "weight_map": dict.fromkeys(sorted(weights), "model.safetensors"),
    }
    (path / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def save_prm(model: RewardModel, tokenizer: Any, path: Path, generator_sha256: str, notes: str) -> None:
    """Write backbone (Hugging Face layout, bfloat16), head, tokenizer and the description of the model."""
    copy.deepcopy(model.backbone).bfloat16().save_pretrained(path)
    _write_weight_index(path)
    tokenizer.save_pretrained(path)
    head = {name: value.detach().float().contiguous() for name, value in model.head.state_dict().items()}
    save_file(head, path / "head.safetensors")
    description = {
        "format_version": 1,
        "family": "separator",
        "separator": SEPARATOR,
        "head": {"kind": "probability"},
        "trained_for": {"generator": generator_sha256, "temperature": TEMPERATURE},
        "notes": notes,
    }
    (path / "prm_config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def write_golden(model: RewardModel, tokenizer: Any, path: Path, solutions: Sequence[Solution]) -> None:
    """Write reference scores of a few solutions, for checks of a serving engine."""
    scores = score_solutions(model, tokenizer, solutions)
    golden = [
        {"question": question, "steps": list(steps), "scores": values}
        for (question, steps), values in zip(solutions, scores, strict=True)
    ]
    (path / "golden.json").write_text(json.dumps(golden, indent=2) + "\n", encoding="utf-8")
