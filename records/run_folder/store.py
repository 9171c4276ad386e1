"""The store that a run is written to: a local folder or an object store, behind seven verbs.

Names are relative to the run, with forward slashes. A writer needs one guarantee above plain reading and writing: of
several creators of one name exactly one succeeds, and what it created is whole. Several threads may ask one store at a
time.
"""

from pathlib import Path, PurePosixPath
from typing import Protocol


class Store(Protocol):
    """Where one run lives. Every method may raise `StoreFailed`."""

    @property
    def uri(self) -> str:
        """The run's address as a user would write it."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Create `name` with `data`. False, and nothing changes, if it exists."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Create or overwrite `name` as a whole (heartbeats; never a commit)."""
        ...

    def upload(self, name: str, file: Path) -> None:
        """Put a local file at `name`, as a whole."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content of `name`; None if there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """All names that begin with `prefix`, sorted."""
        ...

    def delete(self, name: str) -> None:
        """Remove `name`, if it is there."""
        ...

    def now_s(self) -> float:
        """Seconds since 1970 by the clock that all who use the store share; this machine's where it has none."""
        ...


def check_name(name: str) -> None:
    """Check that `name` can be one of a file in a run, in any store.

    A name comes from our own code or from a commit file that someone may have edited: it stays in the run.

    Raises:
        ValueError: it could not.
    """
    pure = PurePosixPath(name)
    if not pure.parts or "\0" in name or pure.as_posix() != name or pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"{name!r} is no name of a file in a run")
