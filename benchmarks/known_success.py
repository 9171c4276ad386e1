"""What would a budget do that knew each problem's chance of success? The ceiling of what calibration can give it.

    python -m benchmarks.known_success PROBLEMS --recipe R.toml --set ... --samples RUN --chances RUN2

RUN is a finished run of whole samples with scores, such as `compare` leaves in `runs/`; RUN2 a finished run of whole
samples of the same problems under another seed, so that its share of right samples is an estimate that owes nothing to
RUN. N_IAS is played on RUN's samples, in many orders, with the bare question's chance as the PRM says it, and as RUN2
does; beside each, fixed sampling at the same tokens. Prints JSON.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jobs.comparison_measure import Fixed, Shared, played, shared
from jobs.comparison_settings import Setting, comparison_settings
from jobs.options import ScoreOptions
from jobs.plan import Plan, make_plan
from jobs.stored_samples import stored_samples
from records.path import PrmScore
from records.reader import read_run
from scaling.stored import StoredProblem


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, play, print."""
    arguments = _arguments(argv)
    plan = _plan(arguments, arguments.samples)
    stored = stored_samples(plan)
    chances = _success_rates(_plan(arguments, arguments.chances))
    overrides = [*arguments.overrides, f"strategy.num_samples={arguments.num_samples}"]
    best, adaptive = comparison_settings([arguments.recipe], ["best-of-n", "adaptive-best-of-n"], overrides)
    samples = shared("stored samples", plan, stored, arguments.orders)
    known = replace(samples, problems=[_told(problem, chances) for problem in stored])
    said = {
        "fixed": _said(best, samples, best),
        "prm": _said(adaptive, samples, best),
        "monte_carlo": _said(adaptive, known, best),
    }
    print(json.dumps({"num_problems": len(stored), "num_orders": arguments.orders, **said}, indent=2))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems")
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--samples", required=True, help="finished run of whole samples, with scores")
    parser.add_argument("--chances", required=True, help="finished run of whole samples under another seed")
    parser.add_argument("--num-samples", type=int, default=64)
    parser.add_argument("--orders", type=int, default=30)
    return parser.parse_args(argv)


def _plan(arguments: argparse.Namespace, run: str) -> Plan:
    """Of a run that is there: problems, grader and place."""
    if not read_run(run).finished:
        raise SystemExit(f"{run} is not finished")
    return make_plan(
        ScoreOptions(
            problems=arguments.problems,
            recipe=arguments.recipe,
            output=run,
            overrides=tuple(arguments.overrides),
            limit=arguments.limit,
        )
    )


def _success_rates(plan: Plan) -> dict[str, float]:
    """Share of right samples of each problem."""
    rates = {}
    for problem in stored_samples(plan):
        if problem is not None:
            verdicts = [problem.verdicts[sample.answer] for sample in problem.samples]
            rates[problem.problem_id] = float(np.mean([verdict is True for verdict in verdicts]))
    return rates


def _told(problem: StoredProblem | None, chances: dict[str, float]) -> StoredProblem | None:
    """The problem with its success rate in the place of the PRM's view of the question."""
    if problem is None:
        return None
    p = chances[problem.problem_id]
    return replace(problem, root=replace(problem.root, score=PrmScore(p, p, p)))


def _said(setting: Setting, samples: Shared, baseline: Setting) -> dict[str, float | None]:
    measured = played(setting, samples)
    tokens = float(np.nanmean(measured.generated_tokens))
    fixed = Fixed(baseline, samples).at(tokens)
    return {
        "accuracy": float(np.nanmean(measured.correct)),
        "coverage": float(np.nanmean(measured.covered)),
        "num_samples_per_problem": float(np.nanmean(measured.num_samples)),
        "generated_tokens_per_problem": tokens,
        "accuracy_of_fixed_at_same_tokens": None if fixed is None else float(np.nanmean(fixed)),
    }


if __name__ == "__main__":
    main()
