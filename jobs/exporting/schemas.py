"""The columns of each layout of `parsimony export`.

Names and types of the first ones are those that TRL's trainers read; more follow, which they leave alone.
`docs/export.md` documents every column.
"""

import pyarrow as pa


def _list(kind: pa.DataType, *, nullable: bool = False) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=nullable))


def _schema(**columns: pa.DataType | tuple[pa.DataType]) -> pa.Schema:
    """A type in a tuple is nullable."""
    return pa.schema(
        [
            pa.field(name, kind[0]) if isinstance(kind, tuple) else pa.field(name, kind, nullable=False)
            for name, kind in columns.items()
        ]
    )


_TEXT, _FLAG, _SHARE, _NUMBER, _COUNT = pa.string(), pa.bool_(), pa.float64(), pa.int32(), pa.int64()
MESSAGES = _list(pa.struct([pa.field("role", _TEXT, nullable=False), pa.field("content", _TEXT, nullable=False)]))
"""Of a prompt or completion in a chat."""

PREFERENCE = _schema(
    prompt=_TEXT,
    chosen=_TEXT,
    rejected=_TEXT,
    chosen_score=(_SHARE,),
    rejected_score=(_SHARE,),
    chosen_outcome=_FLAG,
    rejected_outcome=_FLAG,
    chosen_answer=_TEXT,
    rejected_answer=(_TEXT,),
    chosen_tokens=_COUNT,
    rejected_tokens=_COUNT,
    problem_id=_TEXT,
    chosen_node_id=_NUMBER,
    rejected_node_id=_NUMBER,
)
STEPWISE = _schema(
    prompt=_TEXT,
    completions=_list(_TEXT),
    labels=_list(_FLAG),
    soft_labels=_list(_SHARE),
    trials=(_list(_NUMBER),),
    label_source=_TEXT,
    outcome=(_FLAG,),
    score=(_SHARE,),
    num_paths=_NUMBER,
    problem_id=_TEXT,
    node_id=_NUMBER,
)
DISTILLATION = _schema(
    prompt=_TEXT,
    completion=_TEXT,
    score=(_SHARE,),
    outcome=(_FLAG,),
    answer=_TEXT,
    completion_tokens=_COUNT,
    num_paths=_NUMBER,
    problem_id=_TEXT,
    node_id=_NUMBER,
)
PATHS = _schema(
    problem_id=_TEXT,
    node_id=_NUMBER,
    question=_TEXT,
    reference=(_TEXT,),
    steps=_list(_TEXT),
    p_lower=_list(_SHARE, nullable=True),
    p_median=_list(_SHARE, nullable=True),
    p_upper=_list(_SHARE, nullable=True),
    logprob_sums=_list(_SHARE, nullable=True),
    step_tokens=_list(_NUMBER),
    token_ids=_list(_NUMBER),
    generated_tokens=_COUNT,
    finish_reason=_TEXT,
    answer=(_TEXT,),
    outcome=(_FLAG,),
    score=(_SHARE,),
)
