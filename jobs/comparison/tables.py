"""A comparison as Parquet tables: one row for each setting, and one for each setting and problem.

What is unknown is null, never NaN and never zero. `docs/compare.md` documents every column.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from scaling.arrays import Floats
from scaling.statistics.comparison import Measured, comparable
from scaling.statistics.comparison_rows import SettingsComparison

ESTIMATES = {
    "accuracy": "accuracy",
    "coverage": "coverage",
    "num_samples_per_problem": "num_samples",
    "generated_tokens_per_problem": "generated_tokens",
    "thinking_tokens_per_problem": "thinking_tokens",
    "pruned_tokens_per_problem": "pruned_tokens",
    "prompt_tokens_per_problem": "prompt_tokens",
    "cached_tokens_per_problem": "cached_tokens",
    "prm_tokens_per_problem": "prm_tokens",
    "prm_cached_tokens_per_problem": "prm_cached_tokens",
    "flops_per_problem": "flops",
    "generated_tokens_ratio": "generated_tokens_ratio",
    "flops_ratio": "flops_ratio",
    "accuracy_difference": "accuracy_difference",
    "fixed_difference": "fixed_difference",
    "aurc": "aurc",
}
"""Column -> field of a row; each column has a `_low` and a `_high` beside it, the ends of its 95% interval."""
MEASURES = (
    "correct",
    "covered",
    "answer_p",
    "num_samples",
    "generated_tokens",
    "thinking_tokens",
    "pruned_tokens",
    "prompt_tokens",
    "cached_tokens",
    "prm_tokens",
    "prm_cached_tokens",
    "flops",
    "fixed_at_same_tokens",
)
"""Columns of a problem, which are fields of `Measured`."""


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_NAMES = (
    _required("setting", pa.string()),
    _required("recipe", pa.string()),
    _required("strategy", pa.string()),
    pa.field("shared_with", pa.string()),
    _required("num_orders", pa.int32()),
)
_FLAGS = (
    "depends_on_arrival",
    "is_baseline",
    "is_not_worse",
    "is_not_worse_by_point",
    "is_on_flops_front",
    "is_on_tokens_front",
)
_OF_ALL = (
    _required("baseline", pa.string()),
    _required("margin", pa.float64()),
    _required("num_problems", pa.int32()),
    _required("num_left_out", pa.int32()),
    _required("num_resamples", pa.int32()),
    _required("seed", pa.int64()),
)

SETTINGS = pa.schema(
    [
        *_NAMES,
        *(_required(name, pa.bool_()) for name in _FLAGS),
        *(pa.field(column + end, pa.float64()) for column in ESTIMATES for end in ("", "_low", "_high")),
        *_OF_ALL,
    ]
)
"""Of `settings_table`."""
PROBLEMS = pa.schema(
    [
        *_NAMES,
        _required("problem_id", pa.string()),
        _required("is_compared", pa.bool_()),
        *(pa.field(name, pa.float64()) for name in MEASURES),
    ]
)
"""Of `problems_table`."""


def settings_table(comparison: SettingsComparison) -> pa.Table:
    """One row for each setting, in the order of the comparison; `SETTINGS` is the schema."""
    lines = []
    for row in comparison.rows:
        line = {"setting": row.label} | {field.name: getattr(row, field.name) for field in _NAMES[1:]}
        line |= {name: getattr(row, name) for name in _FLAGS}
        for column, field in ESTIMATES.items():
            estimate = getattr(row, field)
            line |= {column: estimate.value, f"{column}_low": estimate.lower, f"{column}_high": estimate.upper}
        lines.append(line | {field.name: getattr(comparison, field.name) for field in _OF_ALL})
    return pa.Table.from_pylist(lines, schema=SETTINGS)


def problems_table(settings: Sequence[Measured], problem_ids: Sequence[str]) -> pa.Table:
    """One row for each setting and problem, settings in the order given; `PROBLEMS` is the schema.

    Args:
        settings: at least one.
        problem_ids: of the P problems, in the order of the settings' arrays.

    Raises:
        ValueError: there are not as many ids as problems.
    """
    is_compared = comparable(settings)
    if len(problem_ids) != len(is_compared):
        raise ValueError(f"there are {len(is_compared)} problems, but {len(problem_ids)} ids")
    return pa.concat_tables(_of_setting(item, problem_ids, is_compared.tolist()) for item in settings)


def _of_setting(item: Measured, problem_ids: Sequence[str], is_compared: Sequence[bool]) -> pa.Table:
    count = len(problem_ids)
    columns: dict[str, Sequence[object] | pa.Array] = {
        "setting": [item.label] * count,
        **{field.name: [getattr(item, field.name)] * count for field in _NAMES[1:]},
        "problem_id": problem_ids,
        "is_compared": is_compared,
        **{name: _nullable(getattr(item, name), count) for name in MEASURES},
    }
    return pa.table(columns, schema=PROBLEMS)


def _nullable(values: Floats | None, count: int) -> pa.Array:
    """NaN becomes null; so does all of what was not computed."""
    return pa.nulls(count, pa.float64()) if values is None else pa.array(values, mask=np.isnan(values))
