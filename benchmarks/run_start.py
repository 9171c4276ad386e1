"""What a run on warm replicas takes beside its samples: its start (writer, controller, first problems) and its end.

    python -m benchmarks.run_start --repeats 5

Scripted replicas stay up for all runs (`examples/arithmetic/dry-run.toml`). Each run is timed as a whole (`score`, from
the plan to the summary) and from its first call to its last result; the difference is start and end. Runs with spare
processes for writer and controller (`cluster.launch.SpareHosts`) and without take turns. Prints JSON.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.observed import ObservedReplica
from jobs.command_line.score import ScoreOptions
from jobs.score import ray_session, score
from jobs.scoring.plan import Plan, make_plan
from jobs.scoring.replicas import Replicas, launch

EXAMPLE = Path(__file__).parent.parent / "examples" / "arithmetic"
SPARES_START_S = 10.0
"""Processes that are started between two runs have this long: what is measured is a run that finds them ready."""


def plan_of(folder: Path, name: str, num_problems: int) -> Plan:
    """A run of its own."""
    return make_plan(
        ScoreOptions(
            problems=str(EXAMPLE / "test.jsonl"),
            recipe=EXAMPLE / "dry-run.toml",
            output=str(folder / name),
            overrides=(),
            limit=num_problems,
        )
    )


def timed(plan: Plan, replicas: Replicas) -> dict[str, float]:
    """Seconds of one run: whole, from its first call to its last result, and the difference."""
    handles: list[Any] = [*replicas.generators, *replicas.prms]
    begun_s = time.perf_counter()
    score(plan, replicas)
    whole_s = time.perf_counter() - begun_s
    traffic = [handle.take_traffic() for handle in handles]
    scoring_s = max(each.last_result_s for each in traffic) - min(each.first_call_s for each in traffic)
    return {"whole_s": whole_s, "scoring_s": scoring_s, "start_and_end_s": whole_s - scoring_s}


def measure(folder: Path, num_problems: int, repeats: int) -> dict[str, Any]:
    """Runs with spare processes and without, in turn."""
    found: dict[str, list[dict[str, float]]] = {"with_spares": [], "without": []}
    warm_up = plan_of(folder, "warm-up", num_problems)
    with ray_session(warm_up.recipe):
        launched = launch(warm_up.recipe)
        replicas = replace(
            launched,
            generators=tuple(ObservedReplica(handle, folder) for handle in launched.generators),
            prms=tuple(ObservedReplica(handle, folder) for handle in launched.prms),
        )
        timed(warm_up, replicas)
        for repeat in range(repeats):
            replicas.prepare_run()
            time.sleep(SPARES_START_S)
            found["with_spares"].append(timed(plan_of(folder, f"with-{repeat}", num_problems), replicas))
            without = replace(replicas, hosts=None)
            found["without"].append(timed(plan_of(folder, f"without-{repeat}", num_problems), without))
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()
    }
    ratio = medians["with_spares"]["start_and_end_s"] / medians["without"]["start_and_end_s"]
    return {"medians": medians, "start_and_end_with_over_without": ratio, "runs": found}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description="start and end of a run on warm replicas, in seconds")
    parser.add_argument("--problems", type=int, default=8, help="of examples/arithmetic/test.jsonl (8)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind (5)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="run-start-") as folder:
        found = measure(Path(folder), arguments.problems, arguments.repeats)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
