"""Few large parts in the place of many small ones: which are due, and the part that takes their place.

    a table's parts   [ 40 MB ][ 35 MB ] [ 7 MB ][ 7 MB ] ... [ 7 MB ] [small][small] ... [small]
                       settled: never      together `target_bytes`:      `fan_in` in a row:
                       touched again       one part                      one part

Rows keep their order, and each is written again about twice. Only neighbours are merged, so a part is a stretch of its
table: a reader that counted rows on the old parts counts on from the same row on the new ones.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from actors.writer.parts import check_part, read_part
from records.failure import StoreFailed
from records.run_folder.commits import Part
from records.run_folder.layout import Table, part_name
from records.run_folder.parallel import in_parallel
from records.run_folder.segments import Segments, segments_metadata, segments_of
from records.run_folder.store import Store
from records.schemas import PARQUET_OPTIONS, SCHEMAS, conformed

ROW_GROUP_BYTES = 64_000_000
"""Of a row group, about, as it lies in memory: what merging holds, however many parts there are."""
NUM_AHEAD = 4
"""Parts that are read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSizes:
    """When parts are merged, in bytes of their files.

    Attributes:
        small_bytes: below this, `fan_in` neighbours become one.
        settled_bytes: from this on a part stays as it is.
        target_bytes: neighbours that come to this together become one, which is then smaller than this and
            `settled_bytes` more.
        fan_in: small parts at the end of a table, at most.
    """

    small_bytes: int = 1_000_000
    settled_bytes: int = 16_000_000
    target_bytes: int = 32_000_000
    fan_in: int = 64


def due_parts(parts: Sequence[Part], sizes: PartSizes) -> Sequence[Part]:
    """Neighbours that one part should stand for; empty where there is nothing to do.

    Args:
        parts: of one table, in commit order.
        sizes: of parts.
    """
    stretches: list[list[Part]] = [[]]
    for part in parts:
        if part.bytes < sizes.settled_bytes:
            stretches[-1].append(part)
        else:
            stretches.append([])
    *closed, last = stretches
    for stretch in closed:  # nothing will be added to it
        if len(stretch) > 1:
            return _up_to(stretch, sizes.target_bytes)
    if sum(part.bytes for part in last) >= sizes.target_bytes:
        return _up_to(last, sizes.target_bytes)
    small = list(takewhile(lambda part: part.bytes < sizes.small_bytes, reversed(last)))[::-1]
    return small if len(small) >= sizes.fan_in else ()


def _up_to(parts: Sequence[Part], target_bytes: int) -> Sequence[Part]:
    """From the first on, until they come to the target."""
    total = 0
    for number, part in enumerate(parts, 1):
        total += part.bytes
        if total >= target_bytes:
            return parts[:number]
    return parts


def merge_parts(
    store: Store, folder: Path, table: Table, parts: Sequence[Part], *, epoch: int, commit: int
) -> tuple[Part, Path]:
    """Write the rows of `parts`, in order, as one Parquet file into `folder`; the part, and where its file lies.

    Args:
        store: of the run.
        folder: on a local disk.
        table: of the parts.
        parts: visible ones, at least one.
        epoch: of the writer, for the name.
        commit: that will be next, for the name.

    Raises:
        StoreFailed: a part is gone or not what was committed; or the disk is full.
    """
    file = folder / f"{table}-{uuid4().hex}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(store, file, table, parts)
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        name = part_name(table, epoch, commit, sha256)
        merged = Part(table, name, sum(part.rows for part in parts), file.stat().st_size, sha256)
        check_part(merged, file)
    except OSError as error:
        raise StoreFailed(f"merging parts of {table} in {folder}: {error}") from error
    return merged, file


def _write(store: Store, file: Path, table: Table, parts: Sequence[Part]) -> None:
    segments: list[tuple[int, int]] = []
    held: list[pa.Table] = []
    with pq.ParquetWriter(file, SCHEMAS[table], **PARQUET_OPTIONS) as sink:
        for rows, own in in_parallel(partial(_content, store, table), parts, num_threads=NUM_AHEAD):
            segments += own
            held.append(rows)
            if sum(one.nbytes for one in held) >= ROW_GROUP_BYTES:
                sink.write_table(pa.concat_tables(held).combine_chunks())
                held = []
        if held:
            sink.write_table(pa.concat_tables(held).combine_chunks())
        sink.add_key_value_metadata(segments_metadata(segments))


def _content(store: Store, table: Table, part: Part) -> tuple[pa.Table, Segments]:
    with pq.ParquetFile(pa.BufferReader(read_part(store, part))) as file:
        rows = pa.Table.from_batches([conformed(table, batch) for batch in file.read().to_batches()], SCHEMAS[table])
        return rows, segments_of(part, file.metadata.metadata)
