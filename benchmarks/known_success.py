"""What would a budget do that knew each problem's chance of success? The ceiling of what calibration can give it.

    python -m benchmarks.known_success PROBLEMS --recipe R.toml --set ... --samples RUN --rollouts ROLLOUTS.parquet

RUN is a finished run of whole samples with scores, such as `compare` leaves in `runs/`; ROLLOUTS rows of `parsimony
rollout` of the same problems: the bare question's successes Z of N trials, drawn for themselves, owe nothing to RUN.
N_IAS is played on RUN's samples, in many orders, with p as the PRM says it and with p = Z/N; beside each, fixed
sampling at the same tokens. A p of few trials is noisy itself: it is the target that a PRM is trained on, not the
truth. Prints JSON.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from jobs.command_line.score import ScoreOptions
from jobs.comparison.measure import Fixed, Shared, played, shared
from jobs.comparison.settings import Setting, comparison_settings
from jobs.comparison.stored_samples import stored_samples
from jobs.scoring.plan import Plan, make_plan
from records.path import PrmScore
from records.run_folder.reader import read_run
from scaling.stored.problem import StoredProblem


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, play, print."""
    arguments = _arguments(argv)
    plan = _plan(arguments, arguments.samples)
    run = read_run(plan.store.uri)
    by_id = stored_samples(run)
    stored = [by_id[problem.problem_id] for problem in plan.problems]
    chances = _success_rates(arguments.rollouts)
    overrides = [*arguments.overrides, f"strategy.num_samples={arguments.num_samples}"]
    best, adaptive = comparison_settings([arguments.recipe], ["best-of-n", "adaptive-best-of-n"], overrides)
    samples = shared("stored samples", run, stored, arguments.orders)
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
    parser.add_argument("--rollouts", type=Path, required=True, help=".parquet file of rollouts of the same problems")
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


def _success_rates(rollouts: Path) -> dict[str, float]:
    """Z/N of each bare question."""
    rows = pq.read_table(rollouts, columns=["problem_id", "depth", "successes", "trials"]).to_pylist()
    return {row["problem_id"]: row["successes"] / row["trials"] for row in rows if row["depth"] == 0 and row["trials"]}


def _told(problem: StoredProblem | None, chances: dict[str, float]) -> StoredProblem | None:
    """The problem with its success rate in the place of the PRM's view of the question; None where it is not known."""
    p = chances.get(problem.problem_id) if problem is not None else None
    if problem is None or p is None:
        return None
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
