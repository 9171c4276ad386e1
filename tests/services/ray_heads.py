"""A Ray head with its dashboard on loopback, on ports of its own, ended with its process and nobody else's."""

import http
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.services.servers import free_ports

START_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head that runs.

    Attributes:
        port: of its dashboard.
        gcs_address: that drivers join.
        folder: Ray's own, in which its files of sessions lie.
        environment: that whoever speaks to it has.
        process: `ray start --block`; its children are the session.
    """

    port: int
    gcs_address: str
    folder: Path
    environment: dict[str, str]
    process: psutil.Process

    @property
    def address(self) -> str:
        """Of its dashboard."""
        return f"http://127.0.0.1:{self.port}"


def environment(authentication: Mapping[str, str]) -> dict[str, str]:
    """That of this process with another authentication, and no address of a cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_A")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": programs} | dict(authentication)


@contextmanager
def head(authentication: Mapping[str, str], *, num_cpus: int = 2) -> Iterator[Head]:
    """Start a head; end it, and all that it has started, afterwards.

    Args:
        authentication: RAY_AUTH_* variables.
        num_cpus: CPU slots.
    """
    variables = environment(authentication)
    folder = tempfile.mkdtemp(prefix="rh-")  # short: Ray's sockets lie in it
    port, dashboard, agent, agent_grpc, environments = free_ports(5)
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--num-cpus={num_cpus}", f"--temp-dir={folder}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
    command += [f"--dashboard-agent-grpc-port={agent_grpc}", f"--runtime-env-agent-port={environments}"]
    command += [f"--object-store-memory={256 * 2**20}"]
    with Path(folder, "start.log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _wait_until_up(dashboard, process, Path(folder, "start.log"))
        yield Head(
            port=dashboard,
            gcs_address=f"127.0.0.1:{port}",
            folder=Path(folder),
            environment=variables,
            process=psutil.Process(process.pid),
        )
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and text of one page of loopback."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers=dict(headers or {}))
        reply = connection.getresponse()
        return reply.status, reply.read().decode()


def _wait_until_up(dashboard: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            # Open to everybody, in token mode too; answers once agents take jobs.
            if get(dashboard, "/api/gcs_healthz")[0] == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"the head did not come up: {log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    session = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(session, timeout=5)
    for child in alive:
        with suppress(psutil.NoSuchProcess):
            child.kill()
