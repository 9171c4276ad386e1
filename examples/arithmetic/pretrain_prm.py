"""Teach the body of the reward model to check arithmetic, on right solutions and solutions with a slip.

The weights start from a stronger sibling of the generator, trained for longer (see `prm_init`).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from examples.arithmetic.common import HERE, named_seed, sha256_file
from examples.arithmetic.prm import RewardModel, encode_solution, save_prm
from examples.arithmetic.prm_init import starting_backbone
from examples.arithmetic.problems import DEFAULT_SEED, draw_problem, parse_question, training_mix
from examples.arithmetic.slips import solve_with_slip
from examples.arithmetic.train_prm import Example, train


def checked_example(tokenizer: Any, question: str, steps: Sequence[str], truth: Sequence[str]) -> Example:
    """A solution labelled at every token after the question: 1 as long as it agrees with the worked one."""
    ids, places = encode_solution(tokenizer, question, steps)
    right, _ = encode_solution(tokenizer, question, truth)
    agreed = next((at for at, pair in enumerate(zip(ids, right, strict=False)) if pair[0] != pair[1]), len(ids))
    tokens = range(places[0], len(ids))
    return Example(ids, list(tokens), [int(at < agreed) for at in tokens], 1.0, question)


def slip_examples(tokenizer: Any, questions: int, seed: int) -> list[Example]:
    """A right solution and one with a slip for every question."""
    rng = random.Random(named_seed("slips", seed))
    examples: list[Example] = []
    for _ in range(questions):
        question, steps, answer = draw_problem(rng, training_mix(rng), "train")
        slipped = solve_with_slip(rng, parse_question(question), answer)
        versions = [steps] if slipped is None else [steps, slipped]
        examples += [checked_example(tokenizer, question, some, steps) for some in versions]
    return examples


def main() -> None:
    """Make examples, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=Path, required=True, help="folder of the stronger sibling")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=16_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--peak-rate", type=float, default=1e-3)
    parser.add_argument("--report-every", type=int, default=50)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tokenizer: Any = AutoTokenizer.from_pretrained(args.start)
    model = RewardModel(starting_backbone(args.start)).train()
    data = (slip_examples(tokenizer, args.questions, args.seed), slip_examples(tokenizer, 200, args.seed + 1))
    train(model, data, int(tokenizer.pad_token_id), args)
    generator = sha256_file(HERE / "generator" / "model.safetensors")
    save_prm(model, tokenizer, args.output, generator, "Not yet a reward model: trained on slips made by rule only.")


if __name__ == "__main__":
    main()
