"""The rows of a Parquet file, within bounds: no page, no cell and no number of rows makes us hold or do without end."""

from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.problems.file_rows import Expansion, FileRow, LineError
from records.bounded import check_regular, quoted
from records.failure import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BATCH_ROWS = 256
"""Rows that are held at a time, at most."""
BATCH_BYTES = 2**24
"""Of the pages that they may lie in."""
ROW_BYTES = 8
"""That a row counts for at least, whatever it holds."""


def parquet_rows(path: str, file: Path, wanted: Collection[str] | None) -> Iterator[FileRow]:
    """The rows of a file; columns that are not wanted are None.

    Args:
        path: as the user wrote it, for messages.
        file: on this machine's disk.
        wanted: columns whose values will be looked at; None: all.

    Raises:
        InvalidInput: nothing, or nothing more, of it can be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from records.parquet_bounds import check_parquet

    number = 0
    try:
        expansion = Expansion(path, check_regular(file))
        size = check_parquet(file, wanted)
        batch_rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // max(1, size.row_bytes)))
        # Buffered: pages are read as they are needed, not whole row groups.
        with closing(pq.ParquetFile(file, buffer_size=2**16, pre_buffer=False)) as parquet:
            names = parquet.schema_arrow.names
            others: dict[str, object] = dict.fromkeys(names)
            chosen = [name for name in names if wanted is None or name in wanted]
            for batch in parquet.iter_batches(batch_rows, columns=chosen):
                for at in range(batch.num_rows):
                    number += 1
                    columns = _columns(batch, at, others)
                    expansion.add(_size(columns, chosen))
                    yield FileRow(number, columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        where = f" after row {number}" if number else ""
        raise InvalidInput(
            f"{path}: cannot be read{where} ({_first_line(error)}); is it a whole Parquet file?"
        ) from error


def _columns(batch: "pa.RecordBatch", at: int, others: dict[str, object]) -> dict[str, object] | LineError:
    try:
        return others | {
            name: column[at].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
    except UnicodeDecodeError:
        return LineError("a text is not UTF-8; write the file again from UTF-8")


def _size(columns: dict[str, object] | LineError, names: Collection[str]) -> int:
    if isinstance(columns, LineError):
        return ROW_BYTES
    texts = (columns[name] for name in names)
    return ROW_BYTES + sum(len(text) for text in texts if isinstance(text, str | bytes))


def _first_line(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return quoted(str(reason).partition("\n")[0])
