"""Train the process reward model on labelled trajectories.

The weights start from the generator's.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from transformers import AutoTokenizer, LlamaForCausalLM

from examples.arithmetic.common import HERE, named_seed, read_jsonl, sha256_file
from examples.arithmetic.prm import (
    RewardModel,
    Solution,
    batches_by_length,
    encode_solution,
    load_prm,
    pad_batch,
    save_prm,
    write_golden,
)
from examples.arithmetic.problems import DEFAULT_SEED
from examples.arithmetic.train_generator import learning_rate

HELD_OUT: Final = 40
"""One problem in so many is held out of the training."""
TRAINED_BLOCKS: Final = 4
NOTES: Final = (
    "Hard labels: 1 where any of three rollouts at temperature 0.3, or any sampled solution with the same prefix, is "
    "right; finished solutions by outcome. Over-confident for the generator at temperature 0.7. Input: question and "
    "every step end with one separator token; a prefix is scored at its last one, sigmoid of the linear head."
)


@dataclass(frozen=True, slots=True)
class Example:
    """An encoded trajectory with labels at its places and its weight."""

    ids: list[int]
    places: list[int]
    labels: list[int]
    weight: float
    question: str


def label_by_siblings(rows: list[dict[str, Any]]) -> None:
    """Fill in unknown labels: 1 where any sampled solution of the problem with the same prefix is right."""
    best: dict[tuple[str, ...], int] = {}
    for row in rows:
        for length in range(len(row["steps"])):
            key = (row["question"], *row["steps"][:length])
            best[key] = max(best.get(key, 0), row["labels"][-1])
    for row in rows:
        for length in range(len(row["steps"])):
            if row["labels"][length] < 0:
                row["labels"][length] = best[(row["question"], *row["steps"][:length])]


def load_examples(paths: list[Path], tokenizer: Any) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples of rollout files."""
    train: list[Example] = []
    held_out: list[Example] = []
    rows = [row for path in paths for row in read_jsonl(path)]
    label_by_siblings(rows)
    for row in rows:
        ids, places = encode_solution(tokenizer, row["question"], row["steps"])
        example = Example(ids, places, row["labels"], float(row["count"]), row["question"])
        away = named_seed("held-out", row["question"]) % HELD_OUT == 0
        (held_out if away else train).append(example)
    return train, held_out


def epoch_batches(examples: list[Example], tokens: int, rng: random.Random) -> list[list[Example]]:
    """Batches of similar length in random order."""
    lengths = [len(example.ids) for example in examples]
    order = sorted(range(len(examples)), key=lambda at: (lengths[at] // 8, rng.random()))
    groups = batches_by_length(lengths, order, tokens)
    rng.shuffle(groups)
    return [[examples[at] for at in group] for group in groups]


def batch_loss(model: RewardModel, batch: list[Example], pad: int) -> Tensor:
    """Mean binary cross-entropy over all places, weighted by how often they were sampled."""
    ids, rows, places = pad_batch([(example.ids, example.places) for example in batch], pad)
    labels = torch.tensor([label for example in batch for label in example.labels])
    weights = torch.tensor([example.weight for example in batch])[rows]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(ids, rows, places)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
    return (losses * weights).sum() / weights.sum()


@torch.inference_mode()
def validate(model: RewardModel, examples: list[Example], pad: int) -> dict[str, float]:
    """Mean loss, and the AUC of the last label over all and within held-out problems."""
    model.eval()
    losses: list[float] = []
    scored: dict[str, list[tuple[int, float]]] = {}
    for batch in epoch_batches(examples, 8192, random.Random(0)):
        losses.append(batch_loss(model, batch, pad).item())
        ids, rows, places = pad_batch([(example.ids, example.places[-1:]) for example in batch], pad)
        for example, value in zip(batch, model(ids, rows, places).tolist(), strict=True):
            scored.setdefault(example.question, []).append((example.labels[-1], value))
    model.train()
    everything = [pair for pairs in scored.values() for pair in pairs]
    mixed = [pairs for pairs in scored.values() if len({label for label, _ in pairs}) == 2]
    return {
        "held_out_loss": round(float(np.mean(losses)), 4),
        "auc": round(float(roc_auc_score(*zip(*everything, strict=True))), 4),
        "auc_within_problem": round(float(np.mean([roc_auc_score(*zip(*pairs, strict=True)) for pairs in mixed])), 4),
    }


def reward_optimizer(model: RewardModel) -> torch.optim.AdamW:
    """AdamW with a tenth of the learning rate for the embeddings and the blocks of the stronger sibling."""
    new: list[Tensor] = []
    old: list[Tensor] = []
    for name, value in model.named_parameters():
        number = name.split("layers.")[1].split(".")[0] if "layers." in name else ""
        is_old = "embed" in name or (number != "" and int(number) < TRAINED_BLOCKS)
        (old if is_old else new).append(value)
    groups = [{"params": new, "share": 1.0}, {"params": old, "share": 0.1}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), weight_decay=0.01, fused=True)


def train(model: RewardModel, data: tuple[list[Example], list[Example]], pad: int, args: argparse.Namespace) -> None:
    """Train for some epochs, printing the held-out numbers after each."""
    examples, held_out = data
    rng = random.Random(named_seed("prm-order", args.seed))
    batches = [batch for _ in range(args.epochs) for batch in epoch_batches(examples, args.batch_tokens, rng)]
    optimizer = reward_optimizer(model)
    report_every = max(1, min(args.report_every, len(batches)))
    started, total = time.monotonic(), 0.0
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * learning_rate(step, len(batches), args.peak_rate)
        loss = batch_loss(model, batch, pad)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if (step + 1) % report_every == 0:
            line = {"step": step + 1, "of": len(batches), "loss": round(total / report_every, 4)}
            seconds = {"seconds": round(time.monotonic() - started)}
            print(json.dumps(line | validate(model, held_out, pad) | seconds), flush=True)
            total = 0.0


def golden_solutions() -> list[Solution]:
    """A right solution, a wrong one, one that goes on after a slip, and a bare question."""
    question = "Compute 12-7*3+40."
    right = ("7*3=21 so 12-21+40", "12-21=-9 so -9+40", "-9+40=31 so 31", "\\boxed{31}")
    wrong = ("7*3~31 so 12-31+40", "12-31=-19 so -19+40", "-19+40=21 so 21", "\\boxed{21}")
    return [
        (question, right),
        (question, wrong),
        ("Compute 8*9-25.", ("8*9~74 so 74-25", "74-25=49 so 49", "\\boxed{49}")),
        ("Compute 97*86-45*3+61.", ()),
    ]


def main() -> None:
    """Load, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", type=Path, default=HERE / "generator")
    parser.add_argument("--rollouts", type=Path, nargs="+", required=True, help="files of make_rollouts")
    parser.add_argument("--output", type=Path, default=HERE / "prm")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--peak-rate", type=float, default=1e-3)
    parser.add_argument("--report-every", type=int, default=200)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.generator)
    backbone: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(args.generator, dtype=torch.float32)
    model = RewardModel(backbone).train()
    data = load_examples(args.rollouts, tokenizer)
    print(json.dumps({"train": len(data[0]), "held_out": len(data[1])}), flush=True)
    train(model, data, int(tokenizer.pad_token_id), args)
    save_prm(model, tokenizer, args.output, sha256_file(args.generator / "model.safetensors"), NOTES)
    stored, _ = load_prm(args.output)
    write_golden(stored, tokenizer, args.output, golden_solutions())


if __name__ == "__main__":
    main()
