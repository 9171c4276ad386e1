"""Thoughts of a problem added up, from its rows of steps to its row of problems.

A sample is a chain of steps; a thought is closed, prolonged or unfinished once for it, however many steps say so.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TypedDict

from records.path import FinishReason
from records.rows import StepRow


def thinking_tokens_of(parts: Iterable[int | None]) -> int | None:
    """The thinking tokens of some steps or samples together; None where none of them tells thoughts apart.

    >>> thinking_tokens_of([3, None, 4]), thinking_tokens_of([None])
    (7, None)
    """
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


class PhaseColumns(TypedDict):
    """The columns of `ProblemRow` of the same names."""

    thinking_tokens: int | None
    answer_tokens: int | None
    num_unfinished_thoughts: int | None
    num_closed_thoughts: int | None
    num_prolonged_thoughts: int | None


def phase_columns(steps: Sequence[StepRow], passing: Collection[int] = ()) -> PhaseColumns:
    """What a problem's row says of its thoughts; null where no step tells of them.

    Args:
        steps: of the problem.
        passing: nodes of probes that are no samples of it (`scaling.search.probes`); their tokens count.
    """
    thinking_tokens = thinking_tokens_of(step.thinking_tokens for step in steps)
    if thinking_tokens is None:
        return PhaseColumns(
            thinking_tokens=None,
            answer_tokens=None,
            num_unfinished_thoughts=None,
            num_closed_thoughts=None,
            num_prolonged_thoughts=None,
        )
    own = [step for step in steps if step.node_id not in passing]
    return PhaseColumns(
        thinking_tokens=thinking_tokens,
        answer_tokens=sum(step.answer_tokens or 0 for step in steps),
        num_unfinished_thoughts=sum(step.finish_reason == FinishReason.UNFINISHED_THOUGHT for step in own),
        num_closed_thoughts=_num_samples(step for step in own if step.thought_closed),
        num_prolonged_thoughts=_num_samples(step for step in own if step.thought_prolonged),
    )


def _num_samples(steps: Iterable[StepRow]) -> int:
    """Samples that these steps are of: those of one call have its seed in common."""
    return len({(step.request, step.seed) for step in steps})
