"""Runs with real parts, struck by what kills runs: schedules of chaos, one after another.

    python -m tests.chaos --seed 1 --schedules 20 --engines real --store local,s3

    schedule (drawn from a seed) --> lives of one command, until it is done --> what must hold of what it left
                strikes ^  | told                           ^
                        |  v                                | beside it: a reader that polls
            gate <--- hooks in the command's processes: writes, roles, samples

Nothing of the product knows of it. Hooks come into each process by `inject/sitecustomize.py`, which Python imports at
its start; they tell the gate of each durable write before and after it is done, and wait for its answer: so a process
is killed exactly between two writes. Exit status 1 if anything was wrong.
"""

import argparse
import json
import pickle
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.chaos.places import KillableStore
from tests.chaos.schedules import ALL_VICTIMS, CONTROLLER, DRIVER, WRITER, Moment, Schedule, Strike, draw, enumerated
from tests.chaos.trial import Outcome, Undisturbed, carry_out, undisturbed
from tests.chaos.workloads import WORKLOADS, Engines, Workload, named

KILLED_HALF_WAY = ("driver", "controller", "writer", "generator", "prm", "grader", "raylet", "gcs", "everything")


def main() -> int:
    """Run what the command line asks for; the exit status."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="chaos-")) if options.folder is None else options.folder
    schedules = _schedules(options)
    outcomes: list[dict[str, Any]] = []
    begun_s = time.monotonic()
    with ExitStack() as ending:
        server = KillableStore() if any(schedule.store == "s3" for schedule in schedules) else None
        if server is not None:
            ending.callback(server.close)
        for schedule in schedules:
            if time.monotonic() - begun_s > options.limit_s:
                _say(f"the time is over: {len(schedules) - len(outcomes)} schedules were not begun")
                break
            reference = _undisturbed(schedule.workload, options.engines, folder)
            outcome = carry_out(schedule, reference, server, folder / f"schedule-{options.seed}-{schedule.number}")
            outcomes.append(_as_json(outcome))
            _say(str(outcome))
    if options.json is not None:
        with options.json.open("a") as stream:
            stream.writelines(json.dumps(outcome) + "\n" for outcome in outcomes)
        outcomes = [json.loads(line) for line in options.json.read_text().splitlines()]
    _say(_table(outcomes))
    wrong = sum(bool(outcome["wrong"]) for outcome in outcomes)
    _say(f"{len(outcomes)} schedules, {wrong} with violations; logs in {folder}")
    return 1 if wrong else 0


def _undisturbed(workload: Workload, engines: Engines, folder: Path) -> Undisturbed:
    """Of a workload, kept in the folder: a later call with the same one does not run it again."""
    kept = folder / f"{engines}-{workload.name}.pickle"
    if kept.is_file():
        found: Undisturbed = pickle.loads(kept.read_bytes())  # noqa: S301 (our own file)
        return found
    made = undisturbed(workload, engines, folder / f"undisturbed-{engines}-{workload.name}")
    kept.write_bytes(pickle.dumps(made))
    return made


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schedules", type=int, default=10, metavar="N", help="how many")
    parser.add_argument("--first", type=int, default=1, metavar="K", help="number of the first: one can be had again")
    parser.add_argument("--engines", choices=("scripted", "real"), default="scripted")
    parser.add_argument("--store", default="local", help="local, s3 or both (local,s3)")
    parser.add_argument("--victims", default=",".join(ALL_VICTIMS), help="who may be struck (all)")
    parser.add_argument("--workloads", default=",".join(one.name for one in WORKLOADS), help="what may be run (all)")
    parser.add_argument("--enumerate", action="store_true", help="each victim before and after each durable write")
    parser.add_argument("--half-way", action="store_true", help="each process killed once, at half of the tokens")
    parser.add_argument("--limit-s", type=float, default=float("inf"), help="begin no schedule after so long")
    parser.add_argument("--folder", type=Path, help="for logs and what is left (a temporary one)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="add the outcomes there, a line each; the table is of all lines"
    )
    options = parser.parse_args()
    options.victims = options.victims.split(",")
    options.stores = options.store.split(",")
    unknown = {*options.victims} - {*ALL_VICTIMS} | {*options.stores} - {"local", "s3"}
    if unknown:
        parser.error(f"nothing is called {', '.join(sorted(unknown))}; victims are {', '.join(ALL_VICTIMS)}")
    return options


def _schedules(options: argparse.Namespace) -> list[Schedule]:
    workloads = [named(name) for name in options.workloads.split(",")]
    if options.half_way:
        asked = [
            (workload, victim)
            for workload in workloads
            for victim in KILLED_HALF_WAY
            if victim in options.victims and (workload.has_prm or victim != "prm")
        ]
        half = Moment(share=0.5)
        return [
            Schedule(at, workload, options.engines, options.stores[0], (Strike(victim, "kill", half),))
            for at, (workload, victim) in enumerate(asked)
        ]
    if options.enumerate:
        victims = [victim for victim in (DRIVER, CONTROLLER, WRITER) if victim in options.victims]
        return enumerated(workloads[0], options.engines, options.stores[0], victims)
    numbers = range(options.first, options.first + options.schedules)
    fit: dict[str, Any] = {"engines": options.engines, "stores": options.stores, "victims": options.victims}
    return [draw(options.seed, number, **fit, workloads=workloads) for number in numbers]


def _table(outcomes: list[dict[str, Any]]) -> str:
    hits = Counter(victim for outcome in outcomes for victim in outcome["victims"])
    noise: Counter[str] = Counter()
    for outcome in outcomes:
        for name, number in outcome["noise"].items():
            noise[f"replies {name}" if name in {"lost", "late"} else f"s3 {name}"] += number
    lines = [f"{name:<20}{number:>6}" for name, number in [*hits.most_common(), *noise.most_common()]]
    judged = [outcome for outcome in outcomes if outcome["extra"]]
    if judged:
        share = sum(one["tokens"] for one in judged) / sum(one["tokens"] / one["extra"] for one in judged)
        lines.append(f"tokens sampled: {share:.3f} of undisturbed runs, most {max(one['extra'] for one in judged):.3f}")
    return "\n".join(["struck                times", *lines])


def _as_json(outcome: Outcome) -> dict[str, Any]:
    kept = {name: value for name, value in vars(outcome).items() if name != "schedule"}
    return {"schedule": str(outcome.schedule)} | kept


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
