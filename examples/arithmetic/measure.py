"""Measure the generator and the reward model on a problem file."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.arithmetic.common import (
    HERE,
    TEMPERATURE,
    Problem,
    boxed_answer,
    is_right,
    named_seed,
    read_problems,
)
from examples.arithmetic.metrics import (
    Sample,
    Scored,
    by_level,
    calibration,
    rounded,
    selection_accuracy,
    terminal_auc,
)
from examples.arithmetic.prm import Solution, load_prm, score_solutions
from examples.arithmetic.problems import DEFAULT_SEED
from examples.arithmetic.sampling import Continuation, Request, Sampler


class Scorer:
    """The reward model; every distinct solution is scored once."""

    def __init__(self, path: Path) -> None:
        self._model, self._tokenizer = load_prm(path)
        self._known: dict[Solution, list[float]] = {}

    def score(self, solutions: Sequence[Solution]) -> list[list[float]]:
        """Probabilities at the question and after each step, for each solution."""
        new = [solution for solution in dict.fromkeys(solutions) if solution not in self._known]
        self._known.update(zip(new, score_solutions(self._model, self._tokenizer, new), strict=True))
        return [self._known[solution] for solution in solutions]


def as_sample(continuation: Continuation, problem: Problem, scores: list[float]) -> Sample:
    """Judge and score one continuation of the bare question."""
    last = continuation.steps[-1] if continuation.finished and continuation.steps else ""
    return Sample(
        answer=boxed_answer(last),
        right=is_right(last, problem.answer),
        scores=tuple(scores[1:]),
        tokens=continuation.tokens,
    )


def score_samples(problems: Sequence[Problem], drawn: Sequence[Sequence[Continuation]], scorer: Scorer) -> list[Scored]:
    """Score all samples of all problems."""
    solutions = [(p.question, c.steps) for p, several in zip(problems, drawn, strict=True) for c in several]
    scores = iter(scorer.score(solutions))
    result: list[Scored] = []
    for problem, several in zip(problems, drawn, strict=True):
        rows = [next(scores) for _ in several]
        samples = tuple(as_sample(c, problem, row) for c, row in zip(several, rows, strict=True))
        result.append(Scored(problem.level, rows[0][0], samples))
    return result


def draw_prefixes(
    problems: Sequence[Problem], drawn: Sequence[Sequence[Continuation]], each: int, seed: int
) -> list[tuple[Problem, tuple[str, ...]]]:
    """For each problem some prefixes of its samples: at least one step, the final answer not given."""
    chosen: list[tuple[Problem, tuple[str, ...]]] = []
    for problem, several in zip(problems, drawn, strict=True):
        rng = random.Random(named_seed("prefixes", seed, problem.problem_id))
        long = [c.steps for c in rng.sample(list(several), each) if len(c.steps) > 1]
        chosen += [(problem, steps[: rng.randint(1, len(steps) - 1)]) for steps in long]
    return chosen


def prefix_calibration(
    sampler: Sampler, scorer: Scorer, prefixes: list[tuple[Problem, tuple[str, ...]]], rollouts: int, seed: int
) -> dict[str, Any]:
    """Reward model against fresh Monte Carlo rollouts at the evaluation temperature."""
    requests = [
        Request(p.question, steps, rollouts, named_seed(seed, "monte-carlo", p.problem_id, *steps))
        for p, steps in prefixes
    ]
    successes = [
        sum(c.finished and bool(c.steps) and is_right(c.steps[-1], p.answer) for c in several) / rollouts
        for (p, _), several in zip(prefixes, sampler.sample(requests, TEMPERATURE), strict=True)
    ]
    scores = [row[-1] for row in scorer.score([(p.question, steps) for p, steps in prefixes])]
    return calibration(scores, successes, rollouts)


def measure(path: Path, sampler: Sampler, scorer: Scorer, args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of one problem file."""
    problems = read_problems(path)
    started, before = time.monotonic(), sampler.sampled_tokens
    requests = [Request(p.question, (), args.samples, named_seed(args.seed, "measure", p.problem_id)) for p in problems]
    drawn = sampler.sample(requests, TEMPERATURE)
    seconds = time.monotonic() - started
    scored = score_samples(problems, drawn, scorer)
    tokens = sampler.sampled_tokens - before
    prefixes = draw_prefixes(problems, drawn, args.prefixes, args.seed)
    everything = [sample for problem in scored for sample in problem.samples]
    return {
        "problems": len(problems),
        "samples_each": args.samples,
        "temperature": TEMPERATURE,
        "answered": sum(sample.answer is not None for sample in everything) / len(everything),
        "levels": by_level(scored),
        "accuracy": selection_accuracy(scored, [size for size in (4, 16, 64) if size <= args.samples]),
        "terminal_auc": {name: terminal_auc(scored, name) for name in ("last", "min", "product")},
        "root_calibration": calibration(
            [problem.root_score for problem in scored], [problem.success for problem in scored], args.samples
        ),
        "prefix_calibration": prefix_calibration(sampler, scorer, prefixes, args.rollouts, args.seed),
        "sampled_tokens": tokens,
        "tokens_per_s": tokens / seconds,
    }


def table(name: str, numbers: dict[str, Any]) -> str:
    """A short table of one problem file's numbers."""
    lines = [f"== {name}: {numbers['problems']} problems, {numbers['samples_each']} samples each"]
    lines += [
        f"level {level}: success {row['success']:.3f}  never {row['never_right']:.2f}  "
        f"always {row['always_right']:.2f}  root score {row['root_score']:.3f}"
        for level, row in numbers["levels"].items()
    ]
    lines += [f"{key:24s} {value:.4f}" for key, value in numbers["accuracy"].items()]
    lines += [f"terminal AUC {key}: {value}" for key, value in numbers["terminal_auc"].items()]
    for kind in ("root_calibration", "prefix_calibration"):
        row = dict(numbers[kind])
        bins = row.pop("bins")
        lines += [f"{kind}: {row}"] + [f"    {line}" for line in bins]
    return "\n".join(lines)


def main() -> None:
    """Measure one or more problem files; write JSON and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", type=Path, default=HERE / "generator")
    parser.add_argument("--prm", type=Path, default=HERE / "prm")
    parser.add_argument("--files", type=Path, nargs="+", default=[HERE / "test.jsonl", HERE / "ood.jsonl"])
    parser.add_argument("--output", type=Path, default=HERE / "measured.json")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--prefixes", type=int, default=2, help="prefixes of each problem for Monte Carlo")
    parser.add_argument("--rollouts", type=int, default=32, help="rollouts of each of these prefixes")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    sampler, scorer = Sampler(args.generator), Scorer(args.prm)
    results: dict[str, Any] = {}
    for path in args.files:
        results[path.stem] = rounded(measure(path, sampler, scorer, args))
        print(table(path.stem, results[path.stem]), flush=True)
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
