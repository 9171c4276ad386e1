"""Where a schedule's command writes: a folder, if need be on a small disk, or a bucket behind a rough proxy."""

import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.services.proxy import Fault, Proxy
from tests.services.radosgw import RadosGateway
from tests.services.servers import Bucket

DISK_MIB = 48
BAD_ANSWERS = (("status", 500), ("status", 503), ("status", 409), ("drop", 0), ("cut", 0), ("short", 0), ("slow", 0))


@dataclass
class RoughProxy(Proxy):
    """A proxy that makes a share of all requests fail, each in one of the ways in which networks and stores do."""

    share: float = 0.0
    chance: random.Random = field(default_factory=random.Random)
    bad: Counter[str] = field(default_factory=Counter)

    def take_fault(self, method: str, path: str) -> Fault | None:
        """See `Proxy.take_fault`."""
        fault = super().take_fault(method, path)
        if fault is None and self.chance.random() < self.share:
            kind, status = self.chance.choice(BAD_ANSWERS)
            if kind == "short" and method != "GET":
                kind = "drop"
            self.bad[f"{status}" if status else kind] += 1
            return Fault(method, path, kind, status)
        return fault


class LocalPlace:
    """A folder for one schedule, on a disk of its own if `on_disk` (root can have one)."""

    def __init__(self, folder: Path, *, on_disk: bool) -> None:
        self._folder = folder / "disk"
        self._folder.mkdir()
        self._mounted = on_disk and _mount(self._folder)
        self.uri = str(self._folder / "out")
        self.spool = self._folder / "tmp"
        self.spool.mkdir()
        self.environment = {"TMPDIR": str(self.spool)}

    def fill(self, pause_s: float) -> bool:
        """Fill the disk for a while; False where it is not our own."""
        if not self._mounted:
            return False
        filler = self._folder / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(1 << 16))
        threading.Timer(pause_s, lambda: filler.unlink(missing_ok=True)).start()
        return True

    def left_behind(self) -> list[str]:
        """Temporary files that lie about: none is left by a command that has come to its end."""
        temporary = list(self._folder.glob("out/**/.tmp/*"))
        return [str(path) for path in [*temporary, *self.spool.iterdir()]]

    def close(self) -> None:
        """Take the disk away."""
        if self._mounted:
            subprocess.run(["umount", "-l", str(self._folder)], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)


class S3Place:
    """A prefix of its own on a radosgw, reached by the command through a proxy, and by us past it."""

    def __init__(self, server: "KillableStore", folder: Path, *, bad_answers: float, seed: str) -> None:
        self._server = server
        self.spool = folder / "tmp"
        self.spool.mkdir()
        self.proxy = RoughProxy(server.gateway.endpoint_url, share=bad_answers, chance=random.Random(seed))
        self._running = self.proxy.running()
        self._running.__enter__()
        self.bucket = Bucket(server.gateway, self.proxy, prefix=f"chaos-{uuid4().hex[:8]}")
        self.uri = self.bucket.uri("out")
        self.environment = {**self.bucket.environment, "TMPDIR": str(self.spool)}

    def left_behind(self) -> list[str]:
        """Uploads that were begun, and temporary files."""
        name = self._server.gateway.bucket
        uploads = self.bucket.client.list_multipart_uploads(Bucket=name).get("Uploads", [])
        return [f"upload of {upload['Key']}" for upload in uploads] + [str(path) for path in self.spool.iterdir()]

    def close(self) -> None:
        """End the proxy."""
        self._running.__exit__(None, None, None)
        shutil.rmtree(self.spool, ignore_errors=True)


class KillableStore:
    """A radosgw that is killed and started again. All of it is done by one thread, with which its processes live."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self.gateway: RadosGateway = self._thread.submit(lambda: RadosGateway().__enter__()).result()

    def restart(self, pause_s: float) -> None:
        """Kill -9 of the server, and another one after a while."""

        def kill_and_start() -> None:
            self.gateway.kill_gateway()
            time.sleep(pause_s)
            self.gateway.start_gateway()

        self._thread.submit(kill_and_start)

    def settled(self) -> None:
        """Wait until it is up."""
        self._thread.submit(lambda: None).result()

    def close(self) -> None:
        """End it."""
        self._thread.submit(self.gateway.close).result()
        self._thread.shutdown()


Place = LocalPlace | S3Place


@contextmanager
def place(
    store: str, folder: Path, server: KillableStore | None, *, on_disk: bool, bad_answers: float, seed: str
) -> Iterator[Any]:
    """A place for one schedule."""
    if store == "local":
        made: Place = LocalPlace(folder, on_disk=on_disk)
    else:
        assert server is not None
        made = S3Place(server, folder, bad_answers=bad_answers, seed=seed)
    try:
        yield made
    finally:
        made.close()


def _mount(folder: Path) -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "chaos", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
