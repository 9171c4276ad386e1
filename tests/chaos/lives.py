"""One life of a command under chaos: its process, and all that it has started, by role."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.chaos.gate import Gate
from tests.chaos.hooks import GATE
from tests.chaos.schedules import CONTROLLER, DRIVER, EVERYTHING, GCS, GENERATOR, GRADER, PRM, RAYLET, WRITER

ROOT = Path(__file__).parents[2]
LOOK_S = 1.0


class Life:
    """`python -m WORDS`, from its start to its end; `census` knows each process that was ever below it."""

    def __init__(
        self, words: Sequence[str], *, gate: Gate, folder: Path, name: str, environment: Mapping[str, str]
    ) -> None:
        self.log, self._output = folder / f"{name}.log", folder / f"{name}.out"
        self.census: set[psutil.Process] = set()
        self._gate, self._over = gate, threading.Event()
        hooks = os.pathsep.join([str(ROOT / "tests/chaos/inject"), str(ROOT)])
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_A", "AWS_"))}
        variables |= {GATE: str(gate.address), "PYTHONPATH": hooks, **environment}
        with self.log.open("w") as errors, self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=variables,
                start_new_session=True,
            )  # fmt: skip
        self.tree = psutil.Process(self.process.pid)
        self._counting = threading.Thread(target=self._count, daemon=True)
        self._counting.start()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text()

    def finish(self, limit_s: float) -> int | None:
        """Its exit status, negative if a signal ended it; None if it has not ended by then."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._over.set()
            self._counting.join()

    def survivors(self, limit_s: float) -> list[psutil.Process]:
        """What is still there of all that it started, after a while."""
        _, alive = psutil.wait_procs(self.census, timeout=limit_s)
        return [process for process in alive if process.is_running()]

    def end(self) -> None:
        """Kill it and all that it has started, whatever state they are in."""
        self._look()
        for process in [self.tree, *self.census]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        self._over.set()

    def hosts(self) -> list[psutil.Process]:
        """The driver and its actors."""
        below = {process.pid: process for process in self._below()}
        played = {pid for role in (CONTROLLER, WRITER, GENERATOR, PRM) for pid in self._gate.players(role)}
        return [self.tree, *(process for pid, process in below.items() if pid in played)]

    def victims(self, victim: str) -> list[psutil.Process]:
        """The processes that are meant; none if there is none at this moment."""
        if victim == DRIVER:
            return [self.tree] if self.tree.is_running() else []
        below = self._below()
        if victim == EVERYTHING:
            return [self.tree, *below]
        if victim in {RAYLET, GCS}:
            return [process for process in below if _name(process) == {RAYLET: "raylet", GCS: "gcs_server"}[victim]]
        if victim == GRADER:
            return [process for process in below if "actors.grading.worker" in _words(process)][:1]
        living = {process.pid: process for process in below}
        return [living[pid] for pid in self._gate.players(victim) if pid in living][-1:]

    def _below(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return list(self.tree.children(recursive=True))
        return []

    def _look(self) -> None:
        self.census |= set(self._below())

    def _count(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.name())
    return ""


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def wait_until_stopped(processes: Sequence[psutil.Process]) -> None:
    """Until SIGSTOP has reached all of them."""
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        with suppress(psutil.NoSuchProcess):
            if all(process.status() == psutil.STATUS_STOPPED for process in processes):
                return
        time.sleep(0.01)
