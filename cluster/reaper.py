"""A small process beside a driver that ends what the driver's local Ray session would leave behind.

Ray's agents (dashboard, environments of tasks) outlive a raylet that was killed by most of a minute, because they
report its death to a server that has died with it; a worker that is frozen outlives it for ever. What we start ends
with us: this process holds one end of a pipe whose other end is the driver's alone. When that is closed, by the driver
or by its death of whatever kind, it kills what is left of the session, each process only if it is still the same.

It imports the standard library only and runs isolated from everything else: it starts in a few hundredths of a second.
"""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

SESSION = b"/session_"
"""In the command line of each process that `ray.init` starts: the folder of its session."""
STARTING_S, QUICK_LOOK_S, LOOK_S = 60.0, 0.3, 2.0
"""While a session comes up, looks at which processes it has follow each other sooner."""

END_S = 30.0
"""For killing; one that hangs in its kernel is left to that, for the driver waits for us."""


class Reaper:
    """The driver's side. To be made before the session is started: it belongs to sessions that are not there yet."""

    def __init__(self) -> None:
        before = [str(pid) for pid, (parent, _) in _processes().items() if parent == os.getpid()]
        self._process = subprocess.Popen(  # noqa: S603 (this file, and numbers)
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), *before],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the driver's to handle
        )

    def close(self) -> None:
        """End what is left of the session, and wait until that is done."""
        self._process.communicate()


def _processes() -> dict[int, tuple[int, int]]:
    """Of every living process its parent, and the clock ticks from boot to its start."""
    found = {}
    for folder in Path("/proc").iterdir() if sys.platform == "linux" else ():
        if folder.name.isdigit():
            with suppress(OSError):
                # The name in brackets may hold anything; the state (field 3) follows it.
                state, parent, *fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                if state not in {b"Z", b"X"}:
                    found[int(folder.name)] = (int(parent), int(fields[17]))
    return found


def _is_of_session(pid: int) -> bool:
    with suppress(OSError):
        return SESSION in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class _Session:
    """What lives below a driver since a moment: processes that Ray has started, and all that these have."""

    def __init__(self, driver: int, before: set[int]) -> None:
        self.starts: dict[int, int] = {}
        self._driver, self._before = driver, before

    def look(self) -> None:
        """Take in what has come up, forget what has ended."""
        processes = _processes()
        self.starts = {pid: start for pid, start in self.starts.items() if processes.get(pid, (0, 0))[1] == start}
        for pid, (parent, start) in processes.items():
            if parent == self._driver and pid not in self._before and pid not in self.starts and _is_of_session(pid):
                self.starts[pid] = start
        known = -1
        while known < len(self.starts):
            known = len(self.starts)
            self.starts |= {pid: start for pid, (parent, start) in processes.items() if parent in self.starts}

    def kill(self) -> None:
        """Kill all of it."""
        for pid in self.starts:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _reap(driver: int, before: set[int]) -> None:
    """Watch until the pipe is closed, then kill until nothing is left."""
    session, begun_s = _Session(driver, before), time.monotonic()
    while True:
        starting = time.monotonic() - begun_s < STARTING_S
        if select.select([sys.stdin], [], [], QUICK_LOOK_S if starting else LOOK_S)[0]:
            break
        session.look()
    session.look()
    end_s = time.monotonic() + END_S
    while session.starts and time.monotonic() < end_s:
        session.kill()
        time.sleep(0.02)
        session.look()


if __name__ == "__main__":
    _reap(int(sys.argv[1]), {int(word) for word in sys.argv[2:]})
