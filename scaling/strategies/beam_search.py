"""PRM-guided beam search over steps, as in the official code of arXiv 2506.09338 without its adaptive rules.

    step 0        N first steps
    step t >= 1   every `frequency` steps: keep the N / M best candidates, give each unfinished one M children
                  otherwise: give each unfinished candidate one child
    end           when all candidates are finished, or after `max_steps`; the best candidate is the answer

A finished candidate is carried unchanged, competes with the others, is never duplicated and costs nothing.
"""

from collections.abc import Callable, Generator, Sequence

from records.path import Path
from records.request import Reply, ReplyKind, Score, Scoring
from scaling.strategies.stepwise import best_of, closed, one_step, scored, value
from scaling.strategy import Request, SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose

Pruning = Callable[[Sequence[Path]], tuple[list[Path], int]]
"""From scored candidates to those that are kept, and the number of children of each."""


def beam_search(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    beam_width: int,
    max_steps: int,
    frequency: int = 1,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Search with `num_samples` (N) candidates, N / `beam_width` (M) of which survive each pruning."""

    def prune(candidates: Sequence[Path]) -> tuple[list[Path], int]:
        return best(candidates, num_samples // beam_width, aggregation), beam_width

    yield Score((root,))
    candidates = yield from grow_beams(
        root, num_samples, prune, limits=limits, max_steps=max_steps, frequency=frequency, aggregation=aggregation
    )
    return choose(candidates, selection, aggregation)


def grow_beams(
    root: Path,
    num_first: int,
    prune: Pruning,
    *,
    limits: SearchLimits,
    max_steps: int,
    frequency: int,
    aggregation: Aggregation,
) -> Generator[Request, Reply, list[Path]]:
    """The search itself, from `num_first` first steps to the scored candidates at its end."""
    reply = yield one_step([(root, num_first)], limits, scoring=_scoring(1, frequency, aggregation))
    candidates = list(reply.paths)
    pruned_answers: list[Path] = []
    for step in range(1, max_steps):
        if reply.kind is not ReplyKind.FULL or all(closed(path, limits) for path in candidates):
            break
        num_children = 1
        if step % frequency == 0:
            candidates = yield from scored(candidates)
            kept, num_children = prune(candidates)
            pruned_answers += [path for path in candidates if path.finished and path not in kept]
            candidates = kept
        growing = [(path, num_children) for path in candidates if not closed(path, limits)]
        if not growing:
            break
        reply = yield one_step(growing, limits, scoring=_scoring(step + 1, frequency, aggregation))
        candidates = [path for path in candidates if closed(path, limits)] + list(reply.paths) or candidates
    if reply.kind is not ReplyKind.FULL:  # what was pruned may be the only answer there is
        candidates = pruned_answers + candidates
    return (yield from scored(candidates))


def best(candidates: Sequence[Path], num_kept: int, aggregation: Aggregation) -> list[Path]:
    """The `num_kept` best-ranked candidates; ties go to the earlier one."""
    return [candidates[index] for index in best_of([value(path, aggregation) for path in candidates], num_kept)]


def _scoring(next_step: int, frequency: int, aggregation: Aggregation) -> Scoring:
    """Score children at birth when they are pruned next, or when later rankings read every step of theirs."""
    needed = next_step % frequency == 0 or aggregation is not Aggregation.LAST
    return Scoring.LEAF if needed else Scoring.NONE
