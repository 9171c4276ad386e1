"""Part files: written to local disk, opened again and checked there, before the store hears of them.

A part is never streamed to the store: an exception in the middle of a streamed upload publishes a readable, truncated
Parquet file.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from actors.writer.buffer import Buffer
from records.failure import Damaged, StoreFailed
from records.run_folder.commits import Part
from records.run_folder.layout import TABLES, Table, part_name
from records.run_folder.store import Store
from records.schemas import PARQUET_OPTIONS, to_table


def write_parts(folder: Path, buffer: Buffer, *, epoch: int, commit: int) -> list[tuple[Part, Path]]:
    """Write what waits as one part per table that has rows.

    Raises:
        ValueError: a row does not fit the table.
        StoreFailed: as `write_part`.
    """
    tables = {table: buffer.rows_of(table) for table in TABLES}
    tables["problems"] = to_table("problems", buffer.problems) if buffer.problems else None
    return [
        write_part(folder, table, rows, epoch=epoch, commit=commit)
        for table, rows in tables.items()
        if rows is not None
    ]


def write_part(folder: Path, table: Table, rows: pa.Table, *, epoch: int, commit: int) -> tuple[Part, Path]:
    """Write `rows` (at least one) as one Parquet file into `folder`; the part, and where its file lies.

    Raises:
        StoreFailed: the disk is full, or did not keep what was written.
    """
    sink = pa.BufferOutputStream()
    # In one piece: how rows came to the writer shows in no byte.
    pq.write_table(rows.combine_chunks(), sink, **PARQUET_OPTIONS)
    data = sink.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    part = Part(table, part_name(table, epoch, commit, sha256), len(rows), data.size, sha256)
    file = folder / part.name.replace("/", "-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        check_part(part, file)
    except OSError as error:
        raise StoreFailed(f"spooling {part.name} to {folder}: {error}") from error
    return part, file


def check_part(part: Part, file: Path) -> None:
    """Raises `StoreFailed` unless `file` is whole: size, hash, footer and row count are the part's."""
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if file.stat().st_size != part.bytes or sha256 != part.sha256:
        raise StoreFailed(f"{file} is not what was written to it")
    with pq.ParquetFile(file) as parquet:
        if parquet.metadata.num_rows != part.rows:
            raise StoreFailed(f"{file} holds {parquet.metadata.num_rows} rows, not {part.rows}")


def read_problem_ids(store: Store, part: Part) -> list[str]:
    """The ids in a part of `problems`. Raises as `read_part`."""
    column = read_columns(store, part, ["problem_id"]).column("problem_id")
    return [str(problem_id) for problem_id in column.to_pylist()]


def read_columns(store: Store, part: Part, columns: Sequence[str]) -> pa.Table:
    """Some columns of a part. Raises as `read_part`."""
    return pq.read_table(pa.BufferReader(read_part(store, part)), columns=list(columns))


def read_part(store: Store, part: Part) -> bytes:
    """The file of a part. Raises `StoreFailed` if it is gone or not what was committed."""
    data = store.read(part.name)
    if data is None or hashlib.sha256(data).hexdigest() != part.sha256:
        raise Damaged(f"{store.uri}/{part.name} is {'gone' if data is None else 'not what was committed'}")
    return data
