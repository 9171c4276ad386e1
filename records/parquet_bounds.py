"""Parquet from outside, looked at before anything is unpacked: what its pages would come to in memory.

A page of a kilobyte may unpack to gigabytes, and the footer says of it what its author liked. So the schema and the
header of each page are read by themselves (Thrift's compact protocol, as in parquet-format/src/main/thrift), and what
Arrow would have to make room for is bounded by the size of the file. Nothing is decompressed but dictionaries, within
their bound, and only where one long value may stand in many rows.
"""

import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

MAX_PAGE_BYTES = 112 * 2**20
"""Of one page, unpacked. Most writers cut pages at about a megabyte, DuckDB at a hundred."""
MIN_BYTES, MAX_EXPANSION = 64 * 2**20, 200
"""What the pages of a file may unpack to: so much in any case, else so many times the size of the file."""
MIN_VALUES, MAX_VALUES_PER_BYTE = 4_000_000, 20
"""Values of all columns together, likewise."""
MAX_PAGES = 200_000
MAX_SCHEMA_ELEMENTS, MAX_SCHEMA_DEPTH = 10_000, 32
_HEADER_BYTES = 2**16
_MAX_THRIFT_DEPTH = 16

_Struct = dict[int, Any]
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_NUM_VALUES = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_V2: 8}
"""Kind of page -> field of its header whose first field is the number of values."""


@dataclass(frozen=True, slots=True)
class ParquetSize:
    """What a file would unpack to.

    Attributes:
        num_rows: in it.
        row_bytes: most that reading one more row may take: a page, or the longest value of a dictionary.
    """

    num_rows: int
    row_bytes: int


@dataclass(frozen=True, slots=True)
class _Page:
    kind: int
    at: int
    stored: int
    unpacked: int
    num_values: int


def check_parquet(file: Path, columns: Collection[str] | None = None) -> ParquetSize:
    """Look at a file, or at the chunks of some of its columns.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no Parquet file, or beyond a bound.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        _check_schema(stream, size)
        with pq.ParquetFile(stream) as parquet:
            metadata = parquet.metadata
        unpacked = num_values = num_pages = largest = 0
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(number)
                if columns is not None and chunk.path_in_schema.partition(".")[0] not in columns:
                    continue
                repeated = values = 0
                for page in _pages(stream, chunk, size):
                    if page.kind == _DICTIONARY_PAGE:
                        repeated = _longest(stream, page, chunk, size)
                    else:
                        values += page.num_values
                    num_pages = num_pages + 1
                    largest = max(largest, repeated if page.kind == _DICTIONARY_PAGE else page.unpacked)
                    unpacked += page.unpacked
                unpacked, num_values = unpacked + repeated * values, num_values + values
                _refuse_above(unpacked, max(MIN_BYTES, MAX_EXPANSION * size), "bytes", size)
                _refuse_above(num_values, max(MIN_VALUES, MAX_VALUES_PER_BYTE * size), "values", size)
                _refuse_above(num_pages, MAX_PAGES, "pages", size)
        _refuse_above(metadata.num_rows, max(MIN_VALUES, MAX_VALUES_PER_BYTE * size), "rows", size)
    return ParquetSize(metadata.num_rows, largest)


def _refuse_above(number: int, bound: int, what: str, size: int) -> None:
    if number > bound:
        raise ValueError(f"its {size:,} bytes unpack to more than {bound:,} {what}")


def _check_schema(stream: BinaryIO, size: int) -> None:
    """Refuse a schema that Arrow would recurse into for too long."""
    stream.seek(max(0, size - 8))
    tail = stream.read(8)
    if size < 12 or tail[4:] != b"PAR1":
        raise ValueError("it is no Parquet file, or cut short")
    length = int.from_bytes(tail[:4], "little")
    if length > size - 8:
        raise ValueError("it is no Parquet file, or cut short")
    stream.seek(size - 8 - length)
    elements = _Thrift(stream.read(min(length, 2**24))).struct(last=2).get(2)
    if not isinstance(elements, list):
        raise ValueError("it is no Parquet file: its footer has no schema")  # noqa: TRY004 (its content)
    if len(elements) > MAX_SCHEMA_ELEMENTS:
        raise ValueError(f"its schema has {len(elements):,} elements; at most {MAX_SCHEMA_ELEMENTS:,} are read")
    left: list[int] = []
    for element in elements:
        while left and left[-1] == 0:
            left.pop()
        if left:
            left[-1] -= 1
        children = element.get(5, 0) if isinstance(element, dict) else 0
        if isinstance(children, int) and children > 0:
            left.append(children)
        if len(left) > MAX_SCHEMA_DEPTH:
            raise ValueError(f"its schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")


def _pages(stream: BinaryIO, chunk: Any, size: int) -> Iterator[_Page]:
    """The pages of a column chunk, by their own headers."""
    starts = [chunk.data_page_offset, *([chunk.dictionary_page_offset] if chunk.has_dictionary_page else [])]
    at = min(start for start in starts if start > 0) if any(start > 0 for start in starts) else 0
    end = at + chunk.total_compressed_size
    if not 0 < at <= end <= size:
        raise ValueError("a column chunk lies outside of the file")
    while at < end:
        stream.seek(at)
        header = _Thrift(stream.read(min(_HEADER_BYTES, end - at)))
        fields = header.struct()
        kind, unpacked, stored = (_size_of(fields.get(number)) for number in (1, 2, 3))
        inner = fields.get(_NUM_VALUES.get(kind, 0), {})
        num_values = _size_of(inner.get(1, 0)) if isinstance(inner, dict) else 0
        if unpacked > MAX_PAGE_BYTES:
            raise ValueError(f"a page unpacks to {unpacked:,} bytes; at most {MAX_PAGE_BYTES:,} are read")
        yield _Page(kind, at + header.at, stored, unpacked, num_values)
        at += header.at + stored


def _size_of(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a page has no header")
    return value


def _longest(stream: BinaryIO, page: _Page, chunk: Any, size: int) -> int:
    """Bytes of the longest value of a dictionary of texts; 0 where even all of it in each row would be little."""
    if chunk.physical_type != "BYTE_ARRAY" or page.unpacked * chunk.num_values <= MIN_BYTES:
        return 0
    stream.seek(page.at)
    data = stream.read(min(page.stored, size))
    if chunk.compression != "UNCOMPRESSED":
        try:
            data = pa.decompress(data, decompressed_size=page.unpacked, codec=chunk.compression.lower(), asbytes=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"a dictionary cannot be unpacked: {error}") from error
    at = longest = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        longest, at = max(longest, length), at + 4 + length
    return min(longest, page.unpacked)


class _Thrift:
    """Thrift's compact protocol, as far as it takes; what is no such raises `ValueError`."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at, self._depth = data, 0, 0

    def struct(self, last: int | None = None) -> _Struct:
        """Fields by number, up to `last`."""
        self._depth += 1
        if self._depth > _MAX_THRIFT_DEPTH:
            raise ValueError("it is no Parquet file: a header is nested too deep")
        fields: _Struct = {}
        number = 0
        while kind := self._byte():
            step = kind >> 4
            number = number + step if step else self._zigzag()
            fields[number] = self._value(kind & 15, in_list=False)
            if number == last:
                break
        self._depth -= 1
        return fields

    def _value(self, kind: int, *, in_list: bool) -> Any:
        if kind in (1, 2):
            return self._byte() == 1 if in_list else kind == 1
        readers: dict[int, Callable[[], Any]] = {
            3: self._byte,
            **dict.fromkeys((4, 5, 6), self._zigzag),
            7: lambda: self._skip(8),
            8: lambda: self._skip(self._varint()),
            **dict.fromkeys((9, 10), self._list),
            12: self.struct,
        }
        if kind not in readers:
            raise ValueError("it is no Parquet file: a header cannot be read")
        return readers[kind]()

    def _list(self) -> list[Any]:
        head = self._byte()
        length = self._varint() if head >> 4 == 15 else head >> 4
        if length > len(self._data) - self.at:
            raise ValueError("it is no Parquet file: a list is longer than the file")
        return [self._value(head & 15, in_list=True) for _ in range(length)]

    def _skip(self, length: int) -> None:
        if length > len(self._data) - self.at:
            raise ValueError("it is no Parquet file: a header is longer than it may be")
        self.at += length

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise ValueError("it is no Parquet file: a header is cut short")
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise ValueError("it is no Parquet file: a number is longer than it may be")

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
