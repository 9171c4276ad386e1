"""One sample: the baseline that costs least."""

from records.path import Path
from records.request import Expand, Until
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.selection import choose_by_vote


def sample(root: Path, *, limits: SearchLimits) -> Strategy:
    """Sample once and take what comes."""
    reply = yield Expand(((root, 1),), Until.END, limits.max_tokens)
    return choose_by_vote(reply.paths, None)
