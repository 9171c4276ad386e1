"""Which problems a pilot runs: as many easy as hard ones, by what is known before anything is sampled."""

import random
from collections.abc import Sequence
from itertools import pairwise

from scaling.seeds import seed_for


def stratified(difficulty: Sequence[float], num_wanted: int, *, run_seed: int) -> list[int]:
    """Positions of the pilot's problems, ascending: one out of each of `num_wanted` equally large groups.

    The problems are ordered by difficulty and cut into groups; chance chooses within each. So every problem is as
    likely as any other to be chosen (up to rounding), and the pilot is spread over all difficulties.

    Args:
        difficulty: [N], of each problem; only the order counts, and equal ones keep their order.
        num_wanted: at most N are chosen.
        run_seed: other seeds choose others.
    """
    order = sorted(range(len(difficulty)), key=lambda position: difficulty[position])
    num_chosen = min(num_wanted, len(order))
    rng = random.Random(seed_for(run_seed, "pilot", num_chosen))  # noqa: S311 (no secret)
    bounds = [len(order) * group // num_chosen for group in range(num_chosen + 1)] if num_chosen else []
    return sorted(rng.choice(order[first:end]) for first, end in pairwise(bounds))
