"""Train the generator from scratch on worked solutions of the train split."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.arithmetic.common import HERE, prompt_text, solution_text
from examples.arithmetic.guesses import guessing_documents
from examples.arithmetic.problems import DEFAULT_SEED, training_documents
from examples.arithmetic.tokenizer import MODEL_MAX_LENGTH, build_tokenizer

ROW_TOKENS: Final = 256
POOL_DOCUMENTS: Final = 512
IGNORED: Final = -100

Document = tuple[list[int], int]
"""Token ids of a document, and how many of them are the prompt (no loss on these)."""


def model_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Architecture of the generator: 1.8 million parameters."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=MODEL_MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def encoded_documents(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[tuple[str, list[str]]]
) -> Iterator[Document]:
    """Endless token documents (question, separator, steps, end) that fit a row."""
    end: list[int] = tokenizer("<eos>", add_special_tokens=False)["input_ids"]
    for question, steps in documents:
        prompt: list[int] = tokenizer(prompt_text(question))["input_ids"]
        body: list[int] = tokenizer(solution_text(steps), add_special_tokens=False)["input_ids"]
        if len(prompt) + len(body) < ROW_TOKENS:
            yield prompt + body + end, len(prompt)


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Rows of at most ``capacity``, as indices of ``lengths``, first fit by falling length."""
    rows: list[list[int]] = []
    room: list[int] = []
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        fit = next((row for row, free in enumerate(room) if free >= lengths[at]), None)
        if fit is None:
            fit = len(rows)
            rows.append([])
            room.append(capacity)
        rows[fit].append(at)
        room[fit] -= lengths[at]
    return rows


def packed_rows(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Pack documents into rows of at most ROW_TOKENS, first fit by falling length, pool by pool."""
    while True:
        pool = [next(documents) for _ in range(POOL_DOCUMENTS)]
        rows = first_fit([len(document[0]) for document in pool], ROW_TOKENS)
        rows.sort(key=min)
        for row in rows:
            yield [pool[at] for at in row]


def make_batch(rows: list[list[Document]], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tensors of packed rows: ids, positions, labels [rows, T] and the mask [rows, 1, T, T].

    A token attends to earlier tokens of its own document only; labels are already shifted.
    """
    ids = torch.full((len(rows), ROW_TOKENS), pad)
    positions = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    owner = torch.full_like(ids, -1)
    for row, documents in enumerate(rows):
        at = 0
        for number, (tokens, prompt) in enumerate(documents):
            span = slice(at, at + len(tokens))
            ids[row, span] = torch.tensor(tokens)
            positions[row, span] = torch.arange(len(tokens))
            labels[row, at + prompt - 1 : at + len(tokens) - 1] = torch.tensor(tokens[prompt:])
            owner[row, span] = number
            at += len(tokens)
    same = owner[:, None, :, None] == owner[:, None, None, :]
    causal = torch.ones(ROW_TOKENS, ROW_TOKENS, dtype=torch.bool).tril()
    return ids, positions, labels, same & causal


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 2% of the steps, then cosine to 2% of the peak."""
    warm = max(1, steps // 50)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.02 + 0.49 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))


def save_generator(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Write model and tokenizer in the Hugging Face layout, the weights as the model holds them."""
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def optimizer_for(model: torch.nn.Module) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    matrices = [value for value in model.parameters() if value.ndim > 1]
    vectors = [value for value in model.parameters() if value.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)


def initial_model(tokenizer: PreTrainedTokenizerFast, start: Path | None) -> LlamaForCausalLM:
    """A fresh model, or the weights of an earlier phase."""
    if start is not None:
        saved: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
        saved.train()
        return saved
    make: Callable[[LlamaConfig], LlamaForCausalLM] = LlamaForCausalLM
    fresh: LlamaForCausalLM = make(model_config(tokenizer))
    return fresh


def solution_loss(model: LlamaForCausalLM, rows: list[list[Document]], pad: int) -> Tensor:
    """Mean cross-entropy over the solution tokens of packed rows."""
    ids, positions, labels, mask = make_batch(rows, pad)
    wanted = labels != IGNORED
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model.model(
            input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
        ).last_hidden_state
        logits = model.lm_head(states[wanted])
    return torch.nn.functional.cross_entropy(logits.float(), labels[wanted])


def chosen_documents(args: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """The solutions that the command line asks for."""
    if args.documents == "guessing":
        return guessing_documents(args.seed, args.guess_scale)
    return training_documents(args.seed)


def train(args: argparse.Namespace) -> None:
    """Run the training and save the generator, now and then and at the end."""
    torch.manual_seed(args.seed)
    tokenizer = build_tokenizer()
    model = initial_model(tokenizer, args.start)
    optimizer = optimizer_for(model)
    rows = packed_rows(encoded_documents(tokenizer, chosen_documents(args)))
    steps = args.tokens // (args.rows * ROW_TOKENS)
    started, total = time.monotonic(), 0.0
    for step in range(1, min(steps, args.stop_after or steps) + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step - 1, steps, args.peak_rate)
        loss = solution_loss(model, [next(rows) for _ in range(args.rows)], int(model.config.pad_token_id or 0))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if step % args.log_every == 0:
            seconds = time.monotonic() - started
            speed = round(step * args.rows * ROW_TOKENS / seconds)
            line = {"step": step, "of": steps, "loss": round(total / args.log_every, 4), "tokens_per_s": speed}
            print(json.dumps(line | {"seconds": round(seconds)}), flush=True)
            total = 0.0
        if args.checkpoint is not None and step % args.checkpoint_every == 0:
            save_generator(model, tokenizer, args.checkpoint / f"step{step}")
    save_generator(model.to(getattr(torch, args.weights)), tokenizer, args.output)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "generator")
    parser.add_argument("--documents", choices=("exact", "guessing"), default="exact", help="whose solutions")
    parser.add_argument("--guess-scale", type=float, default=1.0, help="multiplies the guess rates of `guessing`")
    parser.add_argument("--tokens", type=int, default=22_000_000, help="tokens of packed rows in all")
    parser.add_argument("--start", type=Path, default=None, help="folder of an earlier phase's weights")
    parser.add_argument("--stop-after", type=int, default=None, help="end a phase after so many steps")
    parser.add_argument(
        "--weights", choices=("float32", "bfloat16"), default="float32", help="what is written at the end"
    )
    parser.add_argument("--rows", type=int, default=16, help="rows of 256 tokens per step")
    parser.add_argument("--peak-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--checkpoint", type=Path, default=None, help="folder for checkpoints")
    parser.add_argument("--checkpoint-every", type=int, default=500)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
