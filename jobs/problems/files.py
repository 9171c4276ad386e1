"""Problem files as rows, one at a time: JSON Lines, CSV and Parquet, on a local disk or under s3://.

    rows(path, wanted) -> FileRow(number, columns), FileRow(number, LineError), ...

A row that cannot be read is told in its place, and the next one is read. Never more than a line, or a Parquet batch, is
held. The extension says what a file is.
"""

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from records.failure import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

KNOWN = ".jsonl, .jsonl.gz, .csv, .csv.gz, .parquet"
BATCH_ROWS = 256
"""Parquet rows that are held at a time."""
MAX_CELL_CHARS = 2**24
"""Of one CSV cell. It bounds what a quote that nobody closes makes us hold."""


class LineError(Exception):
    """One mistake: what it is and what to do. The place is added by who knows the line."""


class NoColumns(LineError):
    """It is not even known what to read, so there is no use in looking at the next line."""


class FileRow(NamedTuple):
    """One row of a file.

    Attributes:
        number: the line on which it begins, from 1; of Parquet the row, from 1.
        columns: name -> value as the file has it; or the mistake that stands there.
    """

    number: int
    columns: dict[str, object] | LineError


def rows(path: str, wanted: Collection[str] | None) -> Iterator[FileRow]:
    """The rows of a file in order, blank lines left out.

    Args:
        path: a local path or s3://, with one of the `KNOWN` extensions.
        wanted: columns whose values will be looked at; of Parquet the others are None. None: all columns.

    Raises:
        InvalidInput: nothing, or nothing more, of it can be read.
    """
    if path.lower().endswith(".parquet"):
        return _parquet_rows(path, wanted)
    readers: dict[str, Callable[[Iterator[bytes]], Iterator[FileRow]]] = {
        ".jsonl": _json_rows,
        ".csv": lambda lines: _csv_rows(lines, wanted),
    }
    reader = readers.get(Path(path.lower().removesuffix(".gz")).suffix)
    if reader is None:
        raise InvalidInput(f"{path}: its extension does not say what it is; known are {KNOWN}")
    return _text_rows(path, reader)


def unit(path: str) -> str:
    """What the rows of a file are numbered by."""
    return "row" if path.lower().endswith(".parquet") else "line"


def place(path: str, number: int) -> str:
    """Where a row is, for a message."""
    return f"{path}: row {number}" if unit(path) == "row" else f"{path}:{number}"


def _local(path: str) -> Path:
    """The file on this machine's disk; one under s3:// is fetched once."""
    if "://" not in path:
        return Path(path)
    if not path.startswith("s3://"):
        raise InvalidInput(f"{path}: problems are read from a local disk or from s3://BUCKET/KEY")
    from cluster.staging import stage_file

    return stage_file(path)


def _text_rows(path: str, reader: Callable[[Iterator[bytes]], Iterator[FileRow]]) -> Iterator[FileRow]:
    """What `reader` makes of the lines; a byte order mark is dropped."""
    try:
        with _opened(path) as file:
            first = file.readline().removeprefix(codecs.BOM_UTF8)
            yield from reader(_all(first, file))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(
            f"{path}: the gzip file is broken or cut short ({error}); compress or copy it again"
        ) from error
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror}); give a file with problems") from error


def _opened(path: str) -> BinaryIO:
    file = _local(path)
    return gzip.open(file) if path.lower().endswith(".gz") else file.open("rb")  # type: ignore[return-value]


def _all(first: bytes, rest: BinaryIO) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _json_rows(lines: Iterator[bytes]) -> Iterator[FileRow]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield FileRow(number, _json_columns(line))


def _json_columns(line: bytes) -> dict[str, object] | LineError:
    try:
        columns = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        return LineError(f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        return LineError(f"not JSON: {error.msg} (character {error.pos + 1}); write one object per line")
    except (ValueError, RecursionError) as error:
        return LineError(f"JSON that cannot be read: {error}")
    if not isinstance(columns, dict):
        return LineError("not an object, {...}; write one per line (of an array: jq -c '.[]' FILE)")
    return columns


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _csv_rows(lines: Iterator[bytes], wanted: Collection[str] | None) -> Iterator[FileRow]:
    """A row may span lines, in quotes; the first one names the columns. An empty cell is null."""
    csv.field_size_limit(MAX_CELL_CHARS)
    # What is no UTF-8 becomes lone surrogates, so that it is told where it stands and reading goes on.
    reader = csv.reader((line.decode(errors="surrogateescape") for line in lines), strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            mistake = f"not CSV: {error}; put a cell with commas, quotes or line ends in quotes, and double its quotes"
            yield FileRow(number, LineError(mistake) if header else NoColumns(mistake))
            continue
        if cells is None:
            return
        if not cells:
            continue
        if header is not None:
            yield FileRow(number, _csv_columns(header, cells))
        elif unusable := _header_mistake(cells, wanted):
            yield FileRow(number, NoColumns(unusable))
            return
        else:
            header = cells


def _header_mistake(names: list[str], wanted: Collection[str] | None) -> str | None:
    if not _is_utf8(names):
        return "the names of the columns are not UTF-8; save the file as UTF-8"
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        return f"the column {twice[0]!r} is there twice; rename one"
    if wanted is not None and not any(name in wanted for name in names):
        return f"no column is known; the first line must name them, with commas between: {', '.join(map(repr, names))}"
    return None


def _csv_columns(header: list[str], cells: list[str]) -> dict[str, object] | LineError:
    if len(cells) != len(header):
        return LineError(f"there are {len(cells)} cells, and {len(header)} columns; is a comma or a quote missing?")
    if not _is_utf8(cells):
        return LineError("not UTF-8; save the file as UTF-8")
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _is_utf8(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet_rows(path: str, wanted: Collection[str] | None) -> Iterator[FileRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # Buffered: pages are read as they are needed, not whole row groups.
        with closing(pq.ParquetFile(_local(path), buffer_size=2**16, pre_buffer=False)) as file:
            names = file.schema_arrow.names
            chosen = [name for name in names if wanted is None or name in wanted]
            for batch in file.iter_batches(BATCH_ROWS, columns=chosen):
                others: dict[str, object] = dict.fromkeys(names)
                for at in range(batch.num_rows):
                    number += 1
                    yield FileRow(number, _parquet_columns(batch, at, others))
    except (pa.ArrowException, OSError) as error:
        where = f" after row {number}" if number else ""
        raise InvalidInput(
            f"{path}: cannot be read{where} ({_first_line(error)}); is it a whole Parquet file?"
        ) from error


def _parquet_columns(batch: "pa.RecordBatch", at: int, others: dict[str, object]) -> dict[str, object] | LineError:
    try:
        return others | {
            name: column[at].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
    except UnicodeDecodeError:
        return LineError("a text is not UTF-8; write the file again from UTF-8")


def _first_line(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return str(reason).partition("\n")[0]
