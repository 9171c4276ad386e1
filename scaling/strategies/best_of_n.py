"""Best-of-N: sample N solutions, take the one that the PRM likes best (Cobbe et al., arXiv 2110.14168)."""

from records.path import Path
from records.request import Expand, Score, Until
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose


def best_of_n(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Score the bare question (how hard does it look?), sample, score, choose."""
    yield Score((root,))
    asked = ((root, num_samples),)
    reply = yield Expand(asked, Until.END, limits.max_tokens, aggregation.scoring, top_logprobs=selection.top_logprobs)
    return choose(reply.paths, selection, aggregation)
