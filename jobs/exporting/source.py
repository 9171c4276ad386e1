"""The finished paths of a run, some problems at a time: tables of any size in little memory.

    problems, steps, rollouts, scores --one pass each, by group of problems--> files in a scratch folder
    each group --read, sorted by names--> `ProblemPaths`

Steps of a problem may lie in several parts, in any order. Problems are taken in the order of their ids and cut into
groups of about `GROUP_STEPS` steps, so the same run always gives the same groups. Held in memory: the ids of all
problems, and the rows of one group. On disk: the columns that are read, once more.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from records.failure import StoreFailed
from records.path import FinishReason, Path, PrmScore
from records.rows import Status
from records.run_folder.layout import Table
from records.run_folder.reader import Run
from scaling.answers.classes import AnswerClasses, AnswerPolicy
from scaling.answers.stated import answer_of
from scaling.search.journal import phases_of, recorded_score
from scaling.search.probes import ProbeStep, passing_probes
from scaling.stored.training_data import FinishedPath, ProblemPaths, ranking_score
from scaling.uncertainty.aggregation import Aggregation

GROUP_STEPS = 50_000
"""Of the problems of one group, unless there would be too many groups, or one problem has more."""
_MAX_GROUPS = 200
"""Files that are written to at a time."""

_COLUMNS: dict[Table, tuple[str, ...]] = {
    "problems": ("problem_id", "status", "answer", "correct", "question", "reference"),
    "steps": (
        *("problem_id", "request", "node_id", "parent_id", "text", "token_ids", "logprob_sum", "finish_reason"),
        *("p_lower", "p_median", "p_upper", "answer", "answer_class"),
        *("thinking_tokens", "thought_chars", "thought_open"),
    ),
    "requests": ("problem_id", "request", "kind", "node_ids", "p_lower", "p_median", "p_upper"),
    "rollouts": ("problem_id", "token_ids", "successes", "trials"),
}

_OWN: tuple[Table, ...] = ("steps", "requests", "rollouts")

Rows = Mapping[str, list[dict[str, Any]]]
"""By problem id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSource:
    """Which problems of a run can be exported.

    Attributes:
        run: as it stands.
        group_of: problem id -> number of its group, of problems that have ended and did not fail.
        num_groups: groups are numbered from 0.
        num_failed: problems that ended as failed.
        num_missing: problems of the input without a row.
    """

    run: Run
    group_of: Mapping[str, int]
    num_groups: int
    num_failed: int
    num_missing: int

    @classmethod
    def of(cls, run: Run) -> "ExportSource":
        """Read the ids of a run's problems, and cut them into groups.

        Raises:
            StoreFailed: the run cannot be read, or is damaged.
        """
        sizes: list[tuple[str, int]] = []
        num_failed = 0
        for batch in run.batches("problems", ("problem_id", "status", "num_steps")):
            for row in batch.to_pylist():
                if row["status"] == Status.FAILED.value:
                    num_failed += 1
                else:
                    sizes.append((row["problem_id"], row["num_steps"]))
        sizes.sort()
        bound = max(GROUP_STEPS, 2 * sum(steps for _, steps in sizes) // _MAX_GROUPS)
        group_of: dict[str, int] = {}
        number = held = 0
        for problem_id, steps in sizes:
            if held and held + steps > bound:
                number, held = number + 1, 0
            group_of[problem_id] = number
            held += steps + 1
        num_missing = run.manifest.num_problems - len(sizes) - num_failed
        num_groups = number + 1 if sizes else 0
        return cls(run=run, group_of=group_of, num_groups=num_groups, num_failed=num_failed, num_missing=num_missing)


def stored_paths(source: ExportSource, scratch: File, aggregation: Aggregation) -> Iterator[list[ProblemPaths]]:
    """The problems of each group, by id, with their finished paths; not graded yet.

    Args:
        source: of the run.
        scratch: an empty folder, for as many bytes as the run's steps have.
        aggregation: of the scores of a path's steps.

    Raises:
        StoreFailed: the run cannot be read, or is damaged.
    """
    for table in _COLUMNS:
        _spool(source, table, scratch)
    for number in range(source.num_groups):
        rows = {table: _by_problem(scratch / f"{table}-{number}.arrow") for table in _COLUMNS}
        yield [_problem_paths(source.run.uri, row[0], rows, aggregation) for _, row in sorted(rows["problems"].items())]


def _spool(source: ExportSource, table: Table, scratch: File) -> None:
    """Write the rows of each group to a file of its own."""
    writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
    with ExitStack() as stack:
        for whole in source.run.batches(table, _COLUMNS[table]):
            # What an `expand` scored stands in the rows of its steps.
            batch = whole.filter(pc.equal(whole.column("kind"), "score")) if table == "requests" else whole
            names = batch.column("problem_id").dictionary_encode()
            numbers = np.array([source.group_of.get(name, -1) for name in names.dictionary.to_pylist()], dtype=np.int64)
            at = numbers[names.indices.to_numpy()]
            for number in np.unique(at[at >= 0]).tolist():
                if number not in writers:
                    file = stack.enter_context(pa.OSFile(str(scratch / f"{table}-{number}.arrow"), "wb"))
                    writers[number] = stack.enter_context(pa.ipc.new_stream(file, batch.schema))
                writers[number].write_batch(batch.filter(pa.array(at == number)))


def _by_problem(file: File) -> Rows:
    grouped: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    if file.exists():
        with pa.OSFile(str(file), "rb") as stream, pa.ipc.open_stream(stream) as batches:
            for batch in batches:
                for row in batch.to_pylist():
                    grouped[row["problem_id"]].append(row)
        file.unlink()
    return grouped


def _problem_paths(
    uri: str, row: Mapping[str, Any], rows: Mapping[Table, Rows], aggregation: Aggregation
) -> ProblemPaths:
    problem_id = row["problem_id"]
    steps, scores, counted = (rows[table].get(problem_id, []) for table in _OWN)
    where = f"{uri}: problem {problem_id!r}"
    paths = _finished(where, row["question"], steps, _later_scores(scores), aggregation)
    return ProblemPaths(
        problem_id=problem_id,
        question=row["question"],
        reference=row["reference"],
        answer=row["answer"],
        correct=row["correct"],
        paths=paths,
        num_finished=len(paths),
        trials={tuple(item["token_ids"]): (item["successes"], item["trials"]) for item in counted},
    )


def _later_scores(requests: list[dict[str, Any]]) -> dict[int, PrmScore]:
    """What `score` requests said of nodes, the last one each."""
    found: dict[int, PrmScore] = {}
    for row in sorted(requests, key=lambda row: row["request"]):
        quantiles = zip(row["p_lower"], row["p_median"], row["p_upper"], strict=True)
        scores = (recorded_score(*three) for three in quantiles)
        found |= {node: score for node, score in zip(row["node_ids"], scores, strict=False) if score is not None}
    return found


def _finished(
    where: str, question: str, steps: list[dict[str, Any]], later: Mapping[int, PrmScore], aggregation: Aggregation
) -> tuple[FinishedPath, ...]:
    answers = AnswerClasses(AnswerPolicy())
    nodes = {0: Path(0, None, question, answers=answers)}
    found = []
    ordered = sorted(steps, key=lambda row: row["node_id"])
    passing = passing_probes(ProbeStep(row["node_id"], row["parent_id"], row["finish_reason"]) for row in ordered)
    for row in ordered:
        if row["parent_id"] not in nodes:
            raise StoreFailed(f"{where}: step {row['node_id']} continues {row['parent_id']}, which is not there")
        path = nodes[row["node_id"]] = Path(
            row["node_id"],
            nodes[row["parent_id"]],
            row["text"],
            tuple(row["token_ids"]),
            FinishReason(row["finish_reason"]),
            row["logprob_sum"],
            recorded_score(row["p_lower"], row["p_median"], row["p_upper"]) or later.get(row["node_id"]),
            phases=phases_of(row["thinking_tokens"], row["thought_chars"], row["thought_open"]),
        )
        if path.finished and path.node_id not in passing:
            if row["answer"] is not None:
                answers.recall(path.answer_text, row["answer"] or None, row["answer_class"])
            score = ranking_score(path, aggregation)
            found.append(FinishedPath(path, row["request"], answer_of(path), score))
    return tuple(found)
