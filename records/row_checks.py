"""Whether rows of a run can be rows at all: what every reader relies on, whoever wrote them.

Parts hold what their author put there. Nulls where none may be, a word that is none of a column's, a negative count, a
probability above 1: each would surface far from here, as a mistake of ours.
"""

import pyarrow as pa
import pyarrow.compute as pc

from records.path import FinishReason
from records.request import ReplyKind, Scoring, Until
from records.rows import Status
from records.run_folder.layout import Table
from records.schemas import SCHEMAS

_WORDS: dict[str, tuple[str, ...]] = {
    "status": tuple(status.value for status in Status),
    "finish_reason": tuple(reason.value for reason in FinishReason),
    "kind": ("expand", "score", "next", "cancel"),
    "until": tuple(Until),
    "scoring": tuple(Scoring),
    "reply_kind": tuple(ReplyKind),
}
_ANY_SIGN = frozenset({"seed"})
"""Whole numbers that may be negative."""
_UNBOUNDED = frozenset({"logprob_sum", "sampled_logprob_sum", "token_confidences", "worth"})
"""Numbers that nobody adds up, and that may be infinite."""
_PROBABILITIES = ("p_lower", "p_median", "p_upper")


def check_rows(table: Table, batch: pa.RecordBatch | pa.Table) -> None:
    """Check rows, or some columns of them.

    Raises:
        ValueError: names the column.
    """
    for field in SCHEMAS[table]:
        if field.name not in batch.schema.names:
            continue
        column = batch.column(field.name)
        where = f"{table}.{field.name}"
        if column.null_count and not field.nullable:
            raise ValueError(f"{where} is null in {column.null_count} rows and never may be")
        if pa.types.is_list(field.type):
            column = pc.list_flatten(column)
            if column.null_count and not field.type.value_field.nullable:
                raise ValueError(f"{where} has a null in a list and never may")
        _check_values(where, field.name, column)


def _check_values(where: str, name: str, column: pa.ChunkedArray | pa.Array) -> None:
    kind = column.type
    if name in _WORDS and not _all(pc.is_in(pc.drop_null(column), value_set=pa.array(_WORDS[name]))):
        raise ValueError(f"{where} has another word than {', '.join(_WORDS[name])}")
    if pa.types.is_integer(kind) and name not in _ANY_SIGN and not _all(pc.greater_equal(column, 0)):
        raise ValueError(f"{where} is negative")
    if pa.types.is_floating(kind) and name not in _UNBOUNDED:
        if not _all(pc.is_finite(column)):
            raise ValueError(f"{where} is no finite number")
        if name.endswith(_PROBABILITIES) and not _all(
            pc.and_(pc.greater_equal(column, 0.0), pc.less_equal(column, 1.0))
        ):
            raise ValueError(f"{where} is no probability")


def _all(truths: pa.ChunkedArray | pa.Array) -> bool:
    return pc.all(truths).as_py() is not False
