"""Answer selection: from candidate paths to one choice, independent of the search that found them.

Ties go to the earlier candidate, and candidates come in child order, so the order of arrival changes nothing.
"""

from collections.abc import Sequence
from enum import StrEnum

from records.path import Path
from scaling.aggregation import Aggregation, aggregate
from scaling.answers import canonical_answer, extract_answer
from scaling.strategy import Choice


class Selection(StrEnum):
    """How the answer is chosen among candidates."""

    BEST = "best"
    """The candidate with the highest score."""
    WEIGHTED_VOTE = "weighted-vote"
    """The answer whose candidates' scores add up to most."""
    MAJORITY = "majority"
    """The answer of most candidates."""


def choose(candidates: Sequence[Path], selection: Selection, aggregation: Aggregation) -> Choice:
    """The choice among scored candidates."""
    if selection is Selection.BEST:
        return choose_best(candidates, aggregation)
    return choose_by_vote(candidates, aggregation if selection is Selection.WEIGHTED_VOTE else None)


def choose_best(candidates: Sequence[Path], aggregation: Aggregation) -> Choice:
    """The candidate with the highest score.

    A candidate with an answer is preferred to any without one (ours: a path that was cut may score high, yet answers
    nothing).
    """
    if not candidates:
        return Choice(None, None, ())
    answers = [extract_answer(path.solution) for path in candidates]
    ranks = [
        (answer is not None, aggregate(path, aggregation), -index)
        for index, (path, answer) in enumerate(zip(candidates, answers, strict=True))
    ]
    best = max(range(len(candidates)), key=ranks.__getitem__)
    return Choice(candidates[best], answers[best], tuple(candidates))


def choose_by_vote(candidates: Sequence[Path], aggregation: Aggregation | None) -> Choice:
    """The answer with the most votes: one per candidate, or its score when an aggregation is given.

    Answers are counted in canonical form (Wang et al., arXiv 2203.11171). The chosen path is the first with the winning
    answer, or, with scores, the best-scored one. Candidates without an answer do not vote.
    """
    votes: dict[str, float] = {}
    chosen: dict[str, tuple[float, Path, str]] = {}
    for path in candidates:
        answer = extract_answer(path.solution)
        if answer is None:
            continue
        weight = 1.0 if aggregation is None else aggregate(path, aggregation)
        form = canonical_answer(answer)
        votes[form] = votes.get(form, 0.0) + weight
        if form not in chosen or weight > chosen[form][0]:
            chosen[form] = (weight, path, answer)
    if not votes:
        return Choice(candidates[0] if candidates else None, None, tuple(candidates))
    winner = max(votes, key=votes.__getitem__)
    _, path, answer = chosen[winner]
    return Choice(path, answer, tuple(candidates))
