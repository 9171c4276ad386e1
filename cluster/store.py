"""A run on a local disk, and the way from a URI to a store, local or not (`cluster.s3`).

    create    temp file --fsync--> os.link to the name (fails if it exists) --fsync of the folder-->
    replace   temp file --fsync--> os.replace to the name                   --fsync of the folder-->

So a name holds whole content or does not exist, one of several creators wins, and what was reported done survives a
power cut. Temp files lie in `.tmp/`, on the same file system; a killed process leaves its own there, and nothing else,
until the next one that writes there removes them.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from cluster.s3 import S3Store
from cluster.s3_client import advice, is_s3
from records.addresses import without_passwords
from records.bounded import check_regular, inside
from records.failure import Damaged, InvalidInput, StoreFailed
from records.run_folder import layout
from records.run_folder.store import Store, check_name
from records.scratch import remove_abandoned, scratch_name

_TEMP = ".tmp"


class LocalStore:
    """`records.run_folder.store.Store` in a local folder, which the first write makes.

    Every method may raise `StoreFailed`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._tidied_by: int | None = None

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._folder)

    def create(self, name: str, data: bytes) -> bool:
        """Create `name` with `data`. False, and nothing changes, if it exists."""
        target = self._path(name)
        with self._failures("create", name), self._temp() as temp:
            with temp.open("xb") as stream:
                stream.write(data)
                _sync(stream)
            self._make_folder(target.parent)
            try:
                os.link(temp, target)
            except FileExistsError:
                return False
            _sync_folder(target.parent)
            return True

    def replace(self, name: str, data: bytes) -> None:
        """Create or overwrite `name` as a whole."""
        with self._failures("replace", name), self._temp() as temp:
            with temp.open("xb") as stream:
                stream.write(data)
                _sync(stream)
            self._move(temp, self._path(name))

    def upload(self, name: str, file: Path) -> None:
        """Put a local file at `name`, as a whole."""
        with self._failures("upload", name), self._temp() as temp:
            with file.open("rb") as source, temp.open("xb") as stream:
                shutil.copyfileobj(source, stream, 1 << 20)
                _sync(stream)
            self._move(temp, self._path(name))

    def read(self, name: str) -> bytes | None:
        """The content of `name`; None if there is none."""
        path = self._path(name)
        with self._failures("read", name):
            try:
                check_regular(path, layout.max_bytes(name))
                return path.read_bytes()
            except FileNotFoundError:
                return None
            except ValueError as error:
                raise Damaged(f"read {name} in {self.uri}: {error}") from error

    def list(self, prefix: str) -> list[str]:
        """All names that begin with `prefix`, sorted."""
        top = prefix.rpartition("/")[0]
        start = self._path(top) if top else self._folder
        names = []
        with self._failures("list", prefix):
            for folder, subfolders, files in os.walk(start, onerror=_refuse_all_but_missing):
                inside = Path(folder).relative_to(self._folder)
                if not inside.parts and _TEMP in subfolders:
                    subfolders.remove(_TEMP)
                names += [(inside / file).as_posix() for file in files]
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """Remove `name`, if it is there."""
        with self._failures("delete", name):
            path = self._path(name)
            path.unlink(missing_ok=True)
            if path.parent.exists():
                _sync_folder(path.parent)

    def now_s(self) -> float:
        """By the clock of the file system, which a network share has from its server.

        Ours where nothing was written yet, or may be: who asks for the time leaves no folder behind.
        """
        if not (self._folder / _TEMP).is_dir():
            return time.time()
        try:
            with self._temp() as temp:
                temp.touch()
                return temp.stat().st_mtime
        except OSError:
            return time.time()

    def _path(self, name: str) -> Path:
        check_name(name)
        pure = PurePosixPath(name)
        if pure.parts[0] == _TEMP:
            raise ValueError(f"{name!r} is kept for files in the making")
        path = self._folder / pure
        if os.path.lexists(path if path.is_symlink() else path.parent) and not inside(path, self._folder):
            raise Damaged(f"{path} is a link, or below one, that leads out of the run")
        return path

    def _move(self, temp: Path, target: Path) -> None:
        self._make_folder(target.parent)
        temp.replace(target)
        _sync_folder(target.parent)

    @contextmanager
    def _temp(self) -> Iterator[Path]:
        temp = self._folder / _TEMP / scratch_name()
        self._make_folder(temp.parent)
        if self._tidied_by != os.getpid():
            self._tidied_by = os.getpid()
            remove_abandoned(temp.parent)
        try:
            yield temp
        finally:
            temp.unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` and those above it, each durable in the one above."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)

    @contextmanager
    def _failures(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except NotADirectoryError as error:
            raise Damaged(f"{verb} {name} in {self.uri}: there is a file where the run's folder should be") from error
        except OSError as error:
            raise StoreFailed(f"{verb} {name} in {self.uri}: {error}") from error


def open_store(uri: str) -> Store:
    """The store of the run at `uri`: a local path, a `file://` or an `s3://` address.

    A local folder is not touched yet; an object store is asked for one name.

    Raises:
        InvalidInput: the address is of no such kind, or names a file; or endpoint, bucket, credentials or permissions
            are wrong.
        StoreFailed: the object store does not answer as it should.
    """
    if is_s3(uri):
        store = S3Store(uri)
        store.check_access()
        return store
    return _local_store(uri, local_path(uri))


def local_path(uri: str) -> Path:
    """The path that a path or a `file://` address names; whether anything is there is not looked at.

    Raises:
        InvalidInput: it is neither.
    """
    if "://" not in uri:
        return Path(uri)
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return Path(unquote(parts.path))
    raise InvalidInput(
        f"{without_passwords(uri)}: not an address of a run; give a folder, file:///folder or s3://bucket/prefix"
    )


def _local_store(uri: str, folder: Path) -> LocalStore:
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            where = uri if there == folder else f"{uri}: {there}"
            raise InvalidInput(f"{where} is a file, and a run is a folder")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{uri} cannot be a folder: {error}") from error
    return LocalStore(folder)


def check_writable(store: Store) -> None:
    """Check, before anything is done for it, that the store can be written, and leave no folder that was not there.

    Raises:
        InvalidInput: it cannot; what to do.
        StoreFailed: an object store does not answer.
    """
    folder = Path(store.uri) if isinstance(store, LocalStore) else None
    is_new = folder is not None and not folder.exists()
    refuses_second_create(store)
    if folder is not None and is_new:
        with suppress(OSError):  # somebody else has begun to write there
            (folder / _TEMP).rmdir()
            folder.rmdir()


def refuses_second_create(store: Store) -> bool:
    """Whether the store refuses to create what exists, so that no controller overwrites another's commits.

    Tried on a name of its own, which is gone afterwards.

    Raises:
        InvalidInput: the store cannot be written with these settings; what to do.
    """
    name = f"_probe-{uuid4().hex}"
    try:
        try:
            created = store.create(name, b"first")
            created_again = store.create(name, b"second")
            content = store.read(name)
        finally:
            store.delete(name)
    except StoreFailed as failed:
        if isinstance(cause := failed.__cause__, OSError) and isinstance(store, LocalStore):
            raise InvalidInput(
                f"{store.uri} cannot be written: {cause.strerror or cause}. Name an --output that can, or change its "
                "permissions"
            ) from failed
        if advice(failed.__cause__) is None:
            raise
        raise InvalidInput(str(failed)) from failed
    return created and not created_again and content == b"first"


def probe(store: Store) -> None:
    """Check that the store refuses to create what exists, and leave it as it was.

    Raises:
        InvalidInput: it does not, so two controllers could overwrite each other's commits; or it cannot be written.
    """
    if not refuses_second_create(store):
        raise InvalidInput(
            f"{store.uri} does not refuse to create a file that exists, so two controllers could overwrite each "
            "other's commits. Use another store, or pass --single-writer if nobody else ever writes to this run."
        )


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_all_but_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
