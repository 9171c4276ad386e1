"""A real Prometheus on loopback, at a free port, in a temporary folder; it dies with this process, also by SIGKILL.

One that is installed is used; otherwise the Debian package is downloaded and unpacked into that folder, because
installing it would start a server of the machine's own.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.services.debian import CannotStart
from tests.services.servers import free_ports

PACKAGE = "prometheus"
START_S = 60.0
REQUIRED = "PARSIMONY_REQUIRE_PROMETHEUS"
"""Environment variable: set where a server that cannot be started is an error and no reason to skip."""

_CONFIGURATION = """\
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: ray
    file_sd_configs:
      - files: [{targets}]
        refresh_interval: 1s
"""
_APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=5")


def program(folder: Path) -> Path:
    """The server's program, if need be unpacked into `folder`. Raises `CannotStart`."""
    if installed := shutil.which("prometheus"):
        return Path(installed)
    for tool in ("apt-get", "dpkg-deb", "setpriv"):
        if shutil.which(tool) is None:
            raise CannotStart(f"needs prometheus, or Debian's {tool} to get it with")
    download, update = [*_APT, "download", PACKAGE], [*_APT, "update"]  # there may be no lists of packages yet
    if not _run(download, folder) and not (_run(update, folder) and _run(download, folder)):
        raise CannotStart(f"needs prometheus; apt-get cannot download the Debian package {PACKAGE}")
    [package] = folder.glob("prometheus_*.deb")
    if not _run(["dpkg-deb", "-x", str(package), str(folder)], folder):
        raise CannotStart(f"dpkg-deb cannot unpack {package.name}")
    return folder / "usr/bin/prometheus"


def _run(command: list[str], folder: Path) -> bool:
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    return done.returncode == 0


class Prometheus:
    """A running server: `with Prometheus(targets) as server: server.query("up")`.

    Args:
        targets: file of Prometheus' file-based service discovery.
    """

    def __init__(self, targets: Path) -> None:
        self._targets = targets
        self._folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
        [self._port] = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it. Raises `CannotStart`."""
        try:
            self._start(program(self._folder))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()

    def close(self) -> None:
        """End it and remove the folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def query(self, expression: str, at_s: float | None = None) -> list[dict[str, Any]]:
        """An expression's value at a time, or now: series with `metric` (labels) and `value` (time and number)."""
        return self._series("query", query=expression, **({} if at_s is None else {"time": str(at_s)}))

    def value(self, expression: str) -> float | None:
        """Of an expression that gives one number; None while it gives none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def over(self, expression: str, begun_s: float, ended_s: float) -> list[dict[str, Any]]:
        """An expression's values: series with `metric` and `values`, two a second."""
        return self._series("query_range", query=expression, start=str(begun_s), end=str(ended_s), step="0.5")

    def metadata(self) -> dict[str, Any]:
        """Type and help of every metric, by name."""
        found: dict[str, Any] = self._get("metadata", {})
        return found

    def _series(self, page: str, **parameters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(page, parameters)["result"]
        return found

    def _get(self, page: str, parameters: dict[str, str]) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{page}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def _start(self, server: Path) -> None:
        configuration, log = self._folder / "prometheus.yml", self._folder / "log"
        configuration.write_text(_CONFIGURATION.format(targets=json.dumps(str(self._targets))))
        command = ["setpriv", "--pdeathsig", "KILL", str(server), f"--config.file={configuration}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address=127.0.0.1:{self._port}"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise CannotStart(f"prometheus does not answer: {log.read_text()[-1000:]}")


def required() -> bool:
    """Whether a test may not be skipped for want of a server."""
    return bool(os.environ.get(REQUIRED))
