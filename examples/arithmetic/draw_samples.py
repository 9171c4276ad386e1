"""Sample problem files for `measure`: solutions of every problem, and rollouts from some prefixes."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from examples.arithmetic.common import (
    HERE,
    TEMPERATURE,
    Problem,
    is_right,
    named_seed,
    read_jsonl,
    read_problems,
    write_jsonl,
)
from examples.arithmetic.problems import DEFAULT_SEED
from examples.arithmetic.sampling import Continuation, Request, Sampler


@dataclass(frozen=True, slots=True)
class Prefix:
    """Steps of a partial solution, and how often rollouts from it were right."""

    steps: tuple[str, ...]
    rollouts: int
    right: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """All that was sampled for a problem at the evaluation temperature."""

    problem: Problem
    samples: tuple[Continuation, ...]
    prefixes: tuple[Prefix, ...]


def read_drawn(path: Path) -> list[Drawn]:
    """Read a file that this script wrote."""
    return [_drawn(row) for row in read_jsonl(path)]


def _drawn(row: dict[str, Any]) -> Drawn:
    return Drawn(
        Problem(**row["problem"]),
        tuple(Continuation(tuple(s["steps"]), s["finished"], s["tokens"]) for s in row["samples"]),
        tuple(Prefix(tuple(p["steps"]), p["rollouts"], p["right"]) for p in row["prefixes"]),
    )


def choose_prefixes(problem: Problem, samples: Sequence[Continuation], each: int, seed: int) -> list[tuple[str, ...]]:
    """Some prefixes of a problem's samples: at least one step, the final answer not given."""
    rng = random.Random(named_seed("prefixes", seed, problem.problem_id))
    long = [sample.steps for sample in rng.sample(list(samples), each) if len(sample.steps) > 1]
    return [steps[: rng.randint(1, len(steps) - 1)] for steps in long]


def count_right(samples: Sequence[Continuation], answer: str) -> int:
    """How many of the samples end with the right answer."""
    return sum(s.finished and bool(s.steps) and is_right(s.steps[-1], answer) for s in samples)


def draw(sampler: Sampler, problems: list[Problem], args: argparse.Namespace) -> list[Drawn]:
    """Sample all problems, then the rollouts from prefixes of these samples."""
    requests = [Request(p.question, (), args.samples, named_seed(args.seed, "measure", p.problem_id)) for p in problems]
    samples = sampler.sample(requests, TEMPERATURE)
    chosen = [
        (problem, steps)
        for problem, several in zip(problems, samples, strict=True)
        for steps in choose_prefixes(problem, several, args.prefixes, args.seed)
    ]
    again = [
        Request(p.question, steps, args.rollouts, named_seed(args.seed, "monte-carlo", p.problem_id, *steps))
        for p, steps in chosen
    ]
    prefixes: dict[str, list[Prefix]] = {problem.problem_id: [] for problem in problems}
    for (problem, steps), several in zip(chosen, sampler.sample(again, TEMPERATURE), strict=True):
        right = count_right(several, problem.answer)
        prefixes[problem.problem_id].append(Prefix(steps, args.rollouts, right))
    return [Drawn(p, tuple(s), tuple(prefixes[p.problem_id])) for p, s in zip(problems, samples, strict=True)]


def main() -> None:
    """Sample one or more problem files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", type=Path, default=HERE / "generator")
    parser.add_argument("--files", type=Path, nargs="+", default=[HERE / "test.jsonl", HERE / "ood.jsonl"])
    parser.add_argument("--output", type=Path, required=True, help="folder for one file per problem file")
    parser.add_argument("--first", type=int, default=None, help="only so many problems of each file")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--prefixes", type=int, default=2, help="prefixes of each problem for Monte Carlo; 0: none")
    parser.add_argument("--rollouts", type=int, default=32, help="rollouts of each of these prefixes")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    sampler = Sampler(args.generator)
    for path in args.files:
        started, before = time.monotonic(), sampler.sampled_tokens
        write_jsonl(
            args.output / path.name, (asdict(row) for row in draw(sampler, read_problems(path)[: args.first], args))
        )
        seconds, tokens = time.monotonic() - started, sampler.sampled_tokens - before
        print(json.dumps({"file": path.name, "tokens": tokens, "seconds": round(seconds)}), flush=True)


if __name__ == "__main__":
    main()
