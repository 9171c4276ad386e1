"""Files and folders of an object store on the local disk: downloaded once, kept in a cache, shared by processes.

    s3://bucket/key --HEAD--> key, ETag, size --> CACHE/files/<digest>/NAME       there: done
                                                  under its lock: download to a .partial name --rename--> NAME

An entry is named by a digest of endpoint, address, ETag and size, so an object that has changed is another entry. What
has its name is whole: it was downloaded beside it and renamed. A killed download is taken up by the next one at the
file where it ended. Nothing is ever removed; the cache may be deleted whenever nobody uses it.

The cache is `$PARSIMONY_CACHE`, else `$XDG_CACHE_HOME/parsimony`, else `~/.cache/parsimony`.
"""

import fcntl
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.hub import HUB_FILES, is_hub_name, stage_hub_file, stage_hub_folder
from cluster.s3_client import (
    S3Address,
    errors,
    failure,
    is_s3,
    make_client,
    parse_address,
    status_of,
)
from records.failure import InvalidInput, StoreFailed
from records.run_folder.store import check_name

OUTLINE_BYTES = 64 * 2**20
"""An outline leaves out the content of files above this; tokenizers and configurations are well below."""
MAX_HEADER_BYTES = 100 * 2**20
"""Of a safetensors file, by its format."""


@dataclass(frozen=True, slots=True)
class _Object:
    """One object: its name below the folder (a file's: its last part), and what tells it from its successors."""

    name: str
    key: str
    etag: str
    size: int


def stage_file(uri: str) -> Path:
    """The file at `uri` on this machine: a local path as it is, an object of an `s3://` address downloaded once.

    So is a file of a dataset on a hub (`cluster.hub`).

    Raises:
        InvalidInput: there is no such object, or it may not be read.
        StoreFailed: the store or the local disk failed.
    """
    if uri.startswith(HUB_FILES):
        return stage_hub_file(uri)
    if not is_s3(uri):
        return Path(uri)
    staging = _Staging(uri)
    found = staging.head()
    entry = staging.entry("files", [found])
    target = entry / found.name.encode()[-200:].decode(errors="ignore")
    with staging.alone(entry):
        if not target.exists():
            staging.download(found, target)
    return target


def stage_folder(uri: str) -> Path:
    """The folder at `uri` on this machine: a local path as it is, all objects below an `s3://` address downloaded once.

    So is a model by its name on a hub (`cluster.hub`).

    Raises:
        InvalidInput: there is nothing below the address, or it may not be read.
        StoreFailed: the store or the local disk failed.
    """
    return _stage_objects(uri, outline=False)


def stage_outline(uri: str) -> Path:
    """The folder at `uri` as `stage_folder` gives it, but large files are holes of their size.

    Of large safetensors files the header is there: enough to check a model of any size without downloading it. Raises
    as `stage_folder` does.
    """
    return _stage_objects(uri, outline=True)


def is_staged(uri: str) -> bool:
    """Whether each machine that needs what is at `uri` comes to have it by itself: no folder, but a copy of one."""
    return is_s3(uri) or is_hub_name(uri)


def _stage_objects(uri: str, *, outline: bool) -> Path:
    if is_hub_name(uri):  # of a hub's weights there is no outline: they are here once they have been checked
        return stage_hub_folder(uri)
    if not is_s3(uri):
        return Path(uri)
    staging = _Staging(uri)
    found = staging.list()
    outline = outline and any(each.size > OUTLINE_BYTES for each in found)  # else it is the folder itself
    entry = staging.entry("outlines" if outline else "folders", found)
    target = entry / (staging.address.key.rpartition("/")[2] or staging.address.bucket)
    partial = entry / ".partial"
    with staging.alone(entry):
        if target.exists():
            return target
        for each in found:
            file = partial / each.name
            if file.exists():
                continue
            if outline and each.size > OUTLINE_BYTES:
                staging.download_outline(each, file)
            else:
                staging.download(each, file)
        partial.rename(target)
    return target


class _Staging:
    """Staging from one address."""

    def __init__(self, uri: str) -> None:
        self.address: S3Address = parse_address(uri)
        self._client = make_client()

    def head(self) -> _Object:
        """The object at the address."""
        with self._failures("read"):
            try:
                found = self._client.head_object(Bucket=self.address.bucket, Key=self.address.key)
            except errors() as error:
                if status_of(error) != 404:
                    raise
                raise InvalidInput(f"{self.address}: there is no such object (or no such bucket)") from error
        return _Object(self.address.key.rpartition("/")[2], self.address.key, found["ETag"], found["ContentLength"])

    def list(self) -> "list[_Object]":
        """The objects below the address, sorted by name."""
        prefix = f"{self.address.key}/" if self.address.key else ""
        found = []
        with self._failures("list"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.address.bucket, Prefix=prefix)
            for item in (item for page in pages for item in page.get("Contents", ())):
                if not item["Key"].endswith("/"):  # a folder, as consoles write it
                    name = item["Key"].removeprefix(prefix)
                    found.append(_Object(name, item["Key"], item["ETag"], item["Size"]))
        if not found:
            raise InvalidInput(f"{self.address}: there are no objects below this address")
        try:
            for each in found:
                check_name(each.name)
        except ValueError as error:
            raise InvalidInput(f"{self.address}: {error}: it cannot be a local file") from error
        return sorted(found, key=lambda each: each.name)

    def entry(self, kind: str, found: Sequence[_Object]) -> Path:
        """The cache's folder for these objects as they are now."""
        identity = [
            self._client.meta.endpoint_url,
            str(self.address),
            [(each.name, each.etag, each.size) for each in found],
        ]
        return cache_folder() / kind / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]

    @contextmanager
    def alone(self, entry: Path) -> Iterator[None]:
        """Be the only process and thread at work on an entry; the lock of one that was killed is free."""
        with self._failures("stage"):
            entry.mkdir(parents=True, exist_ok=True)
            with (entry / ".lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    def download(self, found: _Object, file: Path) -> None:
        """Bring one object to `file`, as a whole or not at all."""
        partial = _beside(file)
        with self._failures("read", found.key):
            with partial.open("wb") as stream:
                self._client.download_fileobj(self.address.bucket, found.key, stream)
            now = self._client.head_object(Bucket=self.address.bucket, Key=found.key)
        if (now["ETag"], partial.stat().st_size) != (found.etag, found.size):
            raise StoreFailed(f"read s3://{self.address.bucket}/{found.key}: it changed meanwhile; start again")
        partial.rename(file)

    def download_outline(self, found: _Object, file: Path) -> None:
        """Make `file` as long as the object, with a safetensors file's header and nothing else in it."""
        partial = _beside(file)
        with partial.open("wb") as stream:
            if file.suffix == ".safetensors":
                start = self._range(found, 0, 8)
                length = min(struct.unpack("<Q", start)[0], found.size - 8, MAX_HEADER_BYTES)
                stream.write(start + (self._range(found, 8, length) if length else b""))
            stream.truncate(found.size)
        partial.rename(file)

    def _range(self, found: _Object, start: int, length: int) -> bytes:
        wanted = f"bytes={start}-{start + length - 1}"
        with self._failures("read", found.key):
            answer = self._client.get_object(Bucket=self.address.bucket, Key=found.key, Range=wanted)
            content: bytes = answer["Body"].read()
        if answer["ETag"] != found.etag:
            raise StoreFailed(f"read s3://{self.address.bucket}/{found.key}: it changed meanwhile; start again")
        return content

    @contextmanager
    def _failures(self, verb: str, key: str | None = None) -> Iterator[None]:
        where = str(self.address) if key is None else f"s3://{self.address.bucket}/{key}"
        try:
            yield
        except errors() as error:
            raise failure(error, verb, where, starting=True) from error
        except OSError as error:
            raise StoreFailed(
                f"{verb} {where}: the cache {cache_folder()} failed: {error}; make room, or set PARSIMONY_CACHE to a "
                "folder on another disk"
            ) from error


def _beside(file: Path) -> Path:
    """Where `file` is made; its folder is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.with_name(f".{hashlib.sha256(file.name.encode()).hexdigest()[:16]}.partial")


def cache_folder() -> Path:
    """What this machine keeps of models and problem files between runs; it may not be there yet."""
    chosen = os.environ.get("PARSIMONY_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "parsimony"
