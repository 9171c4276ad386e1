"""Train the generator: the arithmetic example's weights, taught to think before they answer.

A training that was ended goes on from its last checkpoint when the same command is run again, with the same documents.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from examples.arithmetic.common import HERE as ARITHMETIC
from examples.arithmetic.train_generator import learning_rate, optimizer_for, save_generator
from examples.thinking.documents import IGNORED, Document, draw_documents, make_batch, packed_by_length
from examples.thinking.tokenizer import MODEL_MAX_LENGTH, build_tokenizer

HERE: Final = Path(__file__).resolve().parent
DEFAULT_SEED: Final = 20264
NEW_ROW_SPREAD: Final = 0.02


def rate_at(step: int, args: argparse.Namespace) -> float:
    """The arithmetic example's schedule over `steps`, and from `cool_from` on a straight line to 2% of the peak."""
    rate = learning_rate(min(step, args.cool_from), args.steps, args.peak_rate)
    left = 1 - max(0, step - args.cool_from) / args.cool_steps
    floor: float = 0.02 * args.peak_rate
    return float(floor + left * (rate - floor))


def initial_model(start: Path, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """The weights of another generator with rows for the tokens that are new, and room for long thoughts."""
    torch.manual_seed(seed)
    model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    known = int(model.config.vocab_size or 0)
    resized: Any = model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        table: Tensor = resized.weight
        new = torch.randn(len(tokenizer) - known, table.shape[1]) * NEW_ROW_SPREAD
        table[known:] = table[:known].mean(dim=0) + new
    model.config.max_position_embeddings = MODEL_MAX_LENGTH
    model.train()
    return model


def summed_loss(model: LlamaForCausalLM, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, int]:
    """Cross-entropy over the labelled tokens of packed rows, summed, and how many these are."""
    ids, positions, labels, mask = batch
    wanted = labels != IGNORED
    states = model.model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state
    logits = model.lm_head(states[wanted])
    return torch.nn.functional.cross_entropy(logits, labels[wanted], reduction="sum"), int(wanted.sum())


def learn(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, documents: list[Document], pad: int) -> float:
    """One step of the optimizer on documents; the mean loss of their labelled tokens."""
    optimizer.zero_grad(set_to_none=True)
    total, labelled = 0.0, 0
    for rows in packed_by_length(documents):
        loss, count = summed_loss(model, make_batch(rows, pad))
        torch.autograd.backward(loss)
        total, labelled = total + loss.item(), labelled + count
    for value in model.parameters():
        if value.grad is not None:
            value.grad /= labelled
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return total / labelled


def save_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write a checkpoint in one piece: a half-written one never stands under the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, part)
    part.replace(path)


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take up a checkpoint, if there is one; the steps done."""
    if not path.exists():
        return 0
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def train(args: argparse.Namespace) -> None:
    """Run the training, or what is left of it, and save the generator."""
    torch.set_num_threads(args.threads)
    tokenizer = build_tokenizer()
    model = initial_model(args.start, tokenizer, args.seed)
    optimizer = optimizer_for(model)
    checkpoint = args.checkpoint / "checkpoint.pt"
    begun = load_checkpoint(checkpoint, model, optimizer)
    started, total, tokens = time.monotonic(), 0.0, 0
    last = args.cool_from + args.cool_steps
    for step in range(begun + 1, last + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step - 1, args)
        documents = draw_documents(tokenizer, args.seed, step, args.documents)
        total += learn(model, optimizer, documents, tokenizer.pad_token_id)
        tokens += sum(document.num_tokens for document in documents)
        if step % args.every == 0:
            seconds = time.monotonic() - started
            line = {"step": step, "of": last, "loss": round(total / args.every, 4), "seconds": round(seconds)}
            print(json.dumps(line | {"tokens_per_s": round(tokens / seconds)}), flush=True)
            save_checkpoint(checkpoint, model, optimizer, step)
            total = 0.0
    save_generator(model, tokenizer, args.output)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=Path, default=ARITHMETIC / "generator", help="folder of the weights begun with")
    parser.add_argument("--output", type=Path, default=HERE / "generator")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=300, help="of the schedule that the rate follows at first")
    parser.add_argument("--cool-from", type=int, default=110, help="step from which on the rate falls to its end")
    parser.add_argument("--cool-steps", type=int, default=70, help="steps of that; then the training ends")
    parser.add_argument("--documents", type=int, default=16, help="documents per step")
    parser.add_argument("--peak-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=50, help="steps between two checkpoints")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
