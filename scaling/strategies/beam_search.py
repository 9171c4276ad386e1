"""PRM-guided beam search over steps, as in the official code of arXiv 2506.09338 without its adaptive rules.

    step 0        N first steps
    step t >= 1   every `frequency` steps: keep the N / M best candidates, give each unfinished one M children
                  otherwise: give each unfinished candidate one child
    end           when all candidates are finished, or after `max_steps`; the best candidate is the answer

A finished candidate is carried unchanged, competes with the others, is never duplicated and costs nothing.
"""

from collections.abc import Generator, Sequence

from records.path import Path
from records.request import Expand, Reply, ReplyKind, Score, Scoring, Until
from scaling.aggregation import Aggregation, aggregate
from scaling.selection import choose_best
from scaling.strategy import Request, SearchLimits, Strategy


def beam_search(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    beam_width: int,
    max_steps: int,
    frequency: int = 1,
    aggregation: Aggregation = Aggregation.LAST,
) -> Strategy:
    """Search with `num_samples` (N) candidates, N / `beam_width` (M) of which survive each pruning."""
    yield Score((root,))
    reply = yield _one_step([(root, num_samples)], limits, _scoring(1, frequency, aggregation))
    candidates = list(reply.paths)
    pruned_answers: list[Path] = []
    for step in range(1, max_steps):
        if reply.kind is not ReplyKind.FULL or all(_closed(path, limits) for path in candidates):
            break
        num_children = 1
        if step % frequency == 0:
            candidates = yield from _scored(candidates)
            kept = _best(candidates, num_samples // beam_width, aggregation)
            pruned_answers += [path for path in candidates if path.finished and path not in kept]
            candidates, num_children = kept, beam_width
        growing = [(path, num_children) for path in candidates if not _closed(path, limits)]
        if not growing:
            break
        reply = yield _one_step(growing, limits, _scoring(step + 1, frequency, aggregation))
        candidates = [path for path in candidates if _closed(path, limits)] + list(reply.paths)
    if reply.kind is not ReplyKind.FULL:  # what was pruned may be the only answer there is
        candidates = pruned_answers + candidates
    candidates = yield from _scored(candidates)
    return choose_best(candidates, aggregation)


def _one_step(growing: Sequence[tuple[Path, int]], limits: SearchLimits, scoring: Scoring) -> Expand:
    return Expand(tuple(growing), Until.STEP, limits.max_step_tokens, scoring)


def _scoring(next_step: int, frequency: int, aggregation: Aggregation) -> Scoring:
    """Score children at birth when they are pruned next, or when later rankings read every step of theirs."""
    needed = next_step % frequency == 0 or aggregation is not Aggregation.LAST
    return Scoring.LEAF if needed else Scoring.NONE


def _closed(path: Path, limits: SearchLimits) -> bool:
    return path.finished or len(path.solution_token_ids) >= limits.max_tokens


def _scored(candidates: list[Path]) -> Generator[Request, Reply, list[Path]]:
    """The same candidates in the same order, those without a score asked for."""
    unscored = tuple(path for path in candidates if path.score is None)
    if not unscored:
        return candidates
    reply = yield Score(unscored)
    scored = {path.node_id: path for path in reply.paths}
    return [scored.get(path.node_id, path) for path in candidates]


def _best(candidates: Sequence[Path], num_kept: int, aggregation: Aggregation) -> list[Path]:
    ranks = [(-aggregate(path, aggregation), index) for index, path in enumerate(candidates)]
    return [candidates[index] for _, index in sorted(ranks)[:num_kept]]
