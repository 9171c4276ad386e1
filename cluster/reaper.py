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
from contextlib import suppress
from pathlib import Path

LOOK_S = 2.0
"""Between two looks at which processes the session has."""
SESSION = b"/session_"
"""In the command line of each process that `ray.init` starts: the folder of its session."""


class Reaper:
    """The driver's side.

    Args:
        before: `children()` of before the session was started; later ones with a session's folder are its roots.
    """

    def __init__(self, before: set[int]) -> None:
        roots = [str(pid) for pid in children() - before if SESSION in _command_line(pid)]
        self._process = subprocess.Popen(  # noqa: S603 (this file, and numbers)
            [sys.executable, "-I", "-S", __file__, *roots],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the driver's to handle
        )

    def close(self) -> None:
        """End what is left of the session, and wait until that is done."""
        self._process.communicate()


def children() -> set[int]:
    """Ids of the processes that this one has started and that live."""
    return {pid for pid, (parent, _) in _processes().items() if parent == os.getpid()}


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


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _look(session: dict[int, int]) -> None:
    """Take in what has come up below the session's processes, and forget what has ended."""
    processes = _processes()
    for pid in [pid for pid, start in session.items() if processes.get(pid, (0, 0))[1] != start]:
        del session[pid]
    known = 0
    while known < len(session):
        known = len(session)
        session.update({pid: start for pid, (parent, start) in processes.items() if parent in session})


def _reap(roots: list[int]) -> None:
    """Watch until the pipe is closed, then kill until nothing is left."""
    processes = _processes()
    session = {pid: processes[pid][1] for pid in roots if pid in processes}
    while not select.select([sys.stdin], [], [], LOOK_S)[0]:
        _look(session)
    while session:
        for pid in session:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        select.select([], [], [], 0.02)
        _look(session)


if __name__ == "__main__":
    _reap([int(word) for word in sys.argv[1:]])
