"""Training documents: a question, a thought with its answer, and answers that the thought was cut off for.

A document is a tree of two levels. Its trunk is what the model shall write. Its branches are forced answers: at a
random place the thought is closed and the right answer follows, so that a model that is asked in the middle of it
answers as well as it can by then, and is as sure as it is right. The close itself is never learned there: the trunk
alone teaches when to stop.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from examples.arithmetic.common import SEPARATOR, named_seed, prompt_text
from examples.arithmetic.problems import Mix, draw_problem, parse_question
from examples.arithmetic.train_generator import first_fit
from examples.thinking.thoughts import Thinker, answer_text, thought_text
from examples.thinking.tokenizer import END_THINK

SHORT_ROW_TOKENS: Final = 448
ROW_TOKENS: Final = 864
CONTEXT: Final = 800
"""Tokens of a trunk; a longer thought is cut there and has no end."""
BRANCHES: Final = 3
MAX_OPERATIONS: Final = 5
IGNORED: Final = -100


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids of a trunk, how many of them are the prompt, and branches as (place in the trunk, token ids).

    No loss falls on the prompt and on a branch's first token, which closes the thought.
    """

    trunk: list[int]
    prompt: int
    branches: list[tuple[int, list[int]]]

    @property
    def num_tokens(self) -> int:
        """Of trunk and branches."""
        return len(self.trunk) + sum(len(ids) for _, ids in self.branches)


def training_mix(rng: random.Random) -> Mix:
    """Draw a mix of problems: as the arithmetic example's, with fewer operations."""
    return Mix(rng.randint(1, MAX_OPERATIONS), rng.random(), rng.uniform(0.0, 0.4), rng.random() < 0.75)


def draw_document(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Document:
    """One document of the train split."""
    question, _, answer = draw_problem(rng, training_mix(rng), "train")
    thinker = Thinker(rng, parse_question(question))
    belief = thinker.think()

    def encoded(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    prompt: list[int] = tokenizer(prompt_text(question))["input_ids"]
    thought = encoded(thought_text(thinker.paragraphs))
    trunk = prompt + thought + encoded(f"{answer_text(belief)}<eos>")
    last = min(len(prompt) + len(thought) - 2, CONTEXT)
    cuts = [rng.randint(len(prompt) + 1, last) for _ in range(BRANCHES)]
    forced = encoded(f"{END_THINK}{SEPARATOR}{answer_text(str(answer))}<eos>")
    return Document(trunk[:CONTEXT], len(prompt), [(cut, forced) for cut in cuts])


def draw_documents(tokenizer: PreTrainedTokenizerFast, seed: int, step: int, count: int) -> list[Document]:
    """The documents of a training step: they depend on seed and step only, so that training goes on where it was."""
    rng = random.Random(named_seed("thinking-data", seed, step))
    return [draw_document(tokenizer, rng) for _ in range(count)]


def packed(documents: Sequence[Document], capacity: int) -> list[list[Document]]:
    """Rows of at most ``capacity`` tokens, first fit by falling length."""
    rows = first_fit([document.num_tokens for document in documents], capacity)
    return [[documents[at] for at in row] for row in rows]


def packed_by_length(documents: Sequence[Document]) -> list[list[list[Document]]]:
    """Rows of short documents, and rows of long ones: attention costs as much as the row is long."""
    short = [document for document in documents if document.num_tokens <= SHORT_ROW_TOKENS]
    long = [document for document in documents if document.num_tokens > SHORT_ROW_TOKENS]
    sizes = ((short, SHORT_ROW_TOKENS), (long, ROW_TOKENS))
    return [packed(some, capacity) for some, capacity in sizes if some]


def make_batch(rows: list[list[Document]], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tensors of packed rows: ids, positions, labels [rows, T] and the mask [rows, 1, T, T]; labels are shifted.

    A token attends to earlier tokens of its own trunk, and in a branch to the trunk before its place and to the branch.
    """
    shape = (len(rows), max(sum(document.num_tokens for document in row) for row in rows))
    ids, positions = torch.full(shape, pad), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED)
    owner, branch, limit = torch.full(shape, -1), torch.zeros_like(ids), torch.zeros_like(ids)
    for row, documents in enumerate(rows):
        at = 0
        for number, document in enumerate(documents):
            parts = [(0, document.trunk, document.prompt), *((cut, tokens, 1) for cut, tokens in document.branches)]
            for part, (start, tokens, unlearned) in enumerate(parts):
                span = slice(at, at + len(tokens))
                ids[row, span] = torch.tensor(tokens)
                positions[row, span] = torch.arange(start, start + len(tokens))
                labels[row, at + unlearned - 1 : at + len(tokens) - 1] = torch.tensor(tokens[unlearned:])
                owner[row, span], branch[row, span] = number, part
                limit[row, span] = start if part else len(tokens)
                at += len(tokens)
    same = owner[:, :, None] == owner[:, None, :]
    earlier = positions[:, None, :] <= positions[:, :, None]
    trunk = (branch[:, None, :] == 0) & (positions[:, None, :] < limit[:, :, None])
    inside = branch[:, :, None] == branch[:, None, :]
    return ids, positions, labels, (same & earlier & (trunk | inside))[:, None]
