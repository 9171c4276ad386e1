"""The process that ends an engine whose owner is gone, however it went. `actors.engines.serving.watchdog` starts it.

    owner                                  this process
      builds the engine                    looks every second which processes descend from the owner
      "ready"               -->            looks once more, and sleeps
      (end of input)        -->            waits for the owner's end, kills what descended from it, exits

Only what starts between this process and "ready", and what descends from that, counts: one engine, as long as its owner
loads one at a time. A watchdog never hits another. A process is its number and its start time, so that a number used
again is never hit. This module runs by itself (`python -I -S FILE OWNER START`) and imports little, because one
waits beside every engine.
"""

import os
import select
import signal
import sys
import time

LOOK_S = 1.0
"""Between two looks while the engine loads: what starts and is orphaned in between is not found."""
_RETRY_S = 0.05
GIVE_UP_S = 60.0
"""A process may take this long to die: a driver call cannot be interrupted."""

Processes = dict[int, tuple[int, int]]
"""By process id: the parent's id, and the start in clock ticks from boot."""
ProcessTree = dict[int, int]
"""By process id: the start in clock ticks from boot."""


def read_process(pid: int) -> tuple[int, int] | None:
    """Parent and start of one process; None if it does not live, or nobody can tell.

    `actors.writer.lease.process_start` reads the same file: a program without a path can import nothing of ours.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # pathlib would double this process
            stat = file.read()
    except OSError:
        return None
    # The name in brackets may hold anything; what follows it is the state (field 3) up to the start time (field 22).
    state, parent, *numbers = stat.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else (int(parent), int(numbers[17]))


def read_processes() -> Processes:
    """Parent and start of every process that lives."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    return {pid: process for pid in pids if (process := read_process(pid)) is not None}


def grown(family: ProcessTree, since: int, processes: Processes) -> ProcessTree:
    """Those of the family that live, and what descends from them and started after `since` (or in the same tick).

    Args:
        family: so far.
        since: a start in clock ticks from boot.
        processes: all that live.
    """
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    living = {pid: start for pid, start in family.items() if pid in processes and processes[pid][1] == start}
    found = dict(living)
    waiting = list(living)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found[child] = processes[child][1]
                waiting.append(child)
    return {pid: start for pid, start in found.items() if pid in living or start >= since}


def read_program(pid: int) -> list[bytes]:
    """The command of a process up to a watchdog's own arguments; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read().split(b"\0")[:4]
    except OSError:
        return []


def kill(family: ProcessTree) -> None:
    """Send SIGKILL to each that still is who it was."""
    for pid, start in family.items():
        process = read_process(pid)
        if process is not None and process[1] == start:
            try:  # noqa: SIM105  # contextlib is not worth its memory here
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # gone just now; or runs as somebody else, which no engine does


def main() -> None:
    """Watch over what the owner starts until the owner has ended; then leave nothing of it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    owner, owner_start = int(sys.argv[1]), int(sys.argv[2])
    me = os.getpid()
    since = read_processes()[me][1]
    watchdog = read_program(me)

    def look(family: ProcessTree) -> ProcessTree:
        found = grown(family, since, read_processes())
        return {pid: start for pid, start in found.items() if read_program(pid) != watchdog}

    family = {owner: owner_start}
    while not select.select([sys.stdin.fileno()], [], [], LOOK_S)[0]:
        family = look(family)
    message = os.read(sys.stdin.fileno(), 64)
    family = look(family)
    if message:
        family.pop(owner, None)  # what it starts from now on is not this engine's
    while message:
        message = os.read(sys.stdin.fileno(), 64)
    # The pipe can be closed without a death, and at a death it closes first.
    while (process := read_process(owner)) is not None and process[1] == owner_start:
        time.sleep(_RETRY_S)
    give_up_s = time.monotonic() + GIVE_UP_S
    while (family := look(family)) and time.monotonic() < give_up_s:
        kill(family)
        time.sleep(_RETRY_S)


if __name__ == "__main__":
    main()
