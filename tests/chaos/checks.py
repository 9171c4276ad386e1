"""What must hold of the runs that a schedule has left, against those of the undisturbed command."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cluster.store import open_store
from records.run_folder.layout import Table
from records.run_folder.reader import Run, read_run
from tests.chaos.reader import run_prefixes

COLUMNS: dict[Table, tuple[str, ...]] = {
    "problems": (
        "problem_id", "status", "error", "answer", "correct", "num_samples", "num_steps", "generated_tokens",
        "answer_p_lower", "answer_p_median", "answer_p_upper", "p_lower", "p_median", "p_upper", "strategy",
    ),
    "steps": (
        "problem_id", "node_id", "request", "parent_id", "depth", "text", "token_ids", "finish_reason", "seed",
        "generated_tokens", "logprob_sum", "p_lower", "p_median", "p_upper", "answer",
    ),
    "requests": (
        "problem_id", "request", "request_hash", "kind", "node_ids", "reply_kind", "child_ids", "p_lower", "p_median",
    ),
    "rollouts": ("problem_id", "node_id", "token_ids", "num_trajectories", "successes", "trials", "generated_tokens"),
}  # fmt: skip
"""What is the same in each run of a command whose engines make the same tokens: nothing of times, replicas, caches."""


@dataclass(frozen=True)
class Found:
    """The runs of a place, by where they are in it; and what the command printed.

    Attributes:
        rows: by run and table, rows in the order of their keys, of columns that do not tell how it came about.
        charged_tokens: of all rows.
        lost_tokens: that count as spent and stand in no row.
        finished: runs with `_SUCCESS`.
    """

    rows: dict[str, dict[Table, list[tuple[Any, ...]]]]
    charged_tokens: int
    lost_tokens: int
    finished: frozenset[str]


def find(uri: str) -> Found:
    """Read all runs of a place."""
    rows, charged, lost, finished = {}, 0, 0, set[str]()
    for prefix in run_prefixes(open_store(uri)):
        run = read_run(f"{uri}/{prefix}" if prefix else uri)
        tables: dict[Table, pa.Table] = {"problems": run.problems(), "steps": run.steps(), "requests": run.requests()}
        tables |= {"rollouts": run.rollouts()}
        rows[prefix] = {name: _rows(table, COLUMNS[name]) for name, table in tables.items()}
        charged += run.totals.generated_tokens
        lost += run.lost_tokens
        finished |= {prefix} if run.finished else set()
    return Found(rows, charged, lost, frozenset(finished))


def books(uri: str, cap: int | None) -> list[str]:
    """What is wrong with the books of each run of a place."""
    wrong = []
    for prefix in run_prefixes(open_store(uri)):
        run = read_run(f"{uri}/{prefix}" if prefix else uri)
        wrong += [f"{prefix or 'the run'}: {line}" for line in _books_of(run, cap)]
    return wrong


def _books_of(run: Run, cap: int | None) -> list[str]:
    problems, steps = run.problems().to_pylist(), run.steps().to_pylist()
    wrong = [f"problem {row['problem_id']} {row['status']}: {row['error']}" for row in problems if _is_failed(row)]
    num_inputs = run.manifest.num_problems
    ids = [row["problem_id"] for row in problems]
    nodes = [(step["problem_id"], step["node_id"]) for step in steps]
    wrong += [f"{len(rows)} rows of {len(set(rows))} things" for rows in (ids, nodes) if len(set(rows)) != len(rows)]
    if run.finished and (len(ids) != num_inputs or run.log.open_tokens):
        wrong.append(f"finished with {len(ids)} rows of {num_inputs} problems, {run.log.open_tokens} tokens open")
    wrong += _charges(problems, steps)
    charged = sum(row["generated_tokens"] for row in problems)
    if charged != run.totals.generated_tokens:
        wrong.append(f"rows are charged {charged} tokens, the commits {run.totals.generated_tokens}")
    if cap is not None and charged + run.lost_tokens > cap:
        wrong.append(f"{charged} tokens in rows and {run.lost_tokens} lost, above the cap of {cap}")
    return wrong


def _is_failed(row: dict[str, Any]) -> bool:
    return row["status"] in {"failed", "cancelled"}


def _charges(problems: list[dict[str, Any]], steps: list[dict[str, Any]]) -> list[str]:
    """Where a problem is charged for other tokens than its steps have."""
    wrong, by_problem = [], dict.fromkeys((row["problem_id"] for row in problems), 0)
    for step in steps:
        by_problem[step["problem_id"]] = by_problem.get(step["problem_id"], 0) + step["generated_tokens"]
        if len(step["token_ids"]) != step["generated_tokens"]:
            wrong.append(f"step {step['problem_id']} {step['node_id']} has other tokens than it is charged for")
    for row in problems:
        problem_id, charged = row["problem_id"], row["generated_tokens"]
        if charged != by_problem[problem_id]:
            wrong.append(f"problem {problem_id} is charged {charged} tokens, its steps {by_problem[problem_id]}")
    return wrong


def differences(found: Found, undisturbed: Found, *, same_rows: bool) -> list[str]:
    """Where the runs of a place are other than the undisturbed ones: problems always, whole rows where asked."""
    wrong = []
    if found.rows.keys() != undisturbed.rows.keys() or found.finished != undisturbed.finished:
        wrong.append(f"runs {sorted(found.rows)} ({sorted(found.finished)} finished), not {sorted(undisturbed.rows)}")
    for prefix, tables in undisturbed.rows.items():
        for table, rows in tables.items() if same_rows else ():
            others = found.rows.get(prefix, {}).get(table, [])
            if others != rows:
                wrong.append(f"{prefix or 'the run'}: {_first_difference(table, others, rows)}")
        ids = {row[0] for row in tables["problems"]}
        if {row[0] for row in found.rows.get(prefix, {}).get("problems", [])} != ids:
            wrong.append(f"{prefix or 'the run'}: other problems than undisturbed")
    return wrong


def _first_difference(table: str, rows: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> str:
    for row, other in zip(rows, wanted, strict=False):
        if row != other:
            return f"{table} has {row} where the undisturbed run has {other}"
    return f"{table} has {len(rows)} rows, the undisturbed run {len(wanted)}"


def _rows(table: pa.Table, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    picked = [tuple(map(_hashable, row.values())) for row in table.select(columns).to_pylist()]
    return sorted(picked, key=lambda row: row[:2])


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
