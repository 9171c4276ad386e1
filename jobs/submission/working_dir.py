"""The working directory of a Ray job: which files of a folder travel, and the zip file that carries them.

A git checkout ships what git does not ignore, any other folder all that it holds; folders that no job needs stay in
both cases. The same files give the same bytes, so that Ray uploads them once.
"""

import os
import subprocess
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from records.failure import InvalidInput

LEFT_OUT = frozenset(
    {
        ".git",
        ".hypothesis",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".venv",
        "__pycache__",
        "node_modules",
        "runs",
        "venv",
    }
)
"""Names of folders that are never shipped."""

MAX_BYTES = 100 * 2**20 - 1
"""Ray's dashboard refuses an upload of 100 MiB."""

_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


def shipped_files(folder: Path) -> list[PurePosixPath]:
    """The files of `folder` that travel, relative to it, sorted. A link to a file travels as that file."""
    names = _unignored(folder)
    if names is None:
        names = _walked(folder)
    paths = (PurePosixPath(name) for name in names)
    return sorted(path for path in paths if LEFT_OUT.isdisjoint(path.parts) and (folder / path).is_file())


def write_package(folder: Path, files: Iterable[PurePosixPath], target: Path) -> int:
    """Pack `files` of `folder` into the zip file `target`; its size in bytes.

    Raises:
        InvalidInput: it is larger than Ray takes, or a file cannot be read.
    """
    files = list(files)
    with target.open("wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as package:
        for file in files:
            info = zipfile.ZipInfo(str(file), _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o755 << 16 if os.access(folder / file, os.X_OK) else 0o644 << 16
            try:
                with (folder / file).open("rb") as source, package.open(info, "w") as packed:
                    while chunk := source.read(_CHUNK):
                        packed.write(chunk)
                        _check_size(stream.tell(), folder, files)
            except OSError as error:
                raise InvalidInput(f"{folder / file} cannot be read: {error.strerror}") from error
    size = target.stat().st_size
    _check_size(size, folder, files)
    return size


def _check_size(size: int, folder: Path, files: Iterable[PurePosixPath]) -> None:
    if size <= MAX_BYTES:
        return
    largest = sorted(files, key=lambda file: (folder / file).stat().st_size, reverse=True)[:3]
    named = ", ".join(f"{file} ({(folder / file).stat().st_size / 2**20:.0f} MiB)" for file in largest)
    raise InvalidInput(
        f"the working directory {folder} is too large to be shipped: Ray takes {MAX_BYTES / 2**20:.0f} MiB, packed. "
        f"The largest files: {named}. Let git ignore what the job does not need, name a smaller folder with "
        "--working-dir, or put models and problems where the cluster finds them"
    )


def _unignored(folder: Path) -> list[str] | None:
    """What git knows or would add below `folder`; None outside a checkout."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 (no user input but a folder)
    except FileNotFoundError:
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name] if done.returncode == 0 else None


def _walked(folder: Path) -> list[str]:
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        names += [(Path(parent) / file).relative_to(folder).as_posix() for file in files]
    return names
