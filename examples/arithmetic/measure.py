"""Measure the generator and the reward model on the samples of `draw_samples`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from examples.arithmetic.common import HERE, TEMPERATURE, Problem, boxed_answer, is_right
from examples.arithmetic.draw_samples import Drawn, read_drawn
from examples.arithmetic.metrics import (
    AGGREGATIONS,
    Sample,
    Scored,
    by_level,
    calibration,
    rounded,
    selection_accuracy,
    terminal_auc,
)
from examples.arithmetic.prm import Solution, load_prm, score_solutions
from examples.arithmetic.sampling import Continuation

SIZES: Final = (4, 16, 64)


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
    """Judge and score one sampled solution."""
    last = continuation.steps[-1] if continuation.finished and continuation.steps else ""
    return Sample(
        answer=boxed_answer(last),
        right=is_right(last, problem.answer),
        scores=tuple(scores[1:]),
        tokens=continuation.tokens,
    )


def score_drawn(drawn: Sequence[Drawn], scorer: Scorer) -> list[Scored]:
    """Score all samples of all problems."""
    scores = iter(scorer.score([(d.problem.question, s.steps) for d in drawn for s in d.samples]))
    result: list[Scored] = []
    for row in drawn:
        several = [next(scores) for _ in row.samples]
        samples = tuple(as_sample(s, row.problem, score) for s, score in zip(row.samples, several, strict=True))
        result.append(Scored(row.problem.level, several[0][0], samples))
    return result


def prefix_calibration(drawn: Sequence[Drawn], scorer: Scorer) -> dict[str, Any]:
    """Reward model against the Monte Carlo rollouts from prefixes."""
    prefixes = [(d.problem.question, prefix) for d in drawn for prefix in d.prefixes]
    scores = [row[-1] for row in scorer.score([(question, prefix.steps) for question, prefix in prefixes])]
    return calibration(scores, [p.right / p.rollouts for _, p in prefixes], prefixes[0][1].rollouts)


def measure(drawn: Sequence[Drawn], scorer: Scorer) -> dict[str, Any]:
    """All numbers of one problem file."""
    scored = score_drawn(drawn, scorer)
    each = len(drawn[0].samples)
    everything = [sample for problem in scored for sample in problem.samples]
    roots = [problem.root_score for problem in scored]
    numbers = {
        "problems": len(drawn),
        "samples_each": each,
        "temperature": TEMPERATURE,
        "answered": sum(sample.answer is not None for sample in everything) / len(everything),
        "levels": by_level(scored),
        "accuracy": selection_accuracy(scored, [size for size in SIZES if size <= each]),
        "terminal_auc": {name: terminal_auc(scored, name) for name in AGGREGATIONS},
        "root_calibration": calibration(roots, [problem.success for problem in scored], each),
    }
    if any(problem.prefixes for problem in drawn):
        numbers["prefix_calibration"] = prefix_calibration(drawn, scorer)
    return numbers


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
    for kind in [kind for kind in ("root_calibration", "prefix_calibration") if kind in numbers]:
        row = dict(numbers[kind])
        bins = row.pop("bins")
        lines += [f"{kind}: {row}"] + [f"    {line}" for line in bins]
    return "\n".join(lines)


def main() -> None:
    """Measure one or more sampled problem files; write JSON and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=Path, required=True, help="folder of draw_samples")
    parser.add_argument("--names", nargs="+", default=["test", "ood"])
    parser.add_argument("--prm", type=Path, default=HERE / "prm")
    parser.add_argument("--output", type=Path, default=HERE / "measured.json")
    args = parser.parse_args()
    scorer = Scorer(args.prm)
    results: dict[str, Any] = {}
    for name in args.names:
        results[name] = rounded(measure(read_drawn(args.drawn / f"{name}.jsonl"), scorer))
        print(table(name, results[name]), flush=True)
    args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
