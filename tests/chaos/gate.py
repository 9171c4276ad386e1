"""Where a schedule's hooks report: roles, samples, and durable writes, which wait here for their answer."""

import json
import socketserver
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.hooks import GO

KINDS = ("probe", "manifest", "lease", "heartbeat", "part", "commit", "checkpoint", "success", "other")


@dataclass(frozen=True, slots=True)
class Write:
    """A durable write that is about to be done, or has been.

    Attributes:
        kind: of what is written, one of `KINDS`.
        number: of this kind in the schedule, from 1.
        after: it has been done.
        pid: of the process that writes.
    """

    kind: str
    number: int
    after: bool
    pid: int


def kind_of(verb: str, name: str) -> str:
    """Which of `KINDS` a write is."""
    if name.startswith("_probe"):
        return "probe"
    if name.startswith("_commits/"):
        return "checkpoint" if ".checkpoint." in name else "commit"
    if name.startswith("_epochs/"):
        return "lease" if verb == "create" else "heartbeat"
    if verb == "upload":
        return "part"
    return {"_manifest.json": "manifest", "_SUCCESS": "success"}.get(name, "other")


class Gate:
    """Listens on a socket for the processes of one schedule. `with Gate(folder) as gate: ...`.

    Attributes:
        address: of the socket.
        roles: which processes have said that they play a role, oldest first.
        tokens: that engines have sampled, kept or not.
        replies: of channels that were lost or late.
        writes: durable writes that were begun, by kind.
        on_write: called with each; what it returns is the answer. It may take its time: the process waits.
        on_sample: called after each sample.
    """

    def __init__(self, folder: Path) -> None:
        self.address = folder / "gate"
        self.roles: list[tuple[str, int]] = []
        self.tokens = 0
        self.replies: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.on_write: Callable[[Write], str] = lambda _: GO
        self.on_sample: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def __enter__(self) -> "Gate":
        """Begin to listen."""
        gate = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline()
                if line:
                    answer = gate._hear(json.loads(line))
                    self.wfile.write(answer.encode() + b"\n")

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A process that was killed while it asked."""

        self._server = Server(str(self.address), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more; processes that still live go on as if there were no gate."""
        self.address.unlink()
        self._server.shutdown()
        self._server.server_close()

    def players(self, role: str) -> list[int]:
        """Processes of a role, oldest first; some may have ended."""
        with self._lock:
            return [pid for played, pid in self.roles if played == role]

    def _hear(self, message: dict[str, Any]) -> str:
        told = message["tell"]
        if told == "write":
            return self.on_write(self._write(message))
        with self._lock:
            if told == "role":
                self.roles.append((message["role"], message["pid"]))
            elif told == "sample":
                self.tokens += message["tokens"]
            else:
                self.replies[message["fate"]] += 1
        if told == "sample":
            self.on_sample()
        return GO

    def _write(self, message: dict[str, Any]) -> Write:
        kind, after = kind_of(message["verb"], message["name"]), message["when"] == "after"
        with self._lock:
            self.writes[kind] += not after
            return Write(kind, self.writes[kind], after, message["pid"])
