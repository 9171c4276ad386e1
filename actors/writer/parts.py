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

from records.failure import StoreFailed
from records.rows import OpenRecord, ProblemRecord
from records.run_folder.commits import Part
from records.run_folder.layout import TABLES, Table, part_name
from records.run_folder.store import Store
from records.schemas import PARQUET_OPTIONS, Row, to_table


def write_parts(
    folder: Path, records: Sequence[ProblemRecord], opened: Sequence[OpenRecord], *, epoch: int, commit: int
) -> list[tuple[Part, Path]]:
    """Write the rows of `opened` and `records` as one part per table that has any; raises as `write_part` does."""
    held: list[OpenRecord | ProblemRecord] = [*opened, *records]
    rows: dict[Table, Sequence[Row]] = {
        "problems": [record.problem for record in records],
        "steps": [step for record in held for step in record.steps],
        "requests": [request for record in held for request in record.requests],
        "rollouts": [rollout for record in records for rollout in record.rollouts],
    }
    return [write_part(folder, table, rows[table], epoch=epoch, commit=commit) for table in TABLES if rows[table]]


def write_part(folder: Path, table: Table, rows: Sequence[Row], *, epoch: int, commit: int) -> tuple[Part, Path]:
    """Write `rows` (at least one) as one Parquet file into `folder`; the part, and where its file lies.

    Raises:
        ValueError: a row does not fit the table.
        StoreFailed: the disk is full, or did not keep what was written.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(table, rows), sink, **PARQUET_OPTIONS)
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
    """The ids in a part of `problems`. Raises as `read_columns`."""
    column = read_columns(store, part, ["problem_id"]).column("problem_id")
    return [str(problem_id) for problem_id in column.to_pylist()]


def read_columns(store: Store, part: Part, columns: Sequence[str]) -> pa.Table:
    """Some columns of a part. Raises `StoreFailed` if the part is gone or not what was committed."""
    data = store.read(part.name)
    if data is None or hashlib.sha256(data).hexdigest() != part.sha256:
        raise StoreFailed(f"{store.uri}/{part.name} is {'gone' if data is None else 'not what was committed'}")
    return pq.read_table(pa.BufferReader(data), columns=list(columns))
