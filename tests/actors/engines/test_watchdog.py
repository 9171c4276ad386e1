"""An engine's processes end with their owner, however it ends; nobody else's do. Plain processes stand for engines."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.serving import watchdog_process
from actors.engines.serving.watchdog import EngineWatchdog
from actors.engines.serving.watchdog_process import LOOK_S
from actors.writer.lease import process_start

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="without /proc there is no watchdog"),
    pytest.mark.slow,
]

LIMIT_S = 30.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
OWNER = """
    import multiprocessing, subprocess, sys, time
    from actors.engines.serving.watchdog import EngineWatchdog

    SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]

    def engine():
        subprocess.Popen(SLEEPER, start_new_session=True)
        subprocess.Popen([*SLEEPER[:-1], f"import subprocess; subprocess.run({SLEEPER})"])
        time.sleep(600)

    if __name__ == "__main__":
        method, *states = sys.argv[1:]
        print("older", subprocess.Popen(SLEEPER).pid, flush=True)
        for state in states:
            watchdog = EngineWatchdog()
            globals()[f"guard_{id(watchdog)}"] = watchdog
            multiprocessing.get_context(method).Process(target=engine, daemon=True).start()
            if state != "loading":
                sys.stdin.readline()  # until the engine's processes are there
                watchdog.ready()
            if state == "closed":
                watchdog._process.stdin.close()
            print(state, flush=True)
        time.sleep(600)
"""
"""Each engine has a process in a session of its own, and two more, one below the other."""


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def guardians_below(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if watchdog_process.__file__ in child.cmdline()]


@dataclass
class Owner:
    """A process that has started guardians and what stands for engines."""

    process: subprocess.Popen[str]
    tree: psutil.Process
    guardians: list[psutil.Process]
    engines: list[psutil.Process]
    older: psutil.Process


@pytest.fixture
def start_owner(tmp_path: Path) -> Iterator[Callable[..., Owner]]:
    started: list[tuple[subprocess.Popen[str], list[psutil.Process]]] = []

    def start(method: str, *states: str) -> Owner:
        script = tmp_path / "owner.py"
        script.write_text(textwrap.dedent(OWNER))
        process = subprocess.Popen(
            [sys.executable, str(script), method, *states],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            start_new_session=True,
        )
        below: list[psutil.Process] = []
        started.append((process, below))
        assert process.stdin is not None
        assert process.stdout is not None
        older = psutil.Process(int(process.stdout.readline().split()[1]))
        tree = psutil.Process(process.pid)

        def below_engines() -> list[psutil.Process]:
            return [child for child in tree.children(recursive=True) if child != older and child.cmdline() == SLEEPER]

        for number, state in enumerate(states, start=1):
            wait_until(lambda expected=2 * number: len(below_engines()) == expected)  # type: ignore[misc]
            if state != "loading":
                process.stdin.write("\n")
                process.stdin.flush()
            assert process.stdout.readline() == f"{state}\n"
        below += [older, *tree.children(recursive=True)]
        guardians = guardians_below(tree)
        assert len(guardians) == len(states)
        wait_until(lambda: all(ignored_signals(each) >= set(STOPPING) for each in guardians))
        engines = [
            each
            for each in below
            if each not in [older, *guardians] and "resource_tracker import main" not in str(each.cmdline())
        ]
        assert len(engines) == 4 * len(states), "".join(
            f"{each.pid} {each.ppid()} {each.cmdline()}\n" for each in below
        )
        return Owner(process, tree, guardians, engines, older)

    yield start
    for process, below in started:
        for each in below:
            if each.is_running():
                each.kill()
        process.kill()
        process.communicate()


def ignored_signals(process: psutil.Process) -> set[int]:
    status = Path(f"/proc/{process.pid}/status").read_text()
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def open_files(process: psutil.Process) -> dict[str, str]:
    return {link.name: str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()}


def assert_all_end(processes: list[psutil.Process]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while alive := [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < deadline_s, alive
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "state"),
    [("spawn", "loading"), ("spawn", "ready"), ("fork", "loading"), ("fork", "ready"), ("fork", "closed")],
)
def test_a_killed_owner_takes_its_engine_along_and_nobody_else(start_owner, method, state):
    bystander = start_owner("fork", "loading")
    owner = start_owner(method, state)
    time.sleep(3.5 * LOOK_S)
    for each in owner.guardians:  # as Ctrl-C and a terminal's end do
        for number in STOPPING:
            each.send_signal(number)
    assert all(each.is_running() for each in owner.engines)
    os.killpg(owner.process.pid, signal.SIGKILL)
    owner.process.wait()
    assert_all_end([*owner.engines, *owner.guardians])
    assert all(each.is_running() for each in [bystander.tree, *bystander.engines, *bystander.guardians])


def test_what_is_older_than_the_engine_is_spared_and_two_guardians_share_the_work(start_owner):
    owner = start_owner("spawn", "ready", "ready")
    time.sleep(3.5 * LOOK_S)
    owner.process.kill()
    owner.process.wait()
    assert_all_end([*owner.engines, *owner.guardians])
    assert owner.older.is_running()


def test_a_guardian_holds_no_output_and_its_pipe_is_held_by_the_owner_alone(start_owner):
    owner = start_owner("fork", "ready")
    (process,) = owner.guardians
    files = open_files(process)
    pipe = files.pop("0")
    assert pipe.startswith("pipe:")
    assert set(files.values()) == {os.devnull}
    assert os.getsid(process.pid) == process.pid
    holders = [each for each in [owner.tree, *owner.tree.children(recursive=True)] if pipe in open_files(each).values()]
    assert set(holders) == {owner.tree, process}


def test_a_close_ends_the_guardian_and_nobody_else():
    me = psutil.Process()
    before = set(me.children())
    watchdog = EngineWatchdog()
    with subprocess.Popen(SLEEPER) as engine:
        (process,) = {*guardians_below(me)} - before
        watchdog.ready()
        watchdog.close()
        watchdog.close()
        assert not psutil.pid_exists(process.pid)
        assert engine.poll() is None
        engine.kill()


def test_a_guardian_that_was_killed_is_reported(caplog):
    me = psutil.Process()
    before = set(me.children())
    watchdog = EngineWatchdog()
    (process,) = {*guardians_below(me)} - before
    process.kill()
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    watchdog.ready()
    assert "watchdog has ended (-9)" in caplog.text
    watchdog.close()


def test_a_number_that_was_used_again_is_not_hit():
    with subprocess.Popen(SLEEPER) as process:
        found = watchdog_process.read_process(process.pid)
        assert found is not None
        parent, start = found
        assert parent == os.getpid()
        assert start == process_start(process.pid)  # as leases read it
        watchdog_process.kill({process.pid: start - 1})
        time.sleep(0.2)
        assert process.poll() is None
        watchdog_process.kill({process.pid: start})
        assert process.wait(LIMIT_S) == -signal.SIGKILL
        assert watchdog_process.read_process(process.pid) is None


def test_the_dead_are_not_read():
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", ""]) as process:
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        assert watchdog_process.read_process(process.pid) is None
        assert process.pid not in watchdog_process.read_processes()


PIDS = st.integers(1, 9)
TICKS = st.integers(0, 4)


@given(processes=st.dictionaries(PIDS, st.tuples(PIDS, TICKS)), family=st.dictionaries(PIDS, TICKS), since=TICKS)
def test_the_family_is_what_a_search_upwards_finds(processes, family, since):
    def known(pid: int) -> bool:
        return pid in family and processes[pid][1] == family[pid]

    def belongs(pid: int) -> bool:
        """Whether `pid`, or one above it, is known."""
        seen = set()
        while pid in processes and pid not in seen:
            if known(pid):
                return True
            seen.add(pid)
            pid = processes[pid][0]
        return False

    wanted = {pid: start for pid, (_, start) in processes.items() if known(pid) or (belongs(pid) and start >= since)}
    assert watchdog_process.grown(family, since, processes) == wanted
