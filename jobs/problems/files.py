"""Problem files as rows, one at a time: JSON Lines, CSV and Parquet, on a disk, under s3:// or on a hub.

    rows(path, wanted) -> FileRow(number, columns), FileRow(number, LineError), ...

A row that cannot be read is told in its place, and the next one is read. Never more than a line, or a Parquet batch, is
held, and a file that unpacks without end is refused. The extension says what a file is.
"""

import codecs
import csv
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from cluster.hub import HUB_FILES
from jobs.problems.file_rows import Expansion, FileRow, LineError, NoColumns, TooLong
from jobs.problems.parquet_rows import parquet_rows
from records.bounded import check_regular, parse_json, quoted
from records.failure import InvalidInput

KNOWN = ".jsonl, .jsonl.gz, .csv, .csv.gz, .parquet"
MAX_LINE_BYTES = 2**24
"""Of one line, and of one CSV row, which a quote that nobody closes would make as long as the file."""
MIN_LINE_BYTES = 64
"""That a line of a packed file counts for at least: blank ones take time too."""
MAX_COLUMNS = 10_000
_BLOCK = 2**16


def rows(path: str, wanted: Collection[str] | None) -> Iterator[FileRow]:
    """The rows of a file in order, blank lines left out.

    Args:
        path: a local path, s3:// or hf://datasets/, with one of the `KNOWN` extensions.
        wanted: columns whose values will be looked at; of Parquet the others are None. None: all columns.

    Raises:
        InvalidInput: nothing, or nothing more, of it can be read.
    """
    if path.lower().endswith(".parquet"):
        return parquet_rows(path, _local(path), wanted)
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
    """The file on this machine's disk; one of a store or a hub is fetched once."""
    if "://" not in path:
        return Path(path)
    if not path.startswith(("s3://", HUB_FILES)):
        raise InvalidInput(
            f"{path}: problems are read from a local disk, from s3://BUCKET/KEY, or from {HUB_FILES}ORG/NAME/PATH"
        )
    from cluster.staging import stage_file

    return stage_file(path)


def _text_rows(path: str, reader: Callable[[Iterator[bytes]], Iterator[FileRow]]) -> Iterator[FileRow]:
    """What `reader` makes of the lines; a byte order mark is dropped."""
    try:
        file = _local(path)
        size = check_regular(file)
        with file.open("rb") as stored:
            packed = path.lower().endswith(".gz")
            lines = _lines(
                gzip.GzipFile(fileobj=stored) if packed else stored, Expansion(path, size) if packed else None
            )
            first = next(lines, b"").removeprefix(codecs.BOM_UTF8)
            yield from reader(chain([first] if first else [], lines))
    except TooLong as error:
        raise InvalidInput(f"{path}: {error}") from error
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}; give a file with problems") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(
            f"{path}: the gzip file is broken or cut short ({error}); compress or copy it again"
        ) from error
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror}); give a file with problems") from error


def _lines(file: IO[bytes] | gzip.GzipFile, expansion: Expansion | None) -> Iterator[bytes]:
    """The lines of a file.

    Raises:
        TooLong: one has more than `MAX_LINE_BYTES`.
        InvalidInput: a packed file unpacks beyond its bound.
    """
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise TooLong(f"a line has more than {MAX_LINE_BYTES:,} bytes; write one problem a line")
        if expansion is not None:
            expansion.add(max(len(line), MIN_LINE_BYTES))
        yield line


def _json_rows(lines: Iterator[bytes]) -> Iterator[FileRow]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield FileRow(number, _json_columns(line))


def _json_columns(line: bytes) -> dict[str, object] | LineError:
    try:
        columns = parse_json(line, max_bytes=MAX_LINE_BYTES)
    except UnicodeDecodeError as error:
        return LineError(f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        return LineError(f"not JSON: {error.msg} (character {error.pos + 1}); write one object per line")
    except ValueError as error:
        return LineError(f"JSON that cannot be read: {error}")
    if not isinstance(columns, dict):
        return LineError("not an object, {...}; write one per line (of an array: jq -c '.[]' FILE)")
    if len(columns) > MAX_COLUMNS:
        return NoColumns(f"there are {len(columns):,} columns; at most {MAX_COLUMNS:,} are read")
    return columns


def _csv_rows(lines: Iterator[bytes], wanted: Collection[str] | None) -> Iterator[FileRow]:
    """A row may span lines, in quotes; the first one names the columns. An empty cell is null."""
    csv.field_size_limit(MAX_LINE_BYTES)
    row = _RowLength()
    reader = csv.reader(row.decoded(lines), strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        row.begin()
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


class _RowLength:
    """Counts what one CSV row takes, over all of its lines."""

    def __init__(self) -> None:
        self._bytes = 0

    def begin(self) -> None:
        """Another row begins."""
        self._bytes = 0

    def decoded(self, lines: Iterator[bytes]) -> Iterator[str]:
        """The lines as text. What is no UTF-8 becomes lone surrogates: it is told where it stands, and reading goes on.

        Raises:
            TooLong: a row has more than `MAX_LINE_BYTES`.
        """
        for line in lines:
            self._bytes += len(line)
            if self._bytes > MAX_LINE_BYTES:
                raise TooLong(f"a row has more than {MAX_LINE_BYTES:,} bytes; is a quote missing?")
            yield line.decode(errors="surrogateescape")


def _header_mistake(names: list[str], wanted: Collection[str] | None) -> str | None:
    if not _is_utf8(names):
        return "the names of the columns are not UTF-8; save the file as UTF-8"
    if len(names) > MAX_COLUMNS:
        return f"there are {len(names):,} columns; at most {MAX_COLUMNS:,} are read"
    twice = sorted(name for name, times in Counter(names).items() if name and times > 1)
    if twice:
        return f"the column {quoted(twice[0])!r} is there twice; rename one"
    if wanted is not None and not any(name in wanted for name in names):
        there = quoted(", ".join(map(repr, names)))
        return f"no column is known; the first line must name them, with commas between: {there}"
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
