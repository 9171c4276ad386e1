"""A model hub on loopback: what huggingface_hub asks of one, over a folder of repositories.

    with serving({"org/name": folder}) as hub:
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": ...}

A dataset is called "datasets:org/name". Each repository has one commit, which "main" is, and what the hub makes as
Parquet; `hub.requests` says what was asked for.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    """Answers as a hub does."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path.replace("refs%2Fconvert%2Fparquet", "~parquet")).strip("/")
        self.server.requests.append(f"{self.command} {path}")
        for repository, folder in self.server.repositories.items():
            kind, _, name = repository.rpartition(":")
            kind = kind or "models"
            if path.startswith(f"api/{kind}/{name}"):
                self._api(path.removeprefix(f"api/{kind}/{name}").strip("/"), name, folder)
                return
            below = f"{name}/resolve/" if kind == "models" else f"{kind}/{name}/resolve/"
            if path.startswith(below):
                revision, _, file = path.removeprefix(below).partition("/")
                self._file(revision, file, folder)
                return
        self._send(404, {"X-Error-Code": "RepoNotFound"}, b"{}")

    def _api(self, rest: str, name: str, folder: Path) -> None:
        action, _, revision = rest.partition("/")
        if revision.partition("/")[0] not in ("", "main", "~parquet", COMMIT):
            self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
            return
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        siblings = [{"rfilename": str(file.relative_to(folder))} for file in files]
        told: Any = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}
        if action == "tree":
            told = [
                {"type": "file", "path": str(file.relative_to(folder)), "size": file.stat().st_size, "oid": "0" * 40}
                for file in files
            ]
        self._send(200, {"Content-Type": "application/json"}, json.dumps(told).encode())

    def _file(self, revision: str, name: str, folder: Path) -> None:
        file = folder / name
        if revision not in ("main", "~parquet", COMMIT):
            self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"")
            return
        if not file.is_file():
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
            return
        content = file.read_bytes()
        self._send(200, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, content)

    def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    """On a free port; says what it was asked."""

    def __init__(self, repositories: Mapping[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.requests: list[str] = []

    @property
    def endpoint(self) -> str:
        """For `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(repositories: Mapping[str, Path]) -> Iterator[_Server]:
    """A hub for the time being."""
    hub = _Server(repositories)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
