"""Self-consistency: the answer that most samples agree on (Wang et al., arXiv 2203.11171)."""

from records.path import Path
from records.request import Expand, Scoring, Until
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import choose_by_vote


def majority(root: Path, *, limits: SearchLimits, num_samples: int, weight_by: Aggregation | None = None) -> Strategy:
    """Sample `num_samples` solutions and vote; with `weight_by`, a vote weighs as much as its PRM score."""
    scoring = Scoring.NONE if weight_by is None else weight_by.scoring
    reply = yield Expand(((root, num_samples),), Until.END, limits.max_tokens, scoring)
    return choose_by_vote(reply.paths, weight_by)
