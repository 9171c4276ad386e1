"""Worked solutions of a solver that guesses now and then, and says so: what the generator is trained on.

A step that is worked out reads `a op b=c so ...`, a guess `a op b~c so ...`. Most guesses are wrong, and whatever
follows is true to the number that was written. How often an operation is guessed depends on its size and, fixed by a
hash, on the operation itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from examples.arithmetic.common import named_seed
from examples.arithmetic.problems import draw_problem, parse_question, take_step, training_mix

WRONG_GUESSES: Final = 0.85
NEAR: Final = (1, 2, 9, 10, 11, 20, 100)
"""How far off a wrong guess is."""


def guess_rate(done: str) -> float:
    """Share of times that an operation such as `45*95` is guessed, in [0, 1]."""
    product = "*" in done
    operands = [part for part in done.lstrip("-").replace("*", "+").replace("-", "+").split("+") if part]
    longest = max(len(part) for part in operands)
    shortest = min(len(part) for part in operands)
    if product:
        base = 0.12 if longest == 1 else 0.5 if shortest == 1 else 0.75
    else:
        base = 0.05 if longest == 1 else 0.2 if longest == 2 else 0.3
    return min(0.95, base * (0.5 + named_seed("guess", done) % 1000 / 1000))


def wrong_number(rng: random.Random, value: int) -> int:
    """A number near the right one, on the same side of zero."""
    while True:
        wrong = value + rng.choice(NEAR) * rng.choice((-1, 1))
        if (wrong < 0) == (value < 0):
            return wrong


def guessing_solution(rng: random.Random, terms: list[str], scale: float = 1.0) -> list[str]:
    """Steps and final answer as the solver that guesses writes them; ``scale`` multiplies every guess rate."""
    steps: list[str] = []
    left = list(terms)
    while len(left) > 1:
        done, at, left = take_step(left)
        guessed = rng.random() < scale * guess_rate(done)
        if guessed and rng.random() < WRONG_GUESSES:
            left[at] = str(wrong_number(rng, int(left[at])))
        steps.append(f"{done}{'~' if guessed else '='}{left[at]} so {''.join(left)}")
    return [*steps, f"\\boxed{{{left[0]}}}"]


def guessing_documents(seed: int, scale: float = 1.0) -> Iterator[tuple[str, list[str]]]:
    """Endless stream of (question, steps) of the train split, by a solver whose guess rates are scaled."""
    rng = random.Random(named_seed("guessing-data", seed))
    while True:
        question, _, _ = draw_problem(rng, training_mix(rng), "train")
        yield question, guessing_solution(rng, parse_question(question), scale)
