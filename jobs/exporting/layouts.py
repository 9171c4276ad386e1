"""The layouts of `parsimony export`: what a row of each holds, and which problems have any.

The columns are those of `jobs.exporting.schemas`. A problem has rows, or a reason in a few words.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from actors.engines.prompts import plain_prompt, prompt_messages
from actors.engines.settings import GeneratorSettings
from actors.engines.text import Message
from jobs.exporting.schemas import DISTILLATION, MESSAGES, PATHS, PREFERENCE, STEPWISE
from scaling.stored.training_data import (
    FinishedPath,
    ProblemPaths,
    StepLabels,
    answering_path,
    best_right_path,
    distinct_texts,
    preference_pairs,
    step_labels,
)

ExampleRow = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides how rows look.

    Attributes:
        generator: of the run: its prompt, and the separator that its steps end in.
        chat: prompts and completions as messages.
        num_pairs: most preference pairs of one problem.
        threshold: share of right continuations above which a step counts as right.
        only_correct: distil the best-scored right path rather than the run's answer.
        is_rollout: the run is one of `parsimony rollout`.
    """

    generator: GeneratorSettings
    chat: bool
    num_pairs: int
    threshold: float
    only_correct: bool
    is_rollout: bool


class Layout(NamedTuple):
    """One layout.

    Attributes:
        schema: of its rows; without messages.
        text_columns: those that are messages in a chat; empty: there is no such form.
        candidates: which paths of a problem have to be graded.
        rows: of a graded problem; or in a few words why it has none.
    """

    schema: pa.Schema
    text_columns: tuple[str, ...]
    candidates: Callable[[ProblemPaths, Shape], Sequence[FinishedPath]]
    rows: Callable[[ProblemPaths, Shape], list[ExampleRow] | str]


def schema_of(layout: Layout, shape: Shape) -> pa.Schema:
    """Arrow schema of the rows of a layout."""
    schema = layout.schema
    for name in layout.text_columns if shape.chat else ():
        schema = schema.set(schema.get_field_index(name), pa.field(name, MESSAGES, nullable=False))
    return schema


def _everything(problem: ProblemPaths, _: Shape) -> Sequence[FinishedPath]:
    return problem.paths


def _preference(problem: ProblemPaths, shape: Shape) -> list[ExampleRow] | str:
    outcomes = {item.outcome for item in problem.paths}
    if reason := _ungraded(problem):
        return reason
    if True not in outcomes:
        return "no right path"
    if False not in outcomes:
        return "no wrong path"
    pairs = preference_pairs(problem.paths, shape.num_pairs)
    if not pairs:
        return "right paths cut at a limit only"
    return [
        {
            "prompt": _prompt(problem, shape),
            **{name: value for side, item in sides.items() for name, value in _side(side, item, shape).items()},
            "problem_id": problem.problem_id,
        }
        for sides in ({"chosen": chosen, "rejected": rejected} for chosen, rejected in pairs)
    ]


def _side(side: str, item: FinishedPath, shape: Shape) -> ExampleRow:
    return {
        side: _completion(item, shape),
        f"{side}_score": item.score,
        f"{side}_outcome": item.outcome,
        f"{side}_answer": item.answer,
        f"{side}_tokens": len(item.path.solution_token_ids),
        f"{side}_node_id": item.path.node_id,
    }


def _trajectories(problem: ProblemPaths, shape: Shape) -> Sequence[FinishedPath]:
    """Of rollouts, continuations only count."""
    return [item for item in problem.paths if item.request == 0] if shape.is_rollout else problem.paths


def _stepwise(problem: ProblemPaths, shape: Shape) -> list[ExampleRow] | str:
    rows = []
    for same in distinct_texts(problem.paths).values():
        item = same[0]
        labels = step_labels(item, problem.trials, shape.threshold)
        if labels is not None:
            rows.append(_labelled(problem, item, labels, shape) | {"num_paths": len(same)})
    return rows or _ungraded(problem) or "no labelled path"


def _labelled(problem: ProblemPaths, item: FinishedPath, labels: StepLabels, shape: Shape) -> ExampleRow:
    return {
        "prompt": plain_prompt(shape.generator, problem.question),
        "completions": [node.text.removesuffix(shape.generator.separator) for node in item.path.lineage],
        "labels": labels.labels,
        "soft_labels": labels.soft_labels,
        "trials": labels.trials or None,
        "label_source": labels.source.value,
        "outcome": item.outcome,
        "score": item.score,
        "problem_id": problem.problem_id,
        "node_id": item.path.node_id,
    }


def _to_distil(problem: ProblemPaths, shape: Shape) -> Sequence[FinishedPath]:
    """All that could be the one; without `only_correct` that is known before anything is graded."""
    if shape.only_correct:
        return problem.paths
    item = answering_path(problem)
    return [] if item is None else [item]


def _distillation(problem: ProblemPaths, shape: Shape) -> list[ExampleRow] | str:
    item = best_right_path(problem) if shape.only_correct else answering_path(problem)
    if item is None:
        return _nothing_to_distil(problem, shape)
    return [
        {
            "prompt": _prompt(problem, shape),
            "completion": _completion(item, shape),
            "score": item.score,
            "outcome": item.outcome,
            "answer": item.answer,
            "completion_tokens": len(item.path.solution_token_ids),
            "num_paths": problem.num_finished,
            "problem_id": problem.problem_id,
            "node_id": item.path.node_id,
        }
    ]


def _nothing_to_distil(problem: ProblemPaths, shape: Shape) -> str:
    if shape.only_correct:
        right = any(item.outcome is True for item in problem.paths)
        return "right paths cut at a limit only" if right else _ungraded(problem) or "no right path"
    return "no answer" if problem.answer is None else "no path that ended with the answer"


def _paths(problem: ProblemPaths, _: Shape) -> list[ExampleRow] | str:
    return [_flat(problem, item) for item in problem.paths] or "no finished path"


def _flat(problem: ProblemPaths, item: FinishedPath) -> ExampleRow:
    lineage = item.path.lineage
    return {
        "problem_id": problem.problem_id,
        "node_id": item.path.node_id,
        "question": problem.question,
        "reference": problem.reference,
        "steps": [node.text for node in lineage],
        "p_lower": [node.score and node.score.lower for node in lineage],
        "p_median": [node.score and node.score.median for node in lineage],
        "p_upper": [node.score and node.score.upper for node in lineage],
        "logprob_sums": [node.logprob_sum for node in lineage],
        "step_tokens": [len(node.token_ids) for node in lineage],
        "token_ids": item.path.solution_token_ids,
        "generated_tokens": len(item.path.solution_token_ids),
        "finish_reason": lineage[-1].finish_reason,
        "answer": item.answer,
        "outcome": item.outcome,
        "score": item.score,
    }


def _ungraded(problem: ProblemPaths) -> str | None:
    """Why no path has an outcome; None where one has."""
    if not problem.paths:
        return "no finished path"
    if any(item.outcome is not None for item in problem.paths):
        return None
    return "no answer key" if problem.reference is None else "not graded: the grader failed"


def _prompt(problem: ProblemPaths, shape: Shape) -> str | list[Message]:
    """What stood before the completion when it was sampled, as text: trainers put the two together as they are.

    Or as messages: the chat template itself is the trainer's to apply.
    """
    if not shape.chat:
        return plain_prompt(shape.generator, problem.question)
    messages = prompt_messages(shape.generator, problem.question)
    if shape.generator.chat:
        return messages
    return [{"role": message["role"], "content": message["content"].strip()} for message in messages]


def _completion(item: FinishedPath, shape: Shape) -> str | list[Message]:
    text = item.path.solution
    return [{"role": "assistant", "content": text}] if shape.chat else text


LAYOUTS = {
    "preference": Layout(PREFERENCE, ("prompt", "chosen", "rejected"), _everything, _preference),
    "stepwise": Layout(STEPWISE, (), _trajectories, _stepwise),
    "distillation": Layout(DISTILLATION, ("prompt", "completion"), _to_distil, _distillation),
    "paths": Layout(PATHS, (), _everything, _paths),
}


def label_sources(rows: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """How many rows have labels from where; empty for rows without labels."""
    return Counter(row["label_source"] for row in rows if "label_source" in row)
