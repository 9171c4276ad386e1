"""A replay as a Parquet table: one row for each setting and problem. What is unknown is null, never NaN, never zero."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.replaying.settings import ReplaySetting

COUNTS = (
    "num_samples",
    "num_steps",
    "generated_tokens",
    "thinking_tokens",
    "prompt_tokens",
    "cached_tokens",
    "pruned_tokens",
    "prm_tokens",
    "prm_cached_tokens",
    "flops",
)
_NUMBERS = ("correct", "covered", "abstained", "answer_p_lower", "answer_p_median", "answer_p_upper", *COUNTS)
"""Columns of what a problem came to; means over orders where there are several."""
CUT = "the run's cap cut it, and under this setting some problem asks for something else"

_IS_CUT = "is_cut"
"""Of a line, not of the table: it holds a reply that the run's cap had cut."""


def line_schema(settings: Sequence[ReplaySetting]) -> pa.Schema:
    """Of the lines that `replay_table` makes the table of: every swept key is a column of its own."""
    keys = settings[0].swept
    return pa.schema(
        [
            pa.field("setting", pa.string(), nullable=False),
            *(pa.field(key, _type_of([setting.swept[key] for setting in settings])) for key in keys),
            pa.field("problem_id", pa.string(), nullable=False),
            pa.field("left_tree", pa.bool_(), nullable=False),
            pa.field("left_why", pa.string()),
            pa.field("num_requests", pa.int32()),
            pa.field("answer", pa.string()),
            *(pa.field(name, pa.float64()) for name in _NUMBERS),
            pa.field(_IS_CUT, pa.bool_(), nullable=False),
        ]
    )


def line(
    setting: ReplaySetting,
    problem_id: str,
    numbers: Mapping[str, float | bool | None],
    *,
    answer: str | None = None,
    left: str | None = None,
    num_requests: int | None = None,
    is_cut: bool = False,
) -> dict[str, Any]:
    """One row. Where a decision `left` the stored tree, nothing else of it is known."""
    known = {} if left is not None else {name: float(value) for name, value in numbers.items() if value is not None}
    return {
        "setting": setting.label,
        **{key: _as_written(value) for key, value in setting.swept.items()},
        "problem_id": problem_id,
        "left_tree": left is not None,
        "left_why": left,
        "num_requests": num_requests,
        _IS_CUT: is_cut,
        "answer": answer,
        **known,
    }


def replay_table(lines: Iterable[pa.Table], settings: Sequence[ReplaySetting], unlike: set[str]) -> pa.Table:
    """All lines, settings in their order, problems in the run's.

    Args:
        lines: tables of `line_schema`.
        settings: all of them.
        unlike: labels of settings in which some problem asks for something else than it did in the run: what the run's
            cap cut is unknown there.
    """
    table = pa.concat_tables(lines)
    is_unknown = pc.and_(table[_IS_CUT], pc.is_in(table["setting"], value_set=pa.array(sorted(unlike), pa.string())))
    is_unknown = pc.and_(is_unknown, pc.invert(table["left_tree"]))
    columns = {name: table[name] for name in table.schema.names if name != _IS_CUT}
    for name in ("answer", *_NUMBERS):
        columns[name] = pc.if_else(is_unknown, pa.scalar(None, columns[name].type), columns[name])
    columns["left_tree"] = pc.or_(columns["left_tree"], is_unknown)
    columns["left_why"] = pc.if_else(is_unknown, CUT, columns["left_why"])
    fields = [table.schema.field(name) for name in columns]
    whole = pa.table(list(columns.values()), schema=pa.schema(fields))
    return pa.concat_tables([whole.filter(pc.equal(whole["setting"], one.label)) for one in settings])


def _type_of(values: Sequence[Any]) -> pa.DataType:
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return pa.int64()
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return pa.float64()
    return pa.bool_() if all(isinstance(value, bool) for value in values) else pa.string()


def _as_written(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
