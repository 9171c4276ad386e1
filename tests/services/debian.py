"""Programs that tests get from Debian packages: installed if they are missing and we may."""

import os
import shutil
import subprocess
from collections.abc import Sequence


class CannotStart(Exception):
    """A program cannot be installed or started here; the message says why."""


def install(packages: Sequence[str], programs: Sequence[str]) -> None:
    """Install the packages, if one of their programs is missing. Raises `CannotStart`."""
    if all(shutil.which(program) for program in programs):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotStart(f"needs the Debian packages {', '.join(packages)}, which only root can install")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    patient = ("-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=5")
    for command in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
        done = subprocess.run(
            ["apt-get", *patient, *command], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode != 0:
            raise CannotStart(f"apt-get {command[0]} failed: {done.stderr.strip()[-1000:]}")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CannotStart(f"{', '.join(packages)} are installed, but there is no program {', '.join(missing)}")
