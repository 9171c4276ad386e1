"""One command in a process of its own, with all that it starts: to be frozen, killed and waited for."""

import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from cluster.store import LocalStore
from records.run_folder.checkpoints import read_log

LIMIT_S = 240


def named_below(process: psutil.Process, part: str) -> list[psutil.Process]:
    """The processes below one that have this in their names; some may end meanwhile."""
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if part in child.name():
                found.append(child)
    return found


class Driver:
    """`python -m jobs.COMMAND` that writes the run `run`; its log lies beside that."""

    def __init__(self, run: Path, command: str, *arguments: str) -> None:
        self.log = run.parent / f"driver-{len(list(run.parent.glob('driver-*.log')))}.log"
        whole = [sys.executable, "-m", f"jobs.{command}", *arguments, "--output", str(run)]
        with self.log.open("w") as errors:
            self.process = subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.tree = psutil.Process(self.process.pid)

    def wait_for(self, store: LocalStore, num_done: int) -> None:
        """Until so many problems have a row."""
        deadline_s = time.monotonic() + LIMIT_S
        while not store.read("_manifest.json") or read_log(store).totals.problems < num_done:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.05)

    def hosts(self) -> list[psutil.Process]:
        """The driver, and the processes of its own actors: controller, writer and replicas."""
        return [self.tree, *named_below(self.tree, "Host")]

    def generated_tokens(self) -> int:
        """Of the run so far, by its next line of progress."""
        before = len(self._lines())
        deadline_s = time.monotonic() + LIMIT_S
        while len(self._lines()) == before:
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.01)
        number, thousands = self._lines()[-1]
        return round(float(number) * (1000 if thousands else 1))

    def _lines(self) -> list[tuple[str, str]]:
        return re.findall(r"graded \| ([\d.]+)(k?) tokens", self.log.read_text())

    def finish(self) -> tuple[int, str]:
        try:
            output, _ = self.process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(self.log.read_text()) from late
        return self.process.returncode, output

    def kill(self) -> None:
        """Kill -9 of the driver and all that lives below it; nothing to do for one that has ended."""
        if self.process.poll() is None:
            below = self.tree.children(recursive=True)
            for process in [self.tree, *below]:
                with suppress(psutil.NoSuchProcess):  # Ray's end with it
                    process.kill()
            self.process.wait()
            psutil.wait_procs(below, timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
