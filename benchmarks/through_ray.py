"""What a scored step costs the controller through real Ray actors, where engines only wait.

    python -m benchmarks.through_ray --generators 8 --slots 512 --problems 1500 > through-ray.json

`score` runs the arithmetic example's beam search on scripted engines: actors, channels, controller, grader and writer
are as they are, and a call takes its tokens over `--tokens-per-s`, however many there are. 8 generators of 512 slots
ask of the controller what 64 of 64 do, but for the number of connections. `controller_ms_per_step` is processor time
of the controller's process, all threads, from the first call to the last result, over the scored steps in between;
`asked_steps_per_s` what the slots would sample if nobody were slow, `steps_per_s` what they did.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.observed import ObservedReplica, Traffic
from jobs.command_line.score import ScoreOptions
from jobs.score import ray_session, score
from jobs.scoring.plan import Plan, make_plan
from jobs.scoring.replicas import Replicas, launch
from records.run_folder.reader import read_run
from tests.support.scripted import EXAMPLE, KINDS


def plan_of(options: argparse.Namespace, output: Path, num_problems: int) -> Plan:
    """The run."""
    settings = (
        f"generator.num_replicas={options.generators}",
        f"prm.num_replicas={options.prms}",
        f"generator.max_num_seqs={options.slots}",
        f"generator.queue_limit={4 * options.slots}",
        "prm.max_num_seqs=1024",
        "prm.queue_limit=8192",
        f"script.tokens_per_s={options.tokens_per_s}",
        "output.flush_interval_s=5",
        "output.flush_problems=500",
    )
    return make_plan(
        ScoreOptions(
            problems=str(EXAMPLE / "calibration.jsonl"),
            recipe=EXAMPLE / f"{options.recipe}.toml",
            output=str(output),
            overrides=(*KINDS, f"script.answers={EXAMPLE / 'calibration.jsonl'}", *settings),
            limit=num_problems,
        )
    )


def measured(plan: Plan, replicas: Replicas) -> tuple[list[Traffic], int, float]:
    """Traffic by handle, scored steps, and tokens of a step."""
    score(plan, replicas)
    steps = read_run(plan.store.uri).steps()
    tokens = sum(steps["generated_tokens"].to_pylist()) / max(1, steps.num_rows)
    handles: list[Any] = [*replicas.generators, *replicas.prms]
    return [handle.take_traffic() for handle in handles], steps.num_rows, tokens


def main() -> int:
    """Print the JSON document; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.through_ray", description="The controller, through Ray")
    parser.add_argument("--generators", type=int, default=8)
    parser.add_argument("--prms", type=int, default=2)
    parser.add_argument("--slots", type=int, default=512, help="of each generator (512)")
    parser.add_argument("--tokens-per-s", type=float, default=8.0, help="of each call (8)")
    parser.add_argument("--problems", type=int, default=1500)
    parser.add_argument("--recipe", default="beam-16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="through-ray-") as made:
        folder = Path(made)
        first = plan_of(options, folder / "first", 20)
        with ray_session(first.recipe):
            launched = launch(first.recipe)
            replicas = replace(
                launched,
                generators=tuple(ObservedReplica(handle, folder) for handle in launched.generators),
                prms=tuple(ObservedReplica(handle, folder) for handle in launched.prms),
            )
            measured(first, replicas)
            traffic, num_steps, step_tokens = measured(plan_of(options, folder / "run", options.problems), replicas)
    seconds = max(one.last_result_s for one in traffic) - min(one.first_call_s for one in traffic)
    cpu_s = max(one.caller_cpu_s for one in traffic)
    asked = options.generators * options.slots * options.tokens_per_s / step_tokens
    found = {
        "generators": options.generators,
        "slots": options.slots,
        "scored_steps": num_steps,
        "seconds": round(seconds, 2),
        "steps_per_s": round(num_steps / seconds, 1),
        "asked_steps_per_s": round(asked, 1),
        "controller_ms_per_step": round(1000 * cpu_s / num_steps, 4),
        "controller_cores": round(cpu_s / seconds, 3),
        "exchanges": sum(one.num_submits + one.num_collects for one in traffic),
    }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
