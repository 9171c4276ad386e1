"""Best-of-N with an adaptive N (IASoN, arXiv 2506.09338): what looks easy gets few samples, what looks hard gets many.

    p    the PRM's estimate at the bare question, by default its lower quantile
    n    min(N_IAS(p, C), num_samples), then as in best-of-N

Hopeless problems look hardest of all and cost the most; `min_upper_quantile` (ours, not in the paper) ends that.
"""

from records.path import Path
from records.request import Expand, Score, Until
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate, success_probability
from scaling.uncertainty.samples_needed import samples_needed
from scaling.uncertainty.selection import Selection, choose


def adaptive_best_of_n(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    min_samples: int = 1,
    confidence: float = 0.99,
    estimate: ScoreEstimate = ScoreEstimate.LOWER,
    min_upper_quantile: float = 0.0,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Best of between `min_samples` and `num_samples`; the fewest where even the upper quantile is hopeless."""
    reply = yield Score((root,))
    [scored] = reply.paths
    if success_probability(scored, ScoreEstimate.UPPER) < min_upper_quantile:
        count = min_samples
    else:
        needed = samples_needed(success_probability(scored, estimate), confidence)
        count = min(max(needed, min_samples), num_samples)
    asked = ((root, count),)
    reply = yield Expand(asked, Until.END, limits.max_tokens, aggregation.scoring, top_logprobs=selection.top_logprobs)
    return choose(reply.paths, selection, aggregation)
