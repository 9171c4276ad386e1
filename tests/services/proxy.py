"""An HTTP proxy before an object store, that counts requests and makes them fail as networks do."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

SLOW_S = 2.0
HOP_BY_HOP = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Fault:
    """What happens to the next `times` requests that fit.

    Attributes:
        method: of HTTP.
        path: that the request's path ends in.
        kind: "status" answers `status` without asking the server; "drop" lets the server act and closes the connection
            instead of answering; "cut" sends the server half of the body and hangs up; "short" gives half of the reply;
            "slow" answers `SLOW_S` later.
    """

    method: str
    path: str
    kind: str
    status: int = 0
    times: int = 1


@dataclass
class Proxy:
    """An HTTP proxy before one server: `with Proxy(url).running() as proxy: proxy.url`."""

    upstream: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def count(self, method: str, path: str) -> int:
        """Requests so far whose path ends in `path`."""
        return sum(1 for made, asked in self.requests if made == method and asked.endswith(path))

    @contextmanager
    def running(self) -> "Iterator[Proxy]":
        """Serve on a port of 127.0.0.1."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: _Handler(self, *args))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def take_fault(self, method: str, path: str) -> Fault | None:
        """Note the request; the fault that it meets."""
        self.requests.append((method, path))
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and path.endswith(fault.path):
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: Proxy, *args: Any) -> None:
        self._proxy = proxy
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self._proxy.take_fault(self.command, unquote(urlsplit(self.path).path))
        if fault is not None and fault.kind == "status":
            self._answer(fault.status, [("Content-Type", "application/xml")], b"")
            return
        if fault is not None and fault.kind == "slow":
            time.sleep(SLOW_S)
        cut = fault is not None and fault.kind == "cut"
        try:
            status, headers, content = self._forward(body, cut=cut)
        except OSError:
            cut = True
        if cut or (fault is not None and fault.kind == "drop"):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(status, headers, content, half=fault is not None and fault.kind == "short")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve  # noqa: N815 - the base class's names

    def _forward(self, body: bytes, *, cut: bool) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(urlsplit(self._proxy.upstream).netloc, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body[: len(body) // 2] if cut else body)
            if cut:
                return 0, [], b""
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, half: bool = False) -> None:
        with suppress(OSError):
            self.send_response_only(status)
            given = [value for name, value in headers if name.lower() == "content-length"]
            for name, value in headers:
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", given[0] if self.command == "HEAD" and given else str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if half else content)
            if half:
                self.close_connection = True
