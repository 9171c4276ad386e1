"""Object stores for tests: what each has to offer, the small ones, and a place in one for each test."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import boto3
from botocore.config import Config

from tests.services.proxy import Fault, Proxy


class Server(Protocol):
    """A running S3 server with one bucket."""

    endpoint_url: str
    access_key: str
    secret_key: str
    bucket: str
    environment: dict[str, str]


@dataclass
class Bucket:
    """A prefix of its own in a server's bucket, reached through a proxy."""

    server: Server
    proxy: Proxy
    prefix: str = field(default_factory=lambda: f"test-{uuid4().hex[:8]}")
    client: Any = None
    """For a test's own looks at the store, past the proxy."""

    def __post_init__(self) -> None:
        self.client = plain_client(self.server)

    @property
    def environment(self) -> dict[str, str]:
        """`AWS_*` variables that lead to the proxy."""
        return self.server.environment | {"AWS_ENDPOINT_URL": self.proxy.url}

    def uri(self, key: str = "") -> str:
        """Of a key below the prefix, or of the prefix."""
        return f"s3://{self.server.bucket}/{self.prefix}" + (f"/{key}" if key else "")

    def put(self, key: str, data: bytes) -> None:
        """Put an object, past the proxy."""
        self.client.put_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}", Body=data)

    def get(self, key: str) -> bytes:
        """An object's content, past the proxy."""
        answer = self.client.get_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}")
        content: bytes = answer["Body"].read()
        return content

    def fail(self, method: str, path: str, kind: str, *, status: int = 0, times: int = 1) -> None:
        """See `Fault`."""
        self.proxy.faults.append(Fault(method, path, kind, status, times))


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on at this moment.

    Nor will somebody soon who takes any: Linux gives those from 32768 on to who asks for any, and Ray takes some
    from 10002 to 19999 for its workers. What is started here may bind its port only seconds from now.
    """
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = random.SystemRandom().randrange(20_000, 32_768)
            with suppress(OSError):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
        return found


def aws_environment(endpoint_url: str, access_key: str, secret_key: str) -> dict[str, str]:
    """`AWS_*` variables that make any AWS tool use this endpoint and nothing of the user's."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def plain_client(server: Server, access_key: str | None = None, secret_key: str | None = None) -> Any:
    """A boto3 client for a test's own looks at the store, as its user or another one."""
    return boto3.Session().client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=access_key or server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        region_name="us-east-1",
        config=Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"}),
    )


@dataclass
class ProcessServer:
    """A small S3 server in a process of its own; `moto` and `nanio` start one."""

    command: Callable[[int], list[str]]
    extra: dict[str, str] = field(default_factory=dict)
    access_key: str = "tester"
    secret_key: str = "testsecret"  # noqa: S105 - of nothing but this test
    bucket: str = "runs"
    endpoint_url: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self) -> "Iterator[ProcessServer]":
        """Start it, wait until it answers, make the bucket; end it afterwards."""
        [port] = free_ports(1)
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self.environment = aws_environment(self.endpoint_url, self.access_key, self.secret_key)
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(self.command(port), env=os.environ | self.extra, **quiet)  # type: ignore[call-overload]
        try:
            deadline_s = time.monotonic() + 60
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None, f"{self.command(port)} ended"
                assert time.monotonic() < deadline_s, f"{self.command(port)} does not answer"
                time.sleep(0.05)
            plain_client(self).create_bucket(Bucket=self.bucket)
            yield self
        finally:
            process.kill()
            process.wait()


def moto() -> ProcessServer:
    """A complete imitation of S3, in memory."""
    return ProcessServer(
        lambda port: [sys.executable, "-m", "tests.services.moto_server", "-H", "127.0.0.1", "-p", str(port)]
    )


def nanio(folder: Path) -> ProcessServer:
    """A server that ignores If-None-Match."""
    module = [sys.executable, "-m", "nanio", "serve", "--data-dir", str(folder), "--host", "127.0.0.1"]
    keys = {"NANIO_ACCESS_KEY": "tester", "NANIO_SECRET_KEY": "testsecret"}
    return ProcessServer(lambda port: [*module, "--port", str(port)], extra=keys)
