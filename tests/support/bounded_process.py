"""Commands in processes with bounds on memory and time, as attacks are tried: what each said, and what it took.

A server imports what commands need once; each try is a fork of it, so that a crash, a bomb or a loop is that try's own.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock
from typing import Any

MEMORY_BYTES = 2**30
CPU_S = 10
"""Of a core, so that a busy machine is no hang."""
WALL_S = 120.0
"""For what waits and does not work: a pipe that nobody writes to."""
PRELOADED = (
    *("jobs.cli", "jobs.check", "jobs.status", "jobs.report", "jobs.export", "jobs.replay", "jobs.scoring.plan"),
    *("pyarrow.dataset", "pyarrow.parquet", "jinja2", "pydantic", "tokenizers", "tests.support.bounded_process"),
)
_CRASHED = 99
_asking = Lock()
"""Starting a process asks after all others too, and of two threads that ask after one at once, one is told 255."""
_ESCAPES = "\x1b\x9b\x07\x08\u202e\u2066\u200b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        status: exit status; negative: the signal that killed it; None: it did not end in time.
        out: of stdout; `err` of stderr.
        cpu_s: seconds of a core.
        rss_bytes: most memory that was resident.
    """

    status: int | None
    out: str
    err: str
    cpu_s: float
    rss_bytes: int

    @property
    def fault(self) -> str | None:
        """Why this is neither success nor one refusal; None where it is."""
        if self.status is None:
            return f"hangs for more than {WALL_S:g} s"
        if self.status < 0:
            return f"killed by {signal.Signals(-self.status).name} after {self.cpu_s:.1f} s of a core"
        traced = self.status == _CRASHED or "Traceback (most recent call last)" in self.err
        faults = {
            "traceback: " + (self.err.strip().splitlines() or ["?"])[-1][:200]: traced,
            f"takes {self.rss_bytes / 2**20:.0f} MiB": self.rss_bytes > MEMORY_BYTES,
            "an escape on the terminal": any(character in self.out + self.err for character in _ESCAPES),
            f"status {self.status}: {self.err.strip()[-200:]}": self.status not in (0, 2, 3),
            "refused without a word": self.status == 2 and not self.err.strip(),
        }
        return next((fault for fault, found in faults.items() if found), None)


def server() -> Any:
    """What starts tries; the modules are imported by the first."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def attempt(context: Any, arguments: Sequence[str], folder: Path, *, plan_only: bool = False) -> Ended:
    """Run one command in `folder`, within the bounds.

    Args:
        context: of `server()`.
        arguments: of `parsimony`.
        folder: an empty one of its own, for what it says.
        plan_only: of `score`: all of its checks, and nothing is started.
    """
    said = [folder / ".out", folder / ".err", folder / ".usage"]
    process = context.Process(target=_child, args=(list(arguments), str(folder), plan_only))
    with _asking:
        process.start()
    wait([process.sentinel], WALL_S)
    with _asking:
        late = process.exitcode is None
        if late:
            process.kill()
            process.join()
    texts = [path.read_text(errors="surrogateescape") if path.exists() else "" for path in said]
    cpu_s, rss_kib = (float(part) for part in (texts[2] or f"{CPU_S} 0").split())
    return Ended(
        status=None if late else process.exitcode,
        out=texts[0],
        err=texts[1],
        cpu_s=cpu_s,
        rss_bytes=int(rss_kib * 1024),
    )


def _child(arguments: list[str], folder: str, plan_only: bool) -> None:
    os.chdir(folder)
    for number, name in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", errors="strict") for number in (1, 2))  # noqa: SIM115, PTH123
    resource.setrlimit(resource.RLIMIT_DATA, (2 * MEMORY_BYTES, 2 * MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = _CRASHED
    try:
        status = _status(arguments, plan_only=plan_only)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    except BaseException:  # noqa: BLE001 (what is looked for)
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        used = resource.getrusage(resource.RUSAGE_SELF)
        Path(".usage").write_text(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
        os._exit(status)


def _status(arguments: list[str], *, plan_only: bool) -> int:
    from jobs.cli import exit_status_of, main, parse  # noqa: PLC0415 (in the child)

    if not plan_only:
        return main(arguments)
    from jobs.scoring.plan import make_plan  # noqa: PLC0415

    options: Any = parse(arguments)[1]
    return exit_status_of(lambda: 0 if make_plan(options) else 1)
