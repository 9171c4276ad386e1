"""What chaos stands on: a process waits at each durable write, and a schedule is what its seed and number say."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.gate import Gate, Write
from tests.chaos.hooks import FAIL, GATE, GO, LOST
from tests.chaos.schedules import ALL_VICTIMS, DISK, PRM, SERVER, draw, enumerated
from tests.chaos.workloads import WORKLOADS, named

ROOT = Path(__file__).parents[2]
WRITES = """
import sys
from pathlib import Path
from cluster.store import LocalStore
from records.failure import StoreFailed
store = LocalStore(Path(sys.argv[1]))
for name in ("_manifest.json", "_commits/0000000001.json", "_commits/0000000002.json"):
    try:
        print(store.create(name, b"data"), flush=True)
    except StoreFailed as failed:
        print("failed", flush=True)
"""


def write_under(gate: Gate, run: Path) -> subprocess.CompletedProcess[str]:
    """A process that makes three files."""
    hooks = os.pathsep.join([str(ROOT / "tests/chaos/inject"), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", WRITES, str(run)],
        env=os.environ | {GATE: str(gate.address), "PYTHONPATH": hooks},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "printed", "left"),
    [
        ({}, ["True", "True", "True"], 3),
        ({("commit", 1, False): FAIL}, ["True", "failed", "True"], 2),
        ({("commit", 1, False): LOST}, ["True", "failed", "True"], 3),
        ({("commit", 2, True): LOST}, ["True", "True", "failed"], 3),
    ],
)
def test_a_write_is_done_as_the_gate_says(
    tmp_path: Path, answers: dict[tuple[str, int, bool], str], printed: list[str], left: int
) -> None:
    seen: list[Write] = []

    def answer(write: Write) -> str:
        seen.append(write)
        return answers.get((write.kind, write.number, write.after), GO)

    with Gate(tmp_path) as gate:
        gate.on_write = answer
        done = write_under(gate, tmp_path / "run")
    assert done.stdout.split() == printed, done.stderr
    assert len(list((tmp_path / "run").rglob("*.json"))) == left
    assert [write.kind for write in seen if not write.after] == ["manifest", "commit", "commit"]


@pytest.mark.parametrize(("after", "left"), [(False, 1), (True, 2)])
def test_a_process_dies_exactly_before_or_after_a_write(tmp_path, after, left):
    def kill(write: Write) -> str:
        if (write.kind, write.after) == ("commit", after):
            os.kill(write.pid, signal.SIGKILL)
        return GO

    with Gate(tmp_path) as gate:
        gate.on_write = kill
        done = write_under(gate, tmp_path / "run")
    assert done.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "run").rglob("*.json"))) == left


def test_a_schedule_is_what_its_seed_and_number_say():
    fit = {"engines": "scripted", "stores": ["local", "s3"], "victims": ALL_VICTIMS}
    drawn = [draw(3, number, **fit) for number in range(300)]
    assert drawn == [draw(3, number, **fit) for number in range(300)]
    assert drawn != [draw(4, number, **fit) for number in range(300)]
    struck = {strike.victim for schedule in drawn for strike in schedule.strikes}
    assert struck == set(ALL_VICTIMS)
    assert {schedule.workload for schedule in drawn} == set(WORKLOADS)
    for schedule in drawn:
        victims = {strike.victim for strike in schedule.strikes}
        assert DISK not in victims or schedule.store == "local"
        assert SERVER not in victims or schedule.store == "s3"
        assert PRM not in victims or schedule.workload.has_prm


def test_enumerated_schedules_go_around_each_kind_of_write():
    moments = {str(one.strikes[0].moment) for one in enumerated(named("beam"), "scripted", "local", ("writer",))}
    assert {"before commit 1", "after commit 3", "after success 1", "before lease 1"} <= moments
