"""The file of an export: written aside in pieces, and put under its name as a whole.

    rows --Parquet or JSON Lines--> scratch file --local: copied beside the name, renamed; s3://: one PUT--> URI

So a name holds a whole export, an older one or nothing.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from actors.writer.store_retry import patiently_blocking
from cluster.s3_client import is_s3, parse_address
from cluster.store import open_store
from jobs.display.terminal import err
from records.failure import InvalidInput, StoreFailed
from records.schemas import PARQUET_OPTIONS

MAX_OBJECT_BYTES = 5 * 2**30
"""Of what one PUT takes."""


class RowFile:
    """A file in the making. For `with`; nothing may be read from it before that has ended."""

    def __init__(self, path: Path, file_format: str, schema: pa.Schema) -> None:
        """Opens `path`.

        Args:
            path: of a new file.
            file_format: "parquet" or "jsonl".
            schema: of the rows.
        """
        self._schema = schema
        self._parquet = pq.ParquetWriter(path, schema, **PARQUET_OPTIONS) if file_format == "parquet" else None
        self._lines = path.open("w", encoding="utf-8", newline="\n") if self._parquet is None else None

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, as one row group of Parquet."""
        if not rows:
            return
        if self._parquet is not None:
            self._parquet.write_table(pa.Table.from_pylist(list(rows), schema=self._schema))
        if self._lines is not None:
            for row in rows:
                ordered = {name: row[name] for name in self._schema.names}
                self._lines.write(json.dumps(ordered, ensure_ascii=False, allow_nan=False) + "\n")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        for file in (self._parquet, self._lines):
            if file is not None:
                file.close()


class Target:
    """Where an export goes: `s3://bucket/key`, `file:///path` or a path."""

    def __init__(self, uri: str) -> None:
        """Look whether a file of that name can be written; nothing is.

        Raises:
            InvalidInput: it cannot.
        """
        self.uri = uri
        if is_s3(uri):
            address = parse_address(uri)
            folder, _, self._name = address.key.rpartition("/")
            if not self._name or uri.endswith("/"):
                raise InvalidInput(f"--output {uri}: name a file, such as {uri.rstrip('/')}/pairs.parquet")
            self._store = open_store(f"s3://{address.bucket}/{folder}".rstrip("/"))
            return
        if "://" in uri and not uri.startswith("file:///"):
            raise InvalidInput(f"--output {uri}: give a path, file:///path or s3://bucket/key")
        self._path = Path(unquote(urlsplit(uri).path) if "://" in uri else uri).absolute()
        if self._path.is_dir() or uri.endswith("/"):
            raise InvalidInput(f"--output {uri}: is a folder; name a file in it")
        above = next(folder for folder in self._path.parents if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise InvalidInput(f"--output {uri}: nothing can be written below {above}")

    def put(self, file: Path) -> None:
        """Put a whole file under the name.

        Raises:
            StoreFailed: it cannot be written.
        """
        if is_s3(self.uri):
            if (size := file.stat().st_size) > MAX_OBJECT_BYTES:
                raise StoreFailed(f"{self.uri}: {size} bytes are too many for one PUT; export to a local file")
            patiently_blocking(partial(self._store.upload, self._name, file), _note)
            return
        temp = self._path.with_name(f".{self._path.name[:100]}.{uuid4().hex}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with file.open("rb") as source, temp.open("xb") as stream:
                    shutil.copyfileobj(source, stream, 1 << 20)
                    stream.flush()
                    os.fsync(stream.fileno())
                temp.replace(self._path)
            finally:
                temp.unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailed(f"write {self.uri}: {error}") from error


def _note(line: str) -> None:
    err(f"{line}\n")
