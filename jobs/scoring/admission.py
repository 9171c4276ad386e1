"""How many problems are open at a time, from a recipe: what its engines need, and what its bounds leave them.

The scheduler opens problems by what is waiting and in flight (`scaling.scheduler.admission`). Here are the bounds on
that, and a word to the user whose bounds leave slots empty.
"""

import math

from jobs.recipes.sections import Recipe
from scaling.scheduler.dispatch import OVERCOMMIT

COMPETING_PROBLEMS = 512
"""Fewest problems that compete for a cap at a time, where the recipe does not say."""

PATHS_PER_SLOT = 64
"""Steps in memory for each slot, where the recipe does not say: a sample's own, and those of finished siblings and of
rows on their way to the store."""

FEWEST_PATHS = 500_000
"""Likewise, however few slots there are: about 2 GB at 70 tokens a step."""


def num_slots(recipe: Recipe) -> int:
    """Calls that all generators batch together."""
    return recipe.generator.num_replicas * recipe.generator.max_num_seqs


def needed_problems(recipe: Recipe) -> int | None:
    """Open problems that keep the generators full, calls on their way included; None: nobody knows."""
    at_once = recipe.strategy.samples_at_once
    return None if at_once is None else math.ceil(num_slots(recipe) * OVERCOMMIT / at_once)


def most_open_paths(recipe: Recipe) -> int:
    """The bound on the steps of open problems."""
    return recipe.cluster.max_open_paths or max(FEWEST_PATHS, PATHS_PER_SLOT * num_slots(recipe))


def window_problems(recipe: Recipe) -> int:
    """Problems that compete for the cap at a time."""
    return recipe.cluster.max_open_problems or max(COMPETING_PROBLEMS, needed_problems(recipe) or num_slots(recipe))


def starving_warnings(recipe: Recipe) -> tuple[str, ...]:
    """What the user should be told of bounds that leave slots of the generators empty, a sentence each."""
    if not recipe.strategy.samples:
        return ()
    generators = f"{recipe.generator.num_replicas} x {recipe.generator.max_num_seqs} slots of the generators"
    most_problems, needed = recipe.cluster.max_open_problems, needed_problems(recipe)
    warnings = []
    if most_problems is not None and needed is not None and most_problems < needed:
        share = most_problems * (recipe.strategy.samples_at_once or 1) / num_slots(recipe)
        if share < 1:
            warnings.append(
                f"cluster.max_open_problems = {most_problems} fills at most {share:.0%} of the {generators}: leave it "
                f"out, or set it to {needed} or more"
            )
    most_paths = recipe.cluster.max_open_paths
    if most_paths is not None and most_paths < PATHS_PER_SLOT * num_slots(recipe) // 8:
        warnings.append(
            f"cluster.max_open_paths = {most_paths} is {most_paths / num_slots(recipe):.1f} steps for each of the "
            f"{generators}, which may leave some empty: leave it out, or set it to "
            f"{PATHS_PER_SLOT * num_slots(recipe)}"
        )
    return tuple(warnings)
