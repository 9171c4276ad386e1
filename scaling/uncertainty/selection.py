"""Answer selection: from candidate paths to one choice, independent of the search that found them.

Ties go to the earlier candidate, and candidates come in child order, so the order of arrival changes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from records.path import Path
from scaling.answers.stated import answer_of, form_of
from scaling.strategy import Choice
from scaling.uncertainty.aggregation import Aggregation, aggregate
from scaling.uncertainty.token_confidence import mean_confidence, path_confidences

TOP_LOGPROBS = 20
"""Likeliest tokens per position that confidences are computed over, unless told otherwise (arXiv 2508.15260)."""


class Selection(StrEnum):
    """How the answer is chosen among candidates."""

    BEST = "best"
    """The candidate with the highest score."""
    WEIGHTED_VOTE = "weighted-vote"
    """The answer whose candidates' scores add up to most."""
    MAJORITY = "majority"
    """The answer of most candidates."""
    CONFIDENCE_VOTE = "confidence-vote"
    """The answer whose candidates' confidences, each the mean over its tokens, add up to most (DeepConf)."""

    @property
    def reads_scores(self) -> bool:
        """Whether it needs a PRM."""
        return self in (Selection.BEST, Selection.WEIGHTED_VOTE)

    @property
    def top_logprobs(self) -> int:
        """What an `Expand` has to ask for it."""
        return TOP_LOGPROBS if self is Selection.CONFIDENCE_VOTE else 0


def choose(candidates: Sequence[Path], selection: Selection, aggregation: Aggregation) -> Choice:
    """The choice among candidates with what the selection reads: scores, confidences, or nothing.

    >>> from records.path import PrmScore
    >>> root = Path(0, None, "How many?")
    >>> said = [("#### 7", 0.9), ("#### 3", 0.6), ("#### 3.0", 0.5), ("I do not know", 0.95)]
    >>> paths = [Path(1 + at, root, text, score=PrmScore(p, p, p)) for at, (text, p) in enumerate(said)]
    >>> chosen = [choose(paths, way, Aggregation.LAST) for way in (Selection.BEST, Selection.WEIGHTED_VOTE)]
    >>> [(choice.answer, choice.path.node_id) for choice in chosen if choice.path]
    [('7', 1), ('3', 2)]
    """
    if selection is Selection.BEST:
        return choose_best(candidates, aggregation)
    if selection is Selection.CONFIDENCE_VOTE:
        return weighted_vote(candidates, mean_confidence_of)
    return choose_by_vote(candidates, aggregation if selection is Selection.WEIGHTED_VOTE else None)


def choose_best(candidates: Sequence[Path], aggregation: Aggregation) -> Choice:
    """The candidate with the highest score.

    A candidate with an answer is preferred to any without one (ours: a path that was cut may score high, yet answers
    nothing).
    """
    if not candidates:
        return Choice(None, None, ())
    answers = [answer_of(path) for path in candidates]
    ranks = [
        (answer is not None, aggregate(path, aggregation), -index)
        for index, (path, answer) in enumerate(zip(candidates, answers, strict=True))
    ]
    best = max(range(len(candidates)), key=ranks.__getitem__)
    return Choice(candidates[best], answers[best], tuple(candidates))


def choose_by_vote(candidates: Sequence[Path], aggregation: Aggregation | None) -> Choice:
    """The answer with the most votes: one per candidate, or its score when an aggregation is given."""
    if aggregation is None:
        return weighted_vote(candidates, lambda _: 1.0)
    return weighted_vote(candidates, lambda path: aggregate(path, aggregation))


def mean_confidence_of(path: Path) -> float:
    """Mean confidence of a path's tokens, in nats."""
    return mean_confidence(path_confidences(path))


def weighted_vote(candidates: Sequence[Path], weigh: Callable[[Path], float]) -> Choice:
    """The answer whose candidates' weights add up to most; weights are not negative.

    Answers are counted in canonical form (Wang et al., arXiv 2203.11171). The chosen path is the first with the winning
    answer and the highest weight. Candidates without an answer do not vote.
    """
    votes: dict[str, float] = {}
    chosen: dict[str, tuple[float, Path, str]] = {}
    for path in candidates:
        answer = answer_of(path)
        if answer is None:
            continue
        weight = weigh(path)
        form = form_of(path, answer)
        votes[form] = votes.get(form, 0.0) + weight
        if form not in chosen or weight > chosen[form][0]:
            chosen[form] = (weight, path, answer)
    if not votes:
        return Choice(candidates[0] if candidates else None, None, tuple(candidates))
    winner = max(votes, key=votes.__getitem__)
    _, path, answer = chosen[winner]
    return Choice(path, answer, tuple(candidates))


def two_most(votes: Iterable[float]) -> tuple[float, float]:
    """The two highest numbers of votes; 0 for an answer that there is not.

    >>> two_most([2, 5, 1]), two_most([3]), two_most([])
    ((5, 2), (3, 0), (0, 0))
    """
    first, second, *_ = sorted([*votes, 0, 0], reverse=True)
    return first, second
