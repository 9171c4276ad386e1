"""Lookahead beam search (Snell et al., arXiv 2408.03314): a candidate is worth what it leads to.

    step 0        N first steps
    step t >= 1   each unfinished candidate is simulated `lookahead` steps further, greedily
                  keep the N / M candidates whose simulation ends with the best score; M children each
    end           when all candidates are finished, or after `max_steps`; the best candidate is the answer

With lookahead 0 it is beam search that prunes at every step. A step costs up to 1 + `lookahead` steps per candidate.
Simulations are thrown away, as in the paper and in search-and-learn; where the budget ends the search, those that came
to an answer compete.
"""

from collections.abc import Generator, Sequence

from records.path import Path
from records.request import Reply, ReplyKind, Scoring
from scaling.strategies.stepwise import best_of, closed, one_step, scored, value
from scaling.strategy import Request, SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose


def lookahead_beam(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    beam_width: int,
    lookahead: int,
    max_steps: int,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Search with `num_samples` (N) candidates, N / `beam_width` (M) of which survive each pruning."""
    scoring = Scoring.NONE if aggregation is Aggregation.LAST else Scoring.LEAF  # of LAST, only ends are read
    reply = yield one_step([(root, num_samples)], limits, scoring=scoring)
    candidates = list(reply.paths)
    beside: list[Path] = []
    for _ in range(1, max_steps):
        if reply.kind is not ReplyKind.FULL or all(closed(path, limits) for path in candidates):
            break
        ends, reply = yield from _simulate(candidates, reply, limits, lookahead, scoring)
        if reply.kind is not ReplyKind.FULL:
            beside += [path for path in ends if path.finished and path.node_id not in _ids(candidates)]
            break
        kept = best_of([value(path, aggregation) for path in ends], num_samples // beam_width)
        beside += [path for path in ends if path.finished]
        candidates = [end if end.node_id == path.node_id else path for path, end in zip(candidates, ends, strict=True)]
        candidates = [candidates[index] for index in kept]
        beside = [path for path in beside if path.node_id not in _ids(candidates)]
        growing = [(path, beam_width) for path in candidates if not closed(path, limits)]
        if not growing:
            break
        reply = yield one_step(growing, limits, scoring=scoring)
        candidates = [path for path in candidates if closed(path, limits)] + list(reply.paths) or candidates
    if reply.kind is not ReplyKind.FULL:  # what was pruned or simulated may be the only answer there is
        candidates = beside + candidates
    candidates = yield from scored(candidates)
    return choose(candidates, selection, aggregation)


def _simulate(
    candidates: Sequence[Path], reply: Reply, limits: SearchLimits, lookahead: int, scoring: Scoring
) -> Generator[Request, Reply, tuple[list[Path], Reply]]:
    """Where each candidate leads to, scored, and the last reply to an expansion (`reply` if there was none).

    If that is not `FULL`, what came of the simulations stands behind the others, and not all have a score.
    """
    ends = list(candidates)
    for _ in range(lookahead):
        going = [index for index, path in enumerate(ends) if not closed(path, limits)]
        if not going:
            break
        reply = yield one_step([(ends[index], 1) for index in going], limits, scoring=scoring, temperature=0.0)
        if reply.kind is not ReplyKind.FULL:
            return [*ends, *reply.paths], reply
        for index, path in zip(going, reply.paths, strict=True):
            ends[index] = path
    ends = yield from scored(ends)
    return ends, reply


def _ids(paths: Sequence[Path]) -> set[int]:
    return {path.node_id for path in paths}
