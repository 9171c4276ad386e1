"""Rows, records and manifests to write, and the hypothesis strategies that vary them."""

from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from records.rows import ProblemRecord, ProblemRow, RequestRow, Status, StepRow
from records.run_folder.commits import Commit, Part, Totals
from records.run_folder.layout import TABLES, part_name
from records.run_folder.manifest import Manifest, ModelIdentity
from records.schemas import SCHEMA_VERSION

UTC_MOMENT = "2026-11-21T12:00:00.000+00:00"


def manifest(**changes: Any) -> Manifest:
    settings: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "created_at": UTC_MOMENT,
        "recipe": {"strategy": {"name": "best_of_n"}, "budget": {"total_tokens": 1000}, "generator": {"model": "g"}},
        "versions": {"vllm": "0.32.0"},
        "git_revision": None,
        "models": {"generator": ModelIdentity("g", "aa", "bb")},
        "seed": 7,
        "input_fingerprint": "ff",
        "num_problems": 6,
    }
    return Manifest(**(settings | changes))


def record(problem_id: str, *, num_steps: int = 2, tokens_per_step: int = 5) -> ProblemRecord:
    """A problem with `num_steps` steps of `tokens_per_step` tokens each."""
    tokens = num_steps * tokens_per_step
    problem = ProblemRow(
        problem_id=problem_id, status=Status.SUCCEEDED, error=None, answer="4", correct=True, answer_p_lower=0.5,
        answer_p_median=0.6, answer_p_upper=0.7, num_samples=1, num_steps=num_steps, generated_tokens=tokens,
        prompt_tokens=10, cached_tokens=3, pruned_tokens=0, prm_tokens=20, prm_cached_tokens=5, flops=1e9,
        gpu_seconds=None, usd=None, p_lower=None, p_median=None, p_upper=None, wall_seconds=1.5, strategy="best_of_n",
        abstained=None, question=f"What is 2 + 2, {problem_id}?", reference="4",
        generator_seconds=1.25, prm_seconds=0.25,
    )  # fmt: skip
    steps = tuple(step(problem_id, node_id, tokens_per_step) for node_id in range(1, num_steps + 1))
    request = RequestRow(
        problem_id=problem_id, request=0, request_hash="h", kind="expand", node_ids=(0,), num_samples=(1,), until="end",
        max_tokens=100, scoring="leaf", temperature=None, granted_tokens=(100,), reply_kind="full",
        child_ids=(num_steps,), p_lower=(None,), p_median=(0.5,), p_upper=(0.6,), prm_tokens=0, prm_cached_tokens=0,
        prm_truncated=False, worth=None,
    )  # fmt: skip
    return ProblemRecord(problem=problem, steps=steps, requests=(request,))


def step(problem_id: str, node_id: int, num_tokens: int) -> StepRow:
    return StepRow(
        problem_id=problem_id, request=0, node_id=node_id, parent_id=node_id - 1, depth=node_id,
        text=f"step {node_id} of {problem_id}\n\n", token_ids=tuple(range(node_id, node_id + num_tokens)),
        logprob_sum=-1.25, token_confidences=(2.5,) * num_tokens, sampled_logprob_sum=-1.0,
        finish_reason="separator", p_lower=0.1, p_median=0.2, p_upper=0.3,
        generated_tokens=num_tokens, prompt_tokens=9, cached_tokens=0, prm_tokens=4, prm_cached_tokens=0,
        prm_truncated=False,
        seed=2**62 + node_id, replica="generator-0", prm_replica="prm-0", queued_seconds=0.1, run_seconds=0.2,
    )  # fmt: skip


_INT64_COLUMNS = {"seed", "max_tokens", "flops"}
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    Status: st.sampled_from(Status),
}


def rows(row_type: type) -> st.SearchStrategy[Any]:
    """Any row of a type: every field over its whole range."""
    hints = get_type_hints(row_type)
    return st.builds(row_type, **{field.name: _values(field.name, hints[field.name]) for field in fields(row_type)})


def _values(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is UnionType:
        return st.none() | _values(name, get_args(hint)[0])
    if name == "token_confidences":
        return st.lists(st.floats(allow_nan=False, width=32), max_size=4).map(tuple)
    if name == "columns":
        return st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=4).map(tuple)
    if get_origin(hint) is tuple:
        return st.lists(_values(name, get_args(hint)[0]), max_size=4).map(tuple)
    if hint is int:
        bits = 63 if name.endswith("tokens") or name in _INT64_COLUMNS else 31
        return st.integers(-(2**bits), 2**bits - 1)
    return _SCALARS[hint]


def commit(number: int, epoch: int, *, writer: str = "w", parts: int = 1, **changes: Any) -> Commit:
    """A commit whose part names and batch say which one it is."""
    made = tuple(
        Part(TABLES[index % 3], part_name(TABLES[index % 3], epoch, number, f"{index:08x}"), 1, 10, "00")
        for index in range(parts)
    )
    settings: dict[str, Any] = {
        "number": number, "epoch": epoch, "writer": writer, "parts": made, "batches": (number,),
        "opened": (), "closed": (), "open_tokens": 0,
        "totals": Totals(succeeded=number, generated_tokens=number), "lost_tokens": epoch,
        "leased_tokens": number + epoch, "usage": None, "created_at": UTC_MOMENT,
    }  # fmt: skip
    return Commit(**(settings | changes))
