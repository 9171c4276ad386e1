"""Worked solutions with one slip, made by rule: what a checker of arithmetic learns from."""

from __future__ import annotations

import random
from typing import Final

from examples.arithmetic.problems import step_text, take_step

NEAR: Final = (-100, -10, -9, -2, -1, 1, 2, 9, 10, 100)


def slip_number(rng: random.Random, number: str) -> str:
    """A wrong number near the right one: one digit, the sign, or a small amount off."""
    draw = rng.random()
    if draw < 0.4:
        return str(int(number) + rng.choice(NEAR))
    if draw < 0.5 and int(number) != 0:
        return str(-int(number))
    digits = list(number)
    at = rng.choice([place for place, digit in enumerate(digits) if digit.isdigit()])
    digits[at] = rng.choice([digit for digit in "123456789" if digit != digits[at]])
    return "".join(digits)


def slip_rest(rng: random.Random, left: list[str], skip: int) -> list[str]:
    """What is left with one term lost, an operator changed, or an operand copied wrongly."""
    wrong = list(left)
    operators = list(range(1, len(left), 2))
    operands = [place for place in range(2, len(left), 2) if place != skip]
    draw = rng.random()
    if draw < 0.25:
        at = rng.choice(operators)
        return wrong[:at] + wrong[at + 2 :]
    if draw < 0.5 or not operands:
        at = rng.choice(operators)
        wrong[at] = rng.choice([operator for operator in "+-*" if operator != wrong[at]])
        return wrong
    at = rng.choice(operands)
    wrong[at] = slip_number(rng, wrong[at]).lstrip("-")
    return wrong


def solve_with_slip(rng: random.Random, terms: list[str], answer: int) -> list[str] | None:
    """Steps with one slip, the later ones true to it; None where the answer comes out right all the same."""
    slip_at = rng.randrange(len(terms) // 2 + 1)
    steps: list[str] = []
    left = list(terms)
    while len(left) > 1:
        done, at, left = take_step(left)
        result = left[at]
        if len(steps) == slip_at:
            if len(left) == 1 or rng.random() < 0.6:
                result = left[at] = slip_number(rng, result)
            else:
                left = slip_rest(rng, left, at)
        steps.append(step_text(done, result, left))
    final = slip_number(rng, left[0]) if len(steps) <= slip_at else left[0]
    steps.append(f"\\boxed{{{final}}}")
    return None if int(final) == answer else steps
