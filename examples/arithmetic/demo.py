"""`make demo`: five strategies over the same problems, on real vLLM replicas that are loaded once.

Each strategy is a run of `parsimony score` with the recipe of the same name in this folder; the run folders stay and
can be read, resumed and looked at like any other. A second call finds them finished.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.cli import exit_status_of
from jobs.command_line.score import ScoreOptions
from jobs.display.numbers import count, duration, percent
from jobs.score import finished_summary, ray_session, score
from jobs.scoring.plan import Plan, make_plan
from jobs.scoring.replicas import launch
from jobs.scoring.summary import Summary

HERE = Path(__file__).parent
RECIPES = ("sample", "majority", "best-of-16", "beam-16", "sequential")


def main() -> int:
    """Run the five recipes and show them beside each other."""
    arguments = _arguments()
    plans = {name: make_plan(_options(name, arguments)) for name in RECIPES}
    summaries = {name: finished_summary(plan) for name, plan in plans.items()}
    if not all(summaries.values()):
        _say("starting Ray, a generator and a PRM (real vLLM engines; half a minute or so)")
        with ray_session(plans["sequential"].recipe):
            replicas = launch(plans["sequential"].recipe)
            for name, plan in plans.items():
                if summaries[name] is None:
                    _say(f"{name}: {plan.problems.num_problems} problems into {plan.store.uri}")
                    summaries[name] = score(plan, replicas)
                    replicas.prepare_run()  # the next one's, while this one is read
    finished = [summary for summary in summaries.values() if summary is not None]
    _show(plans, finished)
    return 0 if not any(summary.problems["failed"] for summary in finished) else 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--limit", type=int, default=64, help="problems of test.jsonl (64)")
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder for the runs (runs/demo)")
    return parser.parse_args()


def _options(name: str, arguments: argparse.Namespace) -> ScoreOptions:
    return ScoreOptions(
        problems=str(HERE / "test.jsonl"),
        recipe=HERE / f"{name}.toml",
        output=str(arguments.output / name),
        # One PRM for all that need one, so that it is loaded once.
        overrides=(f"prm.model={HERE / 'prm-calibrated'}",) if name in ("best-of-16", "beam-16") else (),
        limit=arguments.limit,
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _show(plans: dict[str, Plan], summaries: list[Summary]) -> None:
    table = Table(title=f"{summaries[0].num_problems} arithmetic problems")
    for name in ("strategy", "accuracy", "95% interval", "generated", "PRM tokens", "FLOPs", "time"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for name, summary in zip(plans, summaries, strict=True):
        table.add_row(
            name,
            percent(summary.accuracy),
            f"{percent(summary.accuracy_lower)} to {percent(summary.accuracy_upper)}",
            f"{summary.tokens['generated']:,}",
            f"{summary.tokens['prm']:,}",
            count(summary.flops),
            duration(summary.wall_seconds),
        )
    Console().print(table)
    runs = [_relative(summary.run) for summary in summaries]
    Console().print(
        f"Runs: {' '.join(runs)}\n"
        f"Look at one: .venv/bin/parsimony status {runs[-1]}\n"
        f"As a page:   .venv/bin/parsimony report {runs[-1]}\n"
        'Read one:    .venv/bin/python -c "import polars, records; '
        f"print(polars.read_parquet(records.read_run('{runs[-1]}').part_paths('problems')))\"",
        highlight=False,
        soft_wrap=True,
    )


def _relative(uri: str) -> str:
    path = Path(uri)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else uri


if __name__ == "__main__":
    sys.exit(exit_status_of(main))
