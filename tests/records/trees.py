"""Runs with trees of steps, written as a run writes them: parts in any order, problems open or ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path as Folder
from random import Random
from typing import Any

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import open_store
from records.packing import packed_rows
from records.rows import OpenRecord, ProblemRecord, RolloutRow, StepRow
from records.run_folder.manifest import Manifest
from records.run_folder.reader import Run, read_run
from tests.records import builders

RECIPE: dict[str, Any] = {
    "strategy": {"name": "best-of-n"},
    "generator": {"model": "g", "prompt_template": "{question}\n\n", "separator": "\n\n"},
    "prm": {"model": "p"},
    "grader": {"kind": "exact"},
}


@dataclass(frozen=True)
class Sample:
    """One child: steps after `parent`, the last with this finish reason; a score is all three quantiles."""

    texts: tuple[str, ...]
    scores: tuple[float | None, ...] = ()
    finish: str = "eos"
    parent: int = 0
    request: int = 0


def ending(answer: str, score: float | None = None, **more: Any) -> Sample:
    """A sample of two steps that comes to an answer."""
    return Sample((f"so it is {answer}\n\n", f"\\boxed{{{answer}}}"), (None, score), **more)


def problem(name: str, samples: Sequence[Sample], *, rollouts: Sequence[RolloutRow] = (), **row: Any) -> ProblemRecord:
    """A problem with these samples, in order of their requests."""
    base = builders.record(name, num_steps=0)
    steps: list[StepRow] = []
    for sample in samples:
        parent = sample.parent
        scores = sample.scores or (None,) * len(sample.texts)
        for at, (text, score) in enumerate(zip(sample.texts, scores, strict=True)):
            node = len(steps) + 1
            finish = sample.finish if at == len(sample.texts) - 1 else "separator"
            changes: dict[str, Any] = {"p_lower": score, "p_median": score, "p_upper": score, "finish_reason": finish}
            token_ids = tuple(text.encode())
            changes |= {"token_ids": token_ids, "generated_tokens": len(token_ids), "request": sample.request}
            steps.append(replace(builders.step(name, node, 0), text=text, parent_id=parent, **changes))
            parent = node
    requests = [replace(base.requests[0], request=number) for number in sorted({sample.request for sample in samples})]
    changed = replace(base.problem, **({"num_steps": len(steps), "answer": None, "correct": False} | row))
    return ProblemRecord(problem=changed, steps=tuple(steps), requests=tuple(requests), rollouts=tuple(rollouts))


def manifest(num_problems: int, **sections: dict[str, Any]) -> Manifest:
    recipe = {name: section | sections.get(name, {}) for name, section in RECIPE.items()}
    return builders.manifest(recipe=recipe, num_problems=num_problems)


def write_run(
    folder: Folder,
    records: Sequence[ProblemRecord],
    *,
    seed: int = 0,
    finished: bool = True,
    uri: str | None = None,
    **sections: dict[str, Any],
) -> Run:
    """Write the records in an order of that seed; some problems come in two flushes, the first while they are open.

    The run is `folder`/run, or at `uri`. One that is not finished owes another problem, whose steps are there.
    """
    uri = uri or str(folder / "run")
    random = Random(seed)
    order = random.sample(list(records), len(records))
    writer = Writer(open_store(uri), folder / "spool")
    owed = len(records) + (0 if finished else 1)
    writer.open(manifest(owed, **sections), this_process())
    batch = 0
    for at, record in enumerate(order):
        whole = record
        numbers = sorted({row.request for row in record.requests})
        if len(numbers) > 1 and random.random() < 0.7:
            early = frozenset(numbers[: random.randrange(1, len(numbers))])
            first = OpenRecord(
                problem_id=record.problem.problem_id,
                steps=tuple(row for row in record.steps if row.request in early),
                requests=tuple(row for row in record.requests if row.request in early),
            )
            writer.append(batch, *packed_rows(order[at:at], [first]))
            writer.flush()
            batch += 1
            whole = replace(
                record,
                steps=tuple(row for row in record.steps if row.request not in early),
                requests=tuple(row for row in record.requests if row.request not in early),
            )
        writer.append(batch, *packed_rows([whole]))
        batch += 1
        if random.random() < 0.5:
            writer.flush()
    writer.flush()
    if finished:
        writer.finish([record.problem.problem_id for record in records], spent_tokens=0)
    else:
        begun = problem("still-open", [ending("4", 0.5)])
        opened = OpenRecord(problem_id="still-open", steps=begun.steps, requests=begun.requests)
        writer.append(batch, *packed_rows([], [opened]))
        writer.flush()
    return read_run(uri)
