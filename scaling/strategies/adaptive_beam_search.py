"""Beam search whose width follows the PRM's lower quantile (IASoK and IASoM of arXiv 2506.09338).

    step 0        N first steps, or N_IAS of the bare question if that is less (`adapt_root`, ours)
    step t >= 1   every `frequency` steps: keep the K best candidates, give each unfinished one M children
                    beams     K by its rule, M as given
                    children  K = N / M, M by its rule
                    both      K by its rule, M by its rule (ours: the paper's code divides the latter by N / M)
                  otherwise: give each unfinished candidate one child
    end           as in beam search

The rule for M divides by the number of candidates kept. Candidates are ranked by their aggregated medians; the rules
read the estimate of the last step. Nothing adapts before the first pruning, so the first `frequency` steps always cost
full width: the paper's 5 saves little on short solutions.
"""

from collections.abc import Sequence
from enum import StrEnum

from records.path import Path
from records.request import Score
from scaling.strategies.beam_search import best, grow_beams
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate, success_probability
from scaling.uncertainty.samples_needed import beams_needed, children_needed, samples_needed
from scaling.uncertainty.selection import Selection, choose


class Adapt(StrEnum):
    """Which width of the search follows the PRM."""

    BEAMS = "beams"
    CHILDREN = "children"
    BOTH = "both"


def adaptive_beam_search(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    beam_width: int,
    max_steps: int,
    adapt: Adapt = Adapt.BEAMS,
    confidence: float = 0.99,
    estimate: ScoreEstimate = ScoreEstimate.LOWER,
    adapt_root: bool = False,
    frequency: int = 1,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Search with at most `num_samples` (N) candidates, `beam_width` (M) children of each and N / M beams."""
    max_beams = num_samples // beam_width

    def prune(candidates: Sequence[Path]) -> tuple[list[Path], int]:
        num_beams, num_children = max_beams, beam_width
        if adapt is not Adapt.CHILDREN:
            chances = [success_probability(path, estimate) for path in candidates]
            num_beams = beams_needed(chances, confidence, num_children=beam_width, max_beams=max_beams)
        kept = best(candidates, num_beams, aggregation)
        if adapt is not Adapt.BEAMS:
            chances = [success_probability(path, estimate) for path in kept]
            num_children = children_needed(chances, confidence, max_children=beam_width, shared_by=len(kept))
        return kept, num_children

    reply = yield Score((root,))
    [scored] = reply.paths
    needed = samples_needed(success_probability(scored, estimate), confidence)
    candidates = yield from grow_beams(
        root,
        min(needed, num_samples) if adapt_root else num_samples,
        prune,
        limits=limits,
        max_steps=max_steps,
        frequency=frequency,
        aggregation=aggregation,
    )
    return choose(candidates, selection, aggregation)
