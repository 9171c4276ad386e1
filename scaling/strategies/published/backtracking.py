"""Beam search that goes back where the best lower bound falls (ours).

    step          M children of each kept path (N of the bare question); the N / M best by median are kept
    bound         the highest lower quantile among the kept paths
    fall          a step leaves the bound below (1 - max_fall) x what it was before the step
    then          draw that step again, and with each further fall, while the search has not come past the place,
                  one step before; what was drawn stays in the competition if its parent is still kept
    end           all kept paths are finished, or `max_steps`; a fall after `max_backtracks` returns is put up with

Under a PRM that knows the chances, the bound falls where a step was a mistake that all kept paths share; the others
are pruned anyway. The rule is ours. Related: depth-first tree of thoughts returns to the parent below a fixed value
(Yao et al., arXiv 2305.10601), and preemptive backtracking resamples from the step where a verifier's prediction drops
(OpenReview hJ2BCYGvFg).

All finished paths compete at the end, also those of steps that were drawn again: they are paid for. A search draws at
most N x (max_steps + B (B + 1) / 2) steps, B = max_backtracks.
"""

from collections.abc import Sequence

from records.path import Path
from records.request import ReplyKind, Score
from scaling.strategies.stepwise import best_of, closed, one_step, value
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose


def backtracking(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    beam_width: int,
    max_steps: int,
    max_fall: float = 0.5,
    max_backtracks: int = 4,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Search with `num_samples` (N) candidates, N / `beam_width` (M) of which are kept at each depth."""
    scores = yield Score((root,))
    kept: list[list[Path]] = [list(scores.paths)]
    drawn: dict[int, list[Path]] = {}
    cut: list[Path] = []
    fell_at, distance, num_backtracks = -1, 0, 0
    while len(kept) <= max_steps:
        depth = len(kept) - 1
        growing = [path for path in kept[depth] if not closed(path, limits)]
        if not growing:
            break
        num_children = beam_width if depth else num_samples
        reply = yield one_step([(path, num_children) for path in growing], limits)
        drawn.setdefault(depth, []).extend(reply.paths)
        if reply.kind is not ReplyKind.FULL:
            cut = [path for path in drawn[depth] if not path.finished]
            break
        parents = {path.node_id for path in kept[depth]}
        pool = [path for path in kept[depth] if closed(path, limits)]
        pool += [path for path in drawn[depth] if path.parent is not None and path.parent.node_id in parents]
        best = best_of([value(path, aggregation) for path in pool], num_samples // beam_width)
        now_kept = [pool[index] for index in best]
        if _bound(now_kept) < (1 - max_fall) * _bound(kept[depth]) and num_backtracks < max_backtracks:
            distance = distance + 1 if depth <= fell_at else 0
            fell_at = max(fell_at, depth)
            num_backtracks += 1
            del kept[max(0, depth - distance) + 1 :]
        else:
            kept.append(now_kept)
    finished = [path for depth in sorted(drawn) for path in drawn[depth] if path.finished]
    unfinished = [path for path in kept[-1] if not path.finished and path.parent is not None]
    return choose([*finished, *unfinished, *cut], selection, aggregation)


def _bound(kept: Sequence[Path]) -> float:
    """Best lower bound of the success probability on a path."""
    return max((path.score.lower for path in kept if path.score is not None), default=0.0)
