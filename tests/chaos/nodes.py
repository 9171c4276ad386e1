"""Runs on several nodes, which join, die and freeze: schedules drawn from a seed, one after another.

    python -m tests.chaos.nodes --seed 1 --schedules 20

The nodes are raylets of this machine, two of each role, the driver's own has room for no replica; engines are scripted,
so a run comes to the same rows whatever happens. After each schedule: the rows of the undisturbed run (under a cap one
row per problem: which samples are drawn then hangs on what happens), every token on somebody's account, the cap kept,
no actor left. Exit status 1 if anything was wrong. What a schedule cost in time is said, not judged.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ray
from ray._private.state import GlobalState

from cluster.store import LocalStore
from records.run_folder.checkpoints import read_log
from tests.chaos.checks import Found, books, differences, find
from tests.services.ray_nodes import LocalCluster, LocalNode
from tests.support.scripted import EXAMPLE, SCRIPTED, sets

ROLES = ("generator", "prm")
NUM_PROBLEMS = 60
CAP_TOKENS = 12_000
"""Of a schedule with one: about half of what is sampled without."""
SETTINGS = (
    *SCRIPTED,
    *(f"{role}.node_labels.kind={role}" for role in ROLES),
    *(f"{role}.num_replicas=2" for role in ROLES),
    *(f"{role}.placement=spread" for role in ROLES),
    *("script.tokens_per_s=150", "script.prm_tokens_per_s=10000", "generator.max_num_seqs=16"),
    *("output.flush_interval_s=0.5", "output.flush_problems=10"),
)
RUN_S = 400.0
LEFT_S = 30.0
"""How long the actors of a run that has ended may take to be gone."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happens to a node of a role once so many problems have a row; `pause_s` later it wakes, or another comes."""

    what: str
    role: str
    at_problems: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class NodeSchedule:
    """All that is decided of one schedule."""

    number: int
    recipe: str
    capped: bool
    events: tuple[Event, ...]


@dataclass(slots=True)
class NodeOutcome:
    """What came of it."""

    schedule: NodeSchedule
    seconds: float = 0.0
    undisturbed_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def drawn(seed: int, number: int) -> NodeSchedule:
    """Schedule `number` of a seed."""
    chance = random.Random(f"{seed}/{number}")
    places = sorted(chance.randint(5, NUM_PROBLEMS - 15) for _ in range(chance.choice((1, 2, 2, 3))))
    events = tuple(
        Event(
            chance.choice(("kill", "kill", "freeze", "join")),
            chance.choice(ROLES),
            place,
            round(chance.uniform(1.0, 8.0), 1),
        )
        for place in places
    )
    return NodeSchedule(number, chance.choice(("beam-16", "best-of-16")), chance.random() < 0.3, events)


class Nodes:
    """A cluster with two nodes of each role, on which schedules are carried out one after another."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self._cluster, self._folder, self._count = cluster, folder, 0
        self._nodes: dict[str, list[LocalNode]] = {role: [] for role in ROLES}
        self._undisturbed: dict[tuple[str, bool], tuple[Found, float]] = {}
        for role in ROLES:
            while len(self._nodes[role]) < 2:
                self._join(role)

    def carry_out(self, schedule: NodeSchedule) -> NodeOutcome:
        """Run the undisturbed command once for each kind, then the schedule; what is wrong with what it left."""
        key = (schedule.recipe, schedule.capped)
        if key not in self._undisturbed:
            folder = self._folder / f"undisturbed-{schedule.recipe}{'-capped' if schedule.capped else ''}"
            undisturbed_s = self._run(folder, NodeSchedule(0, schedule.recipe, schedule.capped, ()))
            self._undisturbed[key] = find(str(folder)), undisturbed_s
        reference, undisturbed_s = self._undisturbed[key]
        outcome, folder = NodeOutcome(schedule, undisturbed_s=undisturbed_s), self._folder / f"run-{schedule.number}"
        try:
            outcome.seconds = self._run(folder, schedule)
        except RuntimeError as failed:
            outcome.wrong.append(str(failed))
            return outcome
        outcome.wrong += books(str(folder), CAP_TOKENS if schedule.capped else None)
        outcome.wrong += differences(find(str(folder)), reference, same_rows=not schedule.capped)
        outcome.wrong += self._left()
        return outcome

    def _run(self, folder: Path, schedule: NodeSchedule) -> float:
        settings = (*SETTINGS, f"cluster.address={self._cluster.address}")
        settings += (f"budget.total_tokens={CAP_TOKENS}",) if schedule.capped else ()
        words = [str(EXAMPLE / "test.jsonl"), "--recipe", str(EXAMPLE / f"{schedule.recipe}.toml")]
        words += ["--limit", str(NUM_PROBLEMS), "--output", str(folder), *sets(*settings)]
        begun_s = time.monotonic()
        log = folder.with_suffix(".log")
        with log.open("w") as stream:
            command = [sys.executable, "-m", "jobs.score", *words]
            environment = {"RAY_AUTH_MODE": "disabled"} | os.environ  # as the head was started
            run = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)
            with _ended(run):
                for event in schedule.events:
                    self._wait_for_rows(run, folder, event.at_problems)
                    self._do(event)
                status = run.wait(timeout=RUN_S)
        if status != 0:
            raise RuntimeError(f"status {status}: {log.read_text()[-2000:]}")
        return time.monotonic() - begun_s

    def _do(self, event: Event) -> None:
        """An event; whatever it was, two nodes of the role are there again after it."""
        first = self._nodes[event.role][0]
        if event.what == "join":
            self._join(event.role)
            return
        if event.what == "freeze":
            self._cluster.freeze(first)
            time.sleep(event.pause_s)
            self._cluster.wake(first)
            return
        self._nodes[event.role].remove(first)
        self._cluster.kill(first)
        time.sleep(event.pause_s)
        if len(self._nodes[event.role]) < 2:
            self._join(event.role)

    def _join(self, role: str) -> None:
        self._count += 1
        self._nodes[role].append(self._cluster.add(f"{role}-{self._count}", labels={"kind": role}))

    @staticmethod
    def _wait_for_rows(run: "subprocess.Popen[bytes]", folder: Path, number: int) -> None:
        store = LocalStore(folder)
        while run.poll() is None:
            if store.read("_manifest.json") is not None and read_log(store).totals.problems >= number:
                return
            time.sleep(0.1)

    def _left(self) -> list[str]:
        """Actors that are still there some time after their run has ended."""
        state = GlobalState()
        state._initialize_global_state(ray._raylet.GcsClientOptions.create(self._cluster.address, None, True, False))
        deadline_s = time.monotonic() + LEFT_S
        try:
            while True:
                found = [one["ActorClassName"] for one in state.actor_table(None).values() if one["State"] != "DEAD"]
                if not found or time.monotonic() > deadline_s:
                    return [f"{len(found)} actors are left: {', '.join(sorted(set(found)))}"] if found else []
                time.sleep(0.5)
        finally:
            state.disconnect()


@contextmanager
def _ended(run: "subprocess.Popen[bytes]") -> Iterator[None]:
    """The command does not outlive what is done beside it."""
    try:
        yield
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()


def main() -> int:
    """Carry out what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.nodes", description="Nodes that join, die and freeze")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schedules", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="nodes-") as folder, LocalCluster() as cluster:
        nodes = Nodes(cluster, Path(folder))
        for number in range(options.first, options.first + options.schedules):
            outcomes.append(nodes.carry_out(drawn(options.seed, number)))
            sys.stdout.write(json.dumps(asdict(outcomes[-1])) + "\n")
            sys.stdout.flush()
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    worst_s = max(outcome.seconds - outcome.undisturbed_s for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes)} schedules, {wrong} with violations; the dearest took {worst_s:.0f} s more\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
