"""A store in memory, and one that fails at a chosen operation."""

import threading
import time
from pathlib import Path

from records.run_folder.store import Store


class MemoryStore:
    """`records.run_folder.store.Store` in a dict."""

    uri = "memory"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def create(self, name: str, data: bytes) -> bool:
        if name in self.files:
            return False
        self.files[name] = data
        return True

    def replace(self, name: str, data: bytes) -> None:
        self.files[name] = data

    def upload(self, name: str, file: Path) -> None:
        self.files[name] = file.read_bytes()

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def list(self, prefix: str) -> "list[str]":
        return sorted(name for name in self.files if name.startswith(prefix))

    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    def now_s(self) -> float:
        return time.time()

    def write_to(self, folder: Path) -> None:
        """Lay the files out for readers of local runs."""
        for name, data in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


class Crash(Exception):
    """The process is gone. Nothing but the test catches it."""


class FaultyStore:
    """A store that raises at the `at`-th operation, counted from 0, before or after it was performed; once.

    Args:
        inner: where the operations go.
        at: which one fails; `operations` counts them.
        performed: whether it has happened all the same.
        error: what is raised; `Crash` keeps raising at all that follows, as a dead process does nothing more.
    """

    def __init__(self, inner: Store, at: int, *, performed: bool, error: type[Exception] = Crash) -> None:
        self._inner = inner
        self._at = at
        self._performed = performed
        self._error = error
        self.operations = 0
        self._lock = threading.Lock()  # a reader asks from several threads

    @property
    def uri(self) -> str:
        return self._inner.uri

    def create(self, name: str, data: bytes) -> bool:
        self._before()
        created = self._inner.create(name, data)
        self._after()
        return created

    def replace(self, name: str, data: bytes) -> None:
        self._before()
        self._inner.replace(name, data)
        self._after()

    def upload(self, name: str, file: Path) -> None:
        self._before()
        self._inner.upload(name, file)
        self._after()

    def read(self, name: str) -> bytes | None:
        self._before()
        data = self._inner.read(name)
        self._after()
        return data

    def list(self, prefix: str) -> "list[str]":
        self._before()
        names = self._inner.list(prefix)
        self._after()
        return names

    def delete(self, name: str) -> None:
        self._before()
        self._inner.delete(name)
        self._after()

    def now_s(self) -> float:
        return self._inner.now_s()

    @property
    def failed(self) -> bool:
        return self.operations > self._at

    def _before(self) -> None:
        with self._lock:
            if self.operations > self._at and self._error is Crash:
                raise Crash("long dead")
            if self.operations == self._at and not self._performed:
                self.operations += 1
                raise self._error("before")

    def _after(self) -> None:
        with self._lock:
            self.operations += 1
            if self.operations == self._at + 1 and self._performed:
                raise self._error("after")


def _fits_the_protocol(memory: MemoryStore, faulty: FaultyStore) -> list[Store]:
    return [memory, faulty]
