"""The files of a run as its readers see them, on a local disk or in an object store, each within its bounds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from records.bounded import check_regular, inside, quoted
from records.failure import Damaged, InvalidInput, StoreFailed
from records.parquet_bounds import check_parquet
from records.run_folder import layout
from records.run_folder.commits import Part
from records.run_folder.object_store import s3_filesystem


@dataclass(frozen=True, slots=True)
class RunFiles:
    """`records.run_folder.checkpoints.Files` on a pyarrow file system."""

    filesystem: Any
    root: str
    scheme: str

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def is_file(self) -> bool:
        """Whether the run's address is that of a local file."""
        return isinstance(self.filesystem, fs.LocalFileSystem) and Path(self.root).is_file()

    def address(self, name: str) -> str:
        return self.scheme + self.path(name)

    def read(self, name: str) -> bytes | None:
        bound = layout.max_bytes(name)
        try:
            self.check_place(name, bound)
            with self.filesystem.open_input_file(self.path(name)) as stream:
                if bound is not None and stream.size() > bound:
                    raise Damaged(f"{self.address(name)} has {stream.size():,} bytes; at most {bound:,} are read")
                return bytes(stream.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreFailed(f"read {self.address(name)}: {error}") from error

    def check_place(self, name: str, bound: int | None = None) -> None:
        """Of a local file: it is a regular one, in the run's folder. Raises `OSError` where there is none."""
        if not isinstance(self.filesystem, fs.LocalFileSystem):
            return
        file = Path(self.path(name))
        try:
            check_regular(file, bound)
        except ValueError as error:
            raise Damaged(f"{file}: {error}") from error
        if not inside(file, Path(self.root)):
            raise Damaged(f"{file} is a link that leads out of the run")

    def check_part(self, part: Part) -> None:
        """Of a local part, before anything is unpacked: it is what was committed, within the bounds of Parquet.

        Raises:
            OSError: it cannot be read: a larger one may hold its rows by now.
            Damaged: it is not.
        """
        if not isinstance(self.filesystem, fs.LocalFileSystem):
            return
        file = Path(self.path(part.name))
        size = file.stat().st_size
        try:
            self.check_place(part.name)
            check_parquet(file)
        except ValueError as error:
            raise Damaged(f"a part of {part.table} is gone or damaged: {file}: {quoted(error)}") from error
        if size != part.bytes:
            raise Damaged(
                f"a part of {part.table} is not what its commits say: {file} has {size:,} bytes, not {part.bytes:,}"
            )

    def failure(self, what: str, error: Exception) -> StoreFailed:
        """What reading raises; `Damaged` where asking again is no use: of a local file, and of content that is none."""
        local = isinstance(self.filesystem, fs.LocalFileSystem) or not isinstance(error, OSError)
        return (Damaged if local else StoreFailed)(f"{what}: {quoted(error)}")

    def list(self, prefix: str) -> "list[str]":
        folder = prefix.rpartition("/")[0]
        selector = fs.FileSelector(self.path(folder), allow_not_found=True)
        try:
            entries = self.filesystem.get_file_info(selector)
        except OSError as error:
            raise StoreFailed(f"list {self.address(folder)}: {error}") from error
        return sorted(entry.path.removeprefix(f"{self.root}/") for entry in entries if entry.type == fs.FileType.File)


def open_files(uri: str) -> RunFiles:
    if "://" not in uri:
        return RunFiles(fs.LocalFileSystem(), str(Path(uri).absolute()), "")
    scheme, _, path = uri.partition("://")
    if scheme == "s3":
        root = path.rstrip("/")
        return RunFiles(s3_filesystem(root.partition("/")[0]), root, "s3://")
    try:
        filesystem, root = fs.FileSystem.from_uri(uri)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{uri} cannot be opened: {error}") from error
    local = isinstance(filesystem, fs.LocalFileSystem)
    return RunFiles(filesystem, root.rstrip("/"), "" if local else f"{scheme}://")
