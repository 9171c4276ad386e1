"""From the finished paths of a problem to training examples: pairs, labelled steps, the best path.

Everything goes by names (node ids, scores, texts), never by the order in which rows were written: node ids follow from
request and child number alone. An outcome that nobody could tell (None) is neither right nor wrong, here or anywhere.

A path that was cut at a token limit has no end to learn. It is never chosen, because trainers put an end-of-text token
behind what they are given; it may be rejected, and its steps may be labelled.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from records.path import FinishReason, Path
from scaling.answers.stated import form_of
from scaling.uncertainty.aggregation import Aggregation, aggregate


@dataclass(frozen=True, slots=True, eq=False)
class FinishedPath:
    """A path that nothing can follow.

    Attributes:
        path: its leaf.
        request: number of the request that sampled its last step.
        answer: as extracted; None where it states none.
        score: what ranks it, in [0, 1] (`ranking_score`); None where it was not scored.
        outcome: whether its answer is right; None where nobody could tell.
    """

    path: Path
    request: int
    answer: str | None
    score: float | None
    outcome: bool | None = None

    @property
    def ended(self) -> bool:
        """By the model itself, not at a limit."""
        return self.path.finish_reason is FinishReason.EOS


@dataclass(frozen=True, slots=True, eq=False)
class ProblemPaths:
    """A problem that has ended, with its finished paths.

    Attributes:
        problem_id: of the input.
        question: of the input.
        reference: the answer key; None where there is none.
        answer: that the run gave; None if none.
        correct: the run's verdict on it; None where nobody could tell.
        paths: by node id; all finished ones, or those of them that matter.
        num_finished: all finished ones.
        trials: of rollouts: token ids of a prefix -> (successes, trials); empty for any other run.
    """

    problem_id: str
    question: str
    reference: str | None
    answer: str | None
    correct: bool | None
    paths: tuple[FinishedPath, ...]
    num_finished: int
    trials: Mapping[tuple[int, ...], tuple[int, int]]


class LabelSource(StrEnum):
    """Where the labels of steps come from."""

    MONTE_CARLO = "monte_carlo"
    """Continuations of each prefix that came to a right answer."""
    OUTCOME = "outcome"
    """The path's own answer: each step is as right as the end."""


@dataclass(frozen=True, slots=True)
class StepLabels:
    """One label for each step of a path.

    Attributes:
        labels: whether the step can still come to a right answer.
        soft_labels: share of continuations that did, in [0, 1]; of outcomes 0 or 1.
        trials: continuations that the share is of; empty for outcomes.
        source: of the labels.
    """

    labels: tuple[bool, ...]
    soft_labels: tuple[float, ...]
    trials: tuple[int, ...]
    source: LabelSource


def ranking_score(path: Path, aggregation: Aggregation) -> float | None:
    """What ranks a path with at least one step, in [0, 1]; None where a step that the aggregation reads is unscored."""
    read = [path] if aggregation is Aggregation.LAST else path.lineage
    return None if any(node.score is None for node in read) else aggregate(path, aggregation)


def by_score(paths: Iterable[FinishedPath]) -> list[FinishedPath]:
    """The best-scored first; unscored ones last, and equals by node id."""
    return sorted(paths, key=lambda item: (-math.inf if item.score is None else item.score, -item.path.node_id))[::-1]


def distinct_texts(paths: Iterable[FinishedPath]) -> dict[tuple[str, ...], list[FinishedPath]]:
    """Paths by the texts of their steps, in the order of their first."""
    found: dict[tuple[str, ...], list[FinishedPath]] = {}
    for item in paths:
        found.setdefault(tuple(node.text for node in item.path.lineage), []).append(item)
    return found


def preference_pairs(paths: Sequence[FinishedPath], num_pairs: int) -> list[tuple[FinishedPath, FinishedPath]]:
    """(chosen, rejected): at most `num_pairs` of a right path that ended and a wrong one, of different text.

    The best-scored right one comes with the best-scored wrong one, which the PRM is least able to tell from it; then
    the second with the second, and so on. No pair comes twice, and the longer list is used to its end before one of
    its paths comes again.
    """
    right, wrong = (
        by_score(same[0] for same in distinct_texts(by_score(kept)).values())
        for kept in (
            [item for item in paths if item.outcome is True and item.ended],
            [item for item in paths if item.outcome is False],
        )
    )
    if not right or not wrong:
        return []
    period = math.lcm(len(right), len(wrong))
    return [
        (right[number % len(right)], wrong[(number + number // period) % len(wrong)])
        for number in range(min(num_pairs, len(right) * len(wrong)))
    ]


def answering_path(problem: ProblemPaths) -> FinishedPath | None:
    """The best-scored path that ended and gives the run's answer, as votes are counted; None if there is none."""
    wanted = problem.answer
    if wanted is None:
        return None
    giving = [
        item
        for item in problem.paths
        if item.answer is not None and form_of(item.path, item.answer) == form_of(item.path, wanted)
    ]
    return next(iter(by_score(item for item in giving if item.ended)), None)


def best_right_path(problem: ProblemPaths) -> FinishedPath | None:
    """The best-scored path that ended and is right; None if there is none."""
    return next(iter(by_score(item for item in problem.paths if item.ended and item.outcome is True)), None)


def step_labels(
    item: FinishedPath, trials: Mapping[tuple[int, ...], tuple[int, int]], threshold: float
) -> StepLabels | None:
    """A label for each step; None where nobody could tell.

    A step counts as right where more than `threshold` of the graded continuations of the path up to it are right; at 0
    that is the hard estimation of Math-Shepherd (P. Wang et al., arXiv 2312.08935). Without counts for every step, each
    has the outcome of the whole path.

    Args:
        item: the path.
        trials: token ids of a prefix -> (successes, trials), as far as there are any.
        threshold: share of right continuations, in [0, 1).
    """
    counts: list[tuple[int, int] | None] = []
    prefix: tuple[int, ...] = ()
    for node in item.path.lineage:
        prefix += node.token_ids
        counts.append(trials.get(prefix))
    known = [count for count in counts if count is not None and count[1] > 0]
    if known and len(known) == len(counts):
        shares = tuple(successes / tried for successes, tried in known)
        labels = tuple(share > threshold for share in shares)
        return StepLabels(labels, shares, tuple(tried for _, tried in known), LabelSource.MONTE_CARLO)
    if item.outcome is None:
        return None
    outcome = item.outcome
    return StepLabels((outcome,) * len(counts), (float(outcome),) * len(counts), (), LabelSource.OUTCOME)
