"""Which problems the sides are compared on: the example's own, or a mix in which a tenth is several times as long.

The length of a problem is that of its worked solution, in the generator's tokens: nothing forces an engine to write
more or less than the model does, so both sides see the lengths that the model gives these problems.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.versus.job import EXAMPLE
from examples.arithmetic.common import Problem, read_problems, solution_text
from examples.arithmetic.problems import parse_question, solve

Lengths = Literal["example", "long-tail"]
TAIL = 10
"""One problem in so many is of the tail; the tail shall be so many times as long as the median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthFacts:
    """Worked solutions of the chosen problems, in tokens; `tail_over_median` is of the longest tenth's median."""

    median: float
    longest: int
    tail_median: float
    tail_over_median: float


def choose_problems(lengths: Lengths, count: int, length_of: Callable[[Problem], int]) -> list[Problem]:
    """The problems of a comparison, in a fixed order.

    Raises:
        ValueError: there are not so many.
    """
    test = read_problems(EXAMPLE / "test.jsonl")
    if lengths == "example":
        chosen = test[:count]
    else:
        harder = [problem for file in ("ood", "train") for problem in read_problems(EXAMPLE / f"{file}.jsonl")]
        chosen = long_tail(test, harder, count, length_of)
    if len(chosen) < count:
        raise ValueError(f"there are only {len(chosen)} such problems")
    return chosen


def long_tail(
    body: Sequence[Problem], longer: Sequence[Problem], count: int, length_of: Callable[[Problem], int]
) -> list[Problem]:
    """Nine short problems of `body` (its own order), then one of the longest of `longer`, and so on."""
    num_tail = max(1, round(count / TAIL))
    tail = sorted(longer, key=length_of, reverse=True)[:num_tail]
    if not tail:
        return []
    short = [problem for problem in body if length_of(problem) * TAIL <= length_of(tail[-1])]
    if len(short) < count - num_tail:
        short = sorted(body, key=length_of)
    rest = iter(short[: count - num_tail])
    spaced = iter(tail)
    return [
        problem
        for at in range(count)
        if (problem := next(spaced if at % TAIL == TAIL - 1 else rest, None) or next(spaced, None)) is not None
    ]


def solution_length(count_tokens: Callable[[str], int]) -> Callable[[Problem], int]:
    """The length of a problem's worked solution, the end-of-answer token included."""

    def length(problem: Problem) -> int:
        solved = solve(parse_question(problem.question))
        if solved is None:
            raise ValueError(f"{problem.problem_id} has no worked solution")
        return count_tokens(solution_text(solved[0])) + 1

    return length


def length_facts(lengths: Sequence[int]) -> LengthFacts:
    """What to report of the chosen problems."""
    ordered = sorted(lengths)
    tail = ordered[-max(1, round(len(ordered) / TAIL)) :]
    middle = median(ordered)
    return LengthFacts(
        median=middle, longest=ordered[-1], tail_median=median(tail), tail_over_median=median(tail) / middle
    )
