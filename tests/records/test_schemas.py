from dataclasses import fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.rows import ProblemRow
from records.run_folder.layout import TABLES, Table
from records.schemas import PARQUET_OPTIONS, ROW_TYPES, SCHEMA_VERSION, SCHEMAS, to_rows, to_table
from tests.records import builders


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_the_fields_of_the_row_in_order(table: Table) -> None:
    assert SCHEMAS[table].names == [field.name for field in fields(ROW_TYPES[table])]


@pytest.mark.parametrize("table", TABLES)
def test_a_column_is_nullable_if_the_row_says_so(table: Table) -> None:
    hints = get_type_hints(ROW_TYPES[table])
    for column in SCHEMAS[table]:
        assert column.nullable == (get_origin(hints[column.name]) is UnionType), column.name
    kinds: dict[Any, Any] = {bool: pa.bool_(), str: pa.string(), float: pa.float64()}
    for column in SCHEMAS[table]:
        hint = hints[column.name]
        if hint in kinds:
            assert column.type == kinds[hint], column.name


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data())
def test_rows_survive_the_trip_through_parquet(table: Table, data: st.DataObject) -> None:
    row_type: Any = ROW_TYPES[table]
    rows = data.draw(st.lists(builders.rows(row_type), max_size=4))
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(table, rows), sink, **PARQUET_OPTIONS)
    read = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert read.schema.equals(SCHEMAS[table])  # Parquet has a name of its own for the entries of a map
    assert read.schema.metadata == SCHEMAS[table].metadata
    assert to_rows(row_type, read) == rows


def test_a_null_where_none_may_be_is_refused() -> None:
    row = replace(builders.record("p").problem, strategy=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"problems\.strategy is null in 1 rows"):
        to_table("problems", [row])


def test_columns_of_a_later_version_are_left_out() -> None:
    row = builders.record("p").problem
    table = to_table("problems", [row]).append_column("novelty", pa.array([1]))
    assert to_rows(ProblemRow, table) == [row]


def test_parts_are_zstd_with_a_page_index_and_the_schema_version(tmp_path: Path) -> None:
    pq.write_table(to_table("steps", builders.record("p").steps), tmp_path / "x.parquet", **PARQUET_OPTIONS)
    with pq.ParquetFile(tmp_path / "x.parquet") as file:
        column = file.metadata.row_group(0).column(0)
        assert file.metadata.format_version == "2.6"
        assert (column.compression, column.has_column_index, column.has_offset_index) == ("ZSTD", True, True)
        assert file.schema_arrow.metadata[b"parsimony_schema_version"] == str(SCHEMA_VERSION).encode()
