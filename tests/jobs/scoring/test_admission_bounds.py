"""What a recipe's bounds on open problems leave of its engines, and what the user is told of it."""

from pathlib import Path

import pytest

from jobs.recipes.load import load_recipe
from jobs.scoring.admission import most_open_paths, needed_problems, starving_warnings, window_problems

RECIPE = Path(__file__).parents[3] / "examples" / "arithmetic" / "dry-run.toml"
MANY = ("generator.num_replicas=64", "generator.max_num_seqs=64")


def recipe(*overrides: str):
    return load_recipe(RECIPE, (*MANY, *overrides))


@pytest.mark.parametrize(("strategy", "needed"), [
    (("strategy.name=majority", "strategy.num_samples=4"), 64 * 80 // 4),
    (("strategy.name=beam-search", "strategy.num_samples=16"), 64 * 80 // 16),
    (("strategy.name=sequential", "strategy.num_samples=64"), 64 * 80 // 4),
    (("strategy.name=marginal",), 64 * 80),
    (("strategy.name=sample",), 64 * 80),
    (("strategy.name=rollout",), 64 * 80 // 8),
    (("strategy.name=deepconf-online",), 64 * 80 // 8),
])  # fmt: skip
def test_problems_follow_slots_over_the_samples_that_one_has_in_flight(strategy, needed):
    assert needed_problems(recipe(*strategy)) == needed


def test_a_bound_that_starves_the_engines_is_told():
    majority = ("strategy.name=majority", "strategy.num_samples=4")
    assert starving_warnings(recipe(*majority)) == ()
    assert starving_warnings(recipe(*majority, "cluster.max_open_problems=1280")) == ()
    [told] = starving_warnings(recipe(*majority, "cluster.max_open_problems=512"))
    assert told.startswith("cluster.max_open_problems = 512 fills at most 50% of the 64 x 64 slots of the generators")
    assert "1280 or more" in told
    [told] = starving_warnings(recipe(*majority, "cluster.max_open_paths=4096"))
    assert told.startswith("cluster.max_open_paths = 4096 is 1.0 steps for each of the 64 x 64 slots")
    assert starving_warnings(recipe("strategy.name=question-score", "cluster.max_open_problems=1")) == ()


def test_what_is_left_out_follows_the_slots():
    assert window_problems(recipe("strategy.name=marginal")) == 5120
    assert window_problems(recipe("strategy.name=marginal", "cluster.max_open_problems=100")) == 100
    assert window_problems(load_recipe(RECIPE, ("strategy.name=marginal", "generator.max_num_seqs=8"))) == 512
    assert most_open_paths(recipe()) == 500_000
    assert most_open_paths(recipe("generator.num_replicas=512")) == 512 * 64 * 64
    assert most_open_paths(recipe("cluster.max_open_paths=7")) == 7
