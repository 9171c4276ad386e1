"""Temporary files that name the process they belong to, so that whoever comes next removes those of the dead.

A process that is killed leaves its temporary files where they are. Their names say whose they are, as a lease does: the
machine, the process, when it was started. Another process of the same machine that finds the owner gone removes them.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

SCRATCH_PREFIX = "parsimony-"
"""Of every folder that a command makes for itself where temporary files lie."""

_NAME = re.compile(r"(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{12}")


def process_start(pid: int) -> int | None:
    """Clock ticks from boot to the start of process `pid`; None if it does not live, or nobody can tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in brackets may hold anything; what follows it is the state (field 3) up to the start time (field 22).
    state, *fields = stat.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else int(fields[18])


def this_machine() -> str:
    """This boot of this machine, and this namespace of processes; empty where nobody can tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def scratch_name() -> str:
    """A name that nothing else has, and that says which process it belongs to."""
    return f"{_machine_key()}-{os.getpid()}-{process_start(os.getpid()) or 0}-{uuid4().hex[:12]}"


def remove_abandoned(folder: Path, prefix: str = "") -> None:
    """Remove the files and folders in `folder` whose names are `prefix` and a scratch name of a process that is gone.

    Those of other machines stay, and what may not be removed.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(prefix) and _is_abandoned(path.name.removeprefix(prefix)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        path.unlink()


@contextmanager
def scratch_folder(where: Path | None = None) -> Iterator[Path]:
    """A folder for temporary files, gone afterwards; if this process is killed, whoever makes the next one removes it.

    Args:
        where: the folder that it is made in; None: where the system has temporary files.
    """
    where = Path(tempfile.gettempdir()) if where is None else where
    remove_abandoned(where, SCRATCH_PREFIX)
    folder = where / f"{SCRATCH_PREFIX}{scratch_name()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(name: str) -> bool:
    owner = _NAME.fullmatch(name)
    if owner is None or owner["machine"] != _machine_key():
        return False
    started = int(owner["start"])
    return started != 0 and process_start(int(owner["pid"])) != started


@cache
def _machine_key() -> str:
    return hashlib.blake2b(this_machine().encode(), digest_size=4).hexdigest()
