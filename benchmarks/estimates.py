"""How good are the estimates? Finished runs are estimated again and again, each time from another pilot.

    python -m benchmarks.estimates RUN [RUN ...] [--questions RUN] [--pilot 50] [--repeats 20]

A pilot's problems have the rows that they have in the real run, because samples are named by seed, problem and step. So
rows of a finished run stand for every pilot that might have begun it: what is measured is the choice of the pilot and
the prediction, by the code of `parsimony estimate`. Prints JSON: how often the actual number lay inside the 90%
interval, and how far off the estimate was.
"""

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np

from jobs.estimation.pilot import choose, population
from jobs.recipes.recorded import recorded_recipe
from records.path import PrmScore
from records.problem import Problem
from records.run_folder.prediction import Range
from records.run_folder.reader import Run, read_run
from scaling.estimation.prediction import Population, predict_right, predict_total, ranged

COSTS = ("generated_tokens", "prompt_tokens", "prm_tokens", "flops")


def main(argv: Sequence[str] | None = None) -> int:
    """Estimate each run so many times; the exit status."""
    arguments = _parser().parse_args(argv)
    runs = [read_run(uri) for uri in arguments.runs]
    unfinished = [run.uri for run in runs if not run.finished]
    if unfinished:
        raise SystemExit(f"not finished: {', '.join(unfinished)}")
    questions = read_run(arguments.questions) if arguments.questions else runs[0]
    scores = {row["problem_id"]: _score(row) for row in questions.problems().to_pylist()}
    found = [_estimated(run, scores, arguments.pilot, arguments.repeats) for run in runs]
    print(json.dumps({"pilot": arguments.pilot, "repeats": arguments.repeats, "runs": found}, indent=2))
    return 0


def _estimated(run: Run, scores: dict[str, PrmScore | None], num_pilot: int, repeats: int) -> dict[str, object]:
    recipe = recorded_recipe(run.manifest)
    rows = sorted(run.problems().to_pylist(), key=lambda row: str(row["problem_id"]))
    problems = [Problem(row["problem_id"], row["question"], row["reference"]) for row in rows]
    own = [scores[problem.problem_id] for problem in problems]
    known = population(recipe, problems, own)
    costs = np.asarray([[float(row[name]) for name in COSTS] for row in rows])
    right = np.asarray([bool(row["correct"]) for row in rows])
    pilots = [np.asarray(choose(problems, own, num_pilot, seed)) for seed in range(repeats)]
    measured = {name: _repeated(known, costs[:, [at]], pilots) for at, name in enumerate(COSTS)}
    return {
        "strategy": recipe.strategy.name,
        "num_problems": len(rows),
        **measured,
        "right": _repeated_share(right, pilots),
    }


def _repeated(known: Population, costs: np.ndarray, pilots: Sequence[np.ndarray]) -> dict[str, float]:
    spans = []
    for seed, index in enumerate(pilots):
        found = predict_total(known, index, costs[index], seed=seed)
        spans.append(ranged(found.totals[0], found.draws[:, 0]))
    return _quality(spans, float(costs.sum()))


def _repeated_share(right: np.ndarray, pilots: Sequence[np.ndarray]) -> dict[str, float]:
    spans = [
        ranged(*predict_right(int(right[index].sum()), len(index), len(right), seed=seed))
        for seed, index in enumerate(pilots)
    ]
    return _quality(spans, float(right.mean()))


def _quality(spans: Sequence[Range], actual: float) -> dict[str, float]:
    errors = [abs(span.estimate - actual) / actual for span in spans]
    return {
        "actual": actual,
        "times_inside": sum(span.lower <= actual <= span.upper for span in spans),
        "median_error": float(np.median(errors)),
        "largest_error": max(errors),
        "mean_width": float(np.mean([(span.upper - span.lower) / actual for span in spans])),
    }


def _score(row: dict[str, float]) -> PrmScore | None:
    return None if row["p_median"] is None else PrmScore(row["p_lower"], row["p_median"], row["p_upper"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="finished, all on the same problems")
    parser.add_argument("--questions", metavar="RUN", help="with the PRM's view of every question (default: the first)")
    parser.add_argument("--pilot", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=20)
    return parser


if __name__ == "__main__":
    sys.exit(main())
