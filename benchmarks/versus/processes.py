"""Server processes: started with the settings of a replica and its low priority, waited for, and ended again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import Request, urlopen

from pydantic import TypeAdapter

from actors.engines.settings import EngineSettings
from benchmarks.offline import RAY_NICENESS

START_TIMEOUT_S = 300.0
END_TIMEOUT_S = 20.0
POLITELY = ("nice", "-n", str(RAY_NICENESS))
ROOT = Path(__file__).parents[2]

SettingsT = TypeVar("SettingsT", bound=EngineSettings)


def settings_text(settings: EngineSettings) -> str:
    """Settings as one argument of a command."""
    return json.dumps({name: value for name, value in asdict(settings).items() if name != "script"})


def read_settings(kind: type[SettingsT], text: str) -> SettingsT:
    """The reverse of `settings_text`."""
    return TypeAdapter(kind).validate_json(text)


def be_as_polite_as_replicas() -> None:
    """Give this process, and what it starts, the priority that Ray gives its workers."""
    os.nice(max(0, RAY_NICENESS - os.nice(0)))


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def child_environment() -> dict[str, str]:
    """Our environment, in which `benchmarks` and `actors` can be imported."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


@contextmanager
def server(module: str, arguments: Sequence[str], *, port: int, health: str, log: Path) -> Iterator[int]:
    """A server as a child of this process, ready; its process id.

    Args:
        module: run by this interpreter with `-m`.
        arguments: its command line.
        port: where it is to listen.
        health: the address that answers as soon as it is ready.
        log: what it writes.

    Raises:
        RuntimeError: it ended, or was not ready in time; with the end of its log.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=out, stderr=out, env=child_environment(), cwd=ROOT
        )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}{health}", log)
            yield process.pid
        finally:
            end(process)


class Pipe:
    """A process that answers lines of JSON with lines of JSON."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self.process_id = process.pid

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer.

        Raises:
            RuntimeError: it has ended; with the end of its log.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the process has no pipes")
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self._log.name}:\n{self._log.read_text(errors='replace')[-3000:]}")
        reply: dict[str, Any] = json.loads(line)
        return reply


@contextmanager
def client(interpreter: Path, module: str, options: dict[str, Any], *, log: Path) -> Iterator[Pipe]:
    """A process that runs `module` with `options` as its argument, in an environment of its own."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*POLITELY, str(interpreter), "-m", module, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
            env=child_environment(),
            cwd=ROOT,
        )
        try:
            yield Pipe(process, log)
        finally:
            end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and make it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def get_json(url: str, body: Any = None) -> Any:
    """What an address answers, with a body by POST."""
    return json.loads(get_text(url, body))


def get_text(url: str, body: Any = None) -> str:
    """The same as text."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310 - our own addresses
    with urlopen(request, timeout=60) as response:  # noqa: S310
        text: str = response.read().decode()
    return text


def _wait_until_ready(process: subprocess.Popen[Any], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        try:
            get_text(url)
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
        else:
            return
    raise RuntimeError(
        f"{log.name} did not come up (status {process.poll()}):\n{log.read_text(errors='replace')[-3000:]}"
    )
