"""Particle filtering (Puri et al., Rollout Roulette, arXiv 2502.01618; code in its_hub).

    N particles; until all have ended, or `max_steps`:
        each unfinished particle is extended by one step
        weight r / (1 - r), r the PRM's score of the particle: softmax of log(r / (1 - r)) / temperature
        N particles are drawn anew, with replacement, by weight
    answer: the particle with the highest weight

The paper's text multiplies weights over steps; its Algorithm 1 and code, and this, use the current score only. Ended
particles are drawn as the others are (`resample_finished`, as its scripts and its_hub do) and cost nothing then. After
the last step nothing is drawn: all compete. A softmax of log-odds feels the scale of the scores, so, unlike the
ranking of beam search, this depends on the PRM's calibration.

Draws are named (run seed, question, step, draw): nothing that arrives in another order changes them.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate

from records.path import Path
from records.request import ReplyKind
from scaling.seeds import uniform
from scaling.strategies.stepwise import closed, one_step, value
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose

SMALLEST_ODDS_DISTANCE = 1e-7
"""Scores are kept this far from 0 and 1, where log-odds are infinite (as in its_hub)."""


class Resampling(StrEnum):
    """How particles are drawn from their weights."""

    MULTINOMIAL = "multinomial"
    """Each on its own (the paper)."""
    SYSTEMATIC = "systematic"
    """At even distances from one draw: each particle floor(N w) or ceil(N w) times, so less noise at equal mean."""


def particle_filtering(
    root: Path,
    *,
    limits: SearchLimits,
    seed: int,
    num_samples: int,
    max_steps: int,
    temperature: float = 1.0,
    resampling: Resampling = Resampling.MULTINOMIAL,
    resample_finished: bool = True,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection = Selection.BEST,
) -> Strategy:
    """Filter with `num_samples` particles; `seed` is the run's."""
    particles = [root] * num_samples
    finished: dict[int, Path] = {}
    for step in range(max_steps):
        ended = [path for path in particles if closed(path, limits)]
        growing = {path.node_id: path for path in particles if not closed(path, limits)}
        if not growing:  # only ended ones were drawn
            break
        counts = Counter(path.node_id for path in particles)
        reply = yield one_step([(path, counts[path.node_id]) for path in growing.values()], limits)
        if reply.kind is not ReplyKind.FULL:  # what was not drawn again may be the only answer there is
            there = {path.node_id: path for path in [*finished.values(), *particles, *reply.paths] if path is not root}
            return choose(tuple(there.values()), selection, aggregation)
        particles = [*ended, *reply.paths]
        if step == max_steps - 1 or all(closed(path, limits) for path in particles):
            break
        kept = [] if resample_finished else [path for path in particles if closed(path, limits)]
        drawn_from = particles if resample_finished else [path for path in particles if not closed(path, limits)]
        weights = particle_weights([value(path, aggregation) for path in drawn_from], temperature)
        finished |= {path.node_id: path for path in particles if path.finished}
        draws = draw_particles(weights, len(drawn_from), resampling, (seed, root.text, step))
        particles = [*kept, *(drawn_from[index] for index in draws)]
    return choose(particles, selection, aggregation)


def particle_weights(scores: Sequence[float], temperature: float) -> list[float]:
    """softmax(log(r / (1 - r)) / temperature) over scores r in [0, 1]: [num_scores], sums to 1."""
    near, far = SMALLEST_ODDS_DISTANCE, 1 - SMALLEST_ODDS_DISTANCE
    log_odds = [math.log(r / (1 - r)) for r in (min(max(score, near), far) for score in scores)]
    top = max(log_odds)
    odds = [math.exp((each - top) / temperature) for each in log_odds]
    total = sum(odds)
    return [each / total for each in odds]


def draw_particles(
    weights: Sequence[float], num_draws: int, resampling: Resampling, name: tuple[str | int, ...]
) -> list[int]:
    """Indices drawn with replacement by weight; `name` says which draw it is, and the same name draws the same.

    Args:
        weights: not negative, not all 0; they need not sum to 1.
        num_draws: how many.
        resampling: which scheme.
        name: of this draw.
    """
    if resampling is Resampling.SYSTEMATIC:
        offset = uniform("particles", *name)
        positions = [(index + offset) / num_draws for index in range(num_draws)]
    else:
        positions = [uniform("particles", *name, index) for index in range(num_draws)]
    ends = list(accumulate(weights))
    last = bisect_right(ends, math.nextafter(ends[-1], 0.0))  # the last that has a weight
    return [min(bisect_right(ends, position * ends[-1]), last) for position in positions]
