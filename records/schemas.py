"""The tables as Arrow schemas, rows to and from them, and how Parquet is written.

A field of a row dataclass is a column of the same name, in the same order; a test holds the two together. Only columns
that a row declares `| None` are nullable. Later versions add nullable columns at the end, and nothing else.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, TypeVar

import pyarrow as pa

from records.rows import ProblemRow, RequestRow, RolloutRow, Status, StepRow
from records.run_folder.layout import Table

SCHEMA_VERSION = 2
"""Of the tables together; in the manifest and in the metadata of every part."""

Row = ProblemRow | StepRow | RequestRow | RolloutRow
_RowT = TypeVar("_RowT", ProblemRow, StepRow, RequestRow, RolloutRow)

PARQUET_OPTIONS: dict[str, Any] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 3,
    "write_page_index": True,
}
"""Keyword arguments of `pyarrow.parquet.write_table`."""


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _list(kind: pa.DataType, *, nullable: bool = False) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=nullable))


def _schema(*columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, metadata={"parsimony_schema_version": str(SCHEMA_VERSION)})


PROBLEMS = _schema(
    _required("problem_id", pa.string()),
    _required("status", pa.string()),
    pa.field("error", pa.string()),
    pa.field("answer", pa.string()),
    pa.field("correct", pa.bool_()),
    pa.field("answer_p_lower", pa.float64()),
    pa.field("answer_p_median", pa.float64()),
    pa.field("answer_p_upper", pa.float64()),
    _required("num_samples", pa.int32()),
    _required("num_steps", pa.int32()),
    _required("generated_tokens", pa.int64()),
    _required("prompt_tokens", pa.int64()),
    _required("cached_tokens", pa.int64()),
    _required("pruned_tokens", pa.int64()),
    _required("prm_tokens", pa.int64()),
    _required("prm_cached_tokens", pa.int64()),
    _required("flops", pa.float64()),
    pa.field("gpu_seconds", pa.float64()),
    pa.field("usd", pa.float64()),
    pa.field("p_lower", pa.float64()),
    pa.field("p_median", pa.float64()),
    pa.field("p_upper", pa.float64()),
    _required("wall_seconds", pa.float64()),
    _required("strategy", pa.string()),
    pa.field("abstained", pa.bool_()),
    _required("question", pa.string()),
    pa.field("reference", pa.string()),
    _required("generator_seconds", pa.float64()),
    _required("prm_seconds", pa.float64()),
    pa.field("num_finished", pa.int32()),
    pa.field("num_unanswered", pa.int32()),
    pa.field("columns", pa.map_(pa.string(), pa.string())),
    pa.field("thinking_tokens", pa.int64()),
    pa.field("answer_tokens", pa.int64()),
    pa.field("num_unfinished_thoughts", pa.int32()),
    pa.field("num_closed_thoughts", pa.int32()),
    pa.field("num_prolonged_thoughts", pa.int32()),
    pa.field("num_cancelled", pa.int32()),
    pa.field("cancelled_tokens", pa.int64()),
)

STEPS = _schema(
    _required("problem_id", pa.string()),
    _required("request", pa.int32()),
    _required("node_id", pa.int32()),
    _required("parent_id", pa.int32()),
    _required("depth", pa.int32()),
    _required("text", pa.string()),
    _required("token_ids", _list(pa.int32())),
    pa.field("logprob_sum", pa.float64()),
    pa.field("token_confidences", _list(pa.float32())),
    pa.field("sampled_logprob_sum", pa.float64()),
    _required("finish_reason", pa.string()),
    pa.field("p_lower", pa.float64()),
    pa.field("p_median", pa.float64()),
    pa.field("p_upper", pa.float64()),
    _required("generated_tokens", pa.int64()),
    _required("prompt_tokens", pa.int64()),
    _required("cached_tokens", pa.int64()),
    _required("prm_tokens", pa.int64()),
    _required("prm_cached_tokens", pa.int64()),
    _required("prm_truncated", pa.bool_()),
    _required("seed", pa.int64()),
    _required("replica", pa.string()),
    pa.field("prm_replica", pa.string()),
    _required("queued_seconds", pa.float64()),
    _required("run_seconds", pa.float64()),
    pa.field("answer", pa.string()),
    pa.field("answer_class", pa.string()),
    pa.field("thinking_tokens", pa.int64()),
    pa.field("answer_tokens", pa.int64()),
    pa.field("thought_chars", pa.int32()),
    pa.field("thought_open", pa.bool_()),
    pa.field("thought_closed", pa.bool_()),
    pa.field("thought_prolonged", pa.int32()),
)

REQUESTS = _schema(
    _required("problem_id", pa.string()),
    _required("request", pa.int32()),
    _required("request_hash", pa.string()),
    _required("kind", pa.string()),
    _required("node_ids", _list(pa.int32())),
    _required("num_samples", _list(pa.int32())),
    pa.field("until", pa.string()),
    pa.field("max_tokens", pa.int64()),
    pa.field("scoring", pa.string()),
    pa.field("temperature", pa.float64()),
    _required("granted_tokens", _list(pa.int64())),
    _required("reply_kind", pa.string()),
    _required("child_ids", _list(pa.int32())),
    _required("p_lower", _list(pa.float64(), nullable=True)),
    _required("p_median", _list(pa.float64(), nullable=True)),
    _required("p_upper", _list(pa.float64(), nullable=True)),
    _required("prm_tokens", pa.int64()),
    _required("prm_cached_tokens", pa.int64()),
    _required("prm_truncated", pa.bool_()),
    pa.field("worth", pa.float64()),
    pa.field("forced_text", pa.string()),
    pa.field("child_numbers", _list(pa.int32())),
    pa.field("num_open", pa.int32()),
)

ROLLOUTS = _schema(
    _required("problem_id", pa.string()),
    _required("node_id", pa.int32()),
    _required("question", pa.string()),
    _required("steps", _list(pa.string())),
    _required("token_ids", _list(pa.int32())),
    _required("depth", pa.int32()),
    _required("terminal", pa.bool_()),
    _required("num_trajectories", pa.int32()),
    _required("successes", pa.int32()),
    _required("trials", pa.int32()),
    _required("cut_trials", pa.int32()),
    pa.field("generator", pa.string()),
    _required("temperature", pa.float64()),
    _required("generated_tokens", pa.int64()),
    _required("prompt_tokens", pa.int64()),
    _required("cached_tokens", pa.int64()),
    pa.field("sampling", pa.string()),
)

SCHEMAS: dict[Table, pa.Schema] = {"problems": PROBLEMS, "steps": STEPS, "requests": REQUESTS, "rollouts": ROLLOUTS}
ROW_TYPES: dict[Table, type[Row]] = {
    "problems": ProblemRow,
    "steps": StepRow,
    "requests": RequestRow,
    "rollouts": RolloutRow,
}


def to_batch(table: Table, rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as Arrow columns of that table's schema.

    Raises:
        ValueError: a value does not fit its column, or is null in a column that is never null.
    """
    schema = SCHEMAS[table]
    values = zip(*map(attrgetter(*schema.names), rows), strict=True) if rows else ((),) * len(schema)
    columns = []
    for column, of_rows in zip(schema, values, strict=True):
        made = pa.array(of_rows, type=column.type)
        if made.null_count and not column.nullable:
            raise ValueError(f"{table}.{column.name} is null in {made.null_count} rows and never may be")
        columns.append(made)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def to_table(table: Table, rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table. Raises as `to_batch`."""
    return pa.Table.from_batches([to_batch(table, rows)])


def conformed(table: Table, rows: pa.RecordBatch, columns: Sequence[str] | None = None) -> pa.RecordBatch:
    """Rows that an older version wrote as this one has them: columns that it did not know are null.

    Args:
        table: of the rows.
        rows: in any version.
        columns: wanted; None: all.
    """
    schema = SCHEMAS[table] if columns is None else pa.schema([SCHEMAS[table].field(name) for name in columns])
    there = set(rows.schema.names)
    made = [
        rows.column(column.name).cast(column.type) if column.name in there else pa.nulls(rows.num_rows, column.type)
        for column in schema
    ]
    return pa.RecordBatch.from_arrays(made, schema=schema)


def to_rows(row_type: type[_RowT], table: pa.Table) -> list[_RowT]:
    """The rows that `to_table` was given, in order.

    Columns that this version does not know are left out; those that an older version did not know are null.
    """
    there = set(table.column_names)
    (schema,) = (SCHEMAS[name] for name, kind in ROW_TYPES.items() if kind is row_type)
    columns = [
        _values(column, table.column(column.name)) if column.name in there else [None] * len(table) for column in schema
    ]
    return [row_type(**dict(zip(schema.names, values, strict=True))) for values in zip(*columns, strict=True)]


def _values(column: pa.Field, data: pa.ChunkedArray) -> list[Any]:
    if column.name == "status":
        return [Status(value) for value in data.to_pylist()]
    if pa.types.is_list(column.type) or pa.types.is_map(column.type):
        return [None if value is None else tuple(value) for value in data.to_pylist()]
    return list(data.to_pylist())
