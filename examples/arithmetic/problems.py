"""Multi-step arithmetic problems, their worked solutions, and the problem files.

A question is ``Compute 12-7*3+40.``; its solution does the leftmost multiplication first, then the
leftmost addition or subtraction, and writes after each step what is left.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.arithmetic.common import HERE, Problem, named_seed, write_problems

LIMIT: Final = 9999
"""Largest absolute value of any intermediate result."""
MAX_TRAIN_OPERATIONS: Final = 7
DEFAULT_SEED: Final = 20260


@dataclass(frozen=True, slots=True)
class Mix:
    """How operands and operators are drawn.

    ``two_digit``: share of operands with two digits, the others have one; ``multiply``: share of
    multiplications; ``narrow``: multiplications take at most one operand of two digits.
    """

    operations: int
    two_digit: float
    multiply: float
    narrow: bool = True


LEVELS: Final[dict[int, Mix]] = {
    1: Mix(1, 0.15, 0.05),
    2: Mix(2, 0.5, 0.1),
    3: Mix(3, 0.6, 0.15),
    4: Mix(4, 0.6, 0.15),
    5: Mix(5, 0.6, 0.2),
    6: Mix(6, 0.7, 0.3),
    7: Mix(7, 0.95, 0.6),
}
"""The mixes of the train, calibration and test files, by level; all lie in the training distribution."""

OOD: Final[dict[int, Mix]] = {
    8: Mix(8, 0.1, 0.1),
    9: Mix(9, 0.2, 0.1),
}
"""Chains longer than any that the generator is trained on."""


def _operand(rng: random.Random, mix: Mix, *, one_digit: bool) -> int:
    two_digit = rng.random() < mix.two_digit and not one_digit
    return rng.randint(10, 99) if two_digit else rng.randint(2, 9)


def draw_terms(rng: random.Random, mix: Mix) -> list[str]:
    """Draw an expression as alternating operands and operators."""
    terms = [str(_operand(rng, mix, one_digit=False))]
    for _ in range(mix.operations):
        times = rng.random() < mix.multiply
        one_digit = times and mix.narrow and len(terms[-1]) > 1
        terms.append("*" if times else rng.choice("+-"))
        terms.append(str(_operand(rng, mix, one_digit=one_digit)))
    return terms


def _apply(left: int, operator: str, right: int) -> int:
    if operator == "*":
        return left * right
    return left + right if operator == "+" else left - right


def take_step(left: list[str]) -> tuple[str, int, list[str]]:
    """Next operation of an expression: its text, its place, and the expression with the result put in."""
    at = left.index("*") if "*" in left else 1
    value = _apply(int(left[at - 1]), left[at], int(left[at + 1]))
    return "".join(left[at - 1 : at + 2]), at - 1, [*left[: at - 1], str(value), *left[at + 2 :]]


def step_text(done: str, result: str, left: list[str]) -> str:
    """Text of a worked step."""
    return f"{done}={result} so {''.join(left)}"


def solve(terms: list[str]) -> tuple[list[str], int] | None:
    """Worked steps and answer of an expression, or None where a result is out of bounds."""
    steps: list[str] = []
    left = list(terms)
    while len(left) > 1:
        done, at, left = take_step(left)
        if abs(int(left[at])) > LIMIT:
            return None
        steps.append(step_text(done, left[at], left))
    steps.append(f"\\boxed{{{left[0]}}}")
    return steps, int(left[0])


def parse_question(question: str) -> list[str]:
    """Terms of a question's expression."""
    expression = question.removeprefix("Compute ").removesuffix(".")
    for operator in "+-*":
        expression = expression.replace(operator, f" {operator} ")
    return expression.split()


def split_of(question: str) -> str:
    """Split that a question belongs to, by its hash: train (80%), calibration (10%), test (10%)."""
    bucket = int.from_bytes(hashlib.blake2b(question.encode(), digest_size=8).digest(), "big") % 10
    return {8: "calibration", 9: "test"}.get(bucket, "train")


def draw_problem(rng: random.Random, mix: Mix, split: str | None) -> tuple[str, list[str], int]:
    """Draw a question of a split (None: of any), with its steps and answer."""
    while True:
        terms = draw_terms(rng, mix)
        question = f"Compute {''.join(terms)}."
        if split is not None and split_of(question) != split:
            continue
        solved = solve(terms)
        if solved is not None:
            return question, solved[0], solved[1]


def training_mix(rng: random.Random) -> Mix:
    """Draw a mix of the broad training distribution."""
    return Mix(
        operations=rng.randint(1, MAX_TRAIN_OPERATIONS),
        two_digit=rng.random(),
        multiply=rng.uniform(0.0, 0.6),
        narrow=rng.random() < 0.75,
    )


def training_documents(seed: int) -> Iterator[tuple[str, list[str]]]:
    """Endless stream of (question, steps) of the train split."""
    rng = random.Random(named_seed("generator-data", seed))
    while True:
        question, steps, _ = draw_problem(rng, training_mix(rng), "train")
        yield question, steps


def problem_set(name: str, count: int, mixes: dict[int, Mix], split: str | None, seed: int) -> list[Problem]:
    """Distinct problems of a split, the levels in turn."""
    rng = random.Random(named_seed("problems", name, seed))
    levels = sorted(mixes)
    seen: set[str] = set()
    problems: list[Problem] = []
    while len(problems) < count:
        level = levels[len(problems) % len(levels)]
        question, _, answer = draw_problem(rng, mixes[level], split)
        if question not in seen:
            seen.add(question)
            problems.append(Problem(f"{name}-{len(problems):05d}", question, str(answer), level))
    return problems


def write_files(output: Path, train: int, seed: int) -> None:
    """Write the four problem files."""
    write_problems(output / "train.jsonl", problem_set("train", train, LEVELS, "train", seed))
    write_problems(output / "calibration.jsonl", problem_set("calibration", 2000, LEVELS, "calibration", seed))
    write_problems(output / "test.jsonl", problem_set("test", 500, LEVELS, "test", seed))
    write_problems(output / "ood.jsonl", problem_set("ood", 200, OOD, None, seed))


def main() -> None:
    """Write the problem files."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--train", type=int, default=5000, help="problems in the train file")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    write_files(args.output, args.train, args.seed)


if __name__ == "__main__":
    main()
