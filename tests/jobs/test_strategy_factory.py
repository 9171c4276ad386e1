"""From a recipe to a strategy, a user's own among them: its mistakes cost a problem, not the run."""

import pickle
import random
from pathlib import Path

import pytest

from jobs.recipe import load_recipe
from jobs.strategies import strategy_factory
from records.failure import InvalidInput
from tests.world import World, problems, scheduler_for

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"


def factory(name: str, *overrides: str):
    return strategy_factory(load_recipe(EXAMPLE / "sample.toml", [f"strategy.name=tests.plugins:{name}", *overrides]))


def outcome(strategy, *, has_prm: bool = True) -> list[tuple[str | None, bool]]:
    scheduler = scheduler_for(strategy)
    scheduler._has_prm = has_prm
    world = World(scheduler, random.Random(1))
    world.run(problems(3))
    return [(concluded.search.error, concluded.search.choice is not None) for concluded in world.concluded]


@pytest.mark.parametrize("recipe", ["sample", "majority", "best-of-16", "beam-16"])
def test_shipped_strategies_travel_and_run(recipe):
    strategy = pickle.loads(pickle.dumps(strategy_factory(load_recipe(EXAMPLE / f"{recipe}.toml"))))  # noqa: S301
    assert outcome(strategy) == [(None, True)] * 3


@pytest.mark.parametrize(
    "override",
    [
        '{name="adaptive-best-of-n", max_samples=8, estimate="mean", selection="majority"}',
        '{name="adaptive-beam-search", num_samples=8, beam_width=2, adapt="both", aggregation="min"}',
        '{name="sequential", max_samples=8}',
        '{name="sequential", max_samples=8, selection="weighted-vote"}',
    ],
)
def test_adaptive_strategies_travel_and_run(override):
    recipe = load_recipe(EXAMPLE / "best-of-16.toml", [f"strategy={override}"])
    assert outcome(pickle.loads(pickle.dumps(strategy_factory(recipe)))) == [(None, True)] * 3  # noqa: S301


def test_a_users_strategy_gets_its_options():
    strategy = pickle.loads(pickle.dumps(factory("first_of", "strategy.options.num_samples=3")))  # noqa: S301
    assert outcome(strategy) == [(None, True)] * 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("raises", 'tests.plugins:raises raised KeyError: "a user\'s mistake"'),
        ("returns_nothing", "tests.plugins:returns_nothing returned NoneType, not a scaling.strategy.Choice"),
    ],
)
def test_a_broken_strategy_fails_its_problems_and_says_why(name, error):
    assert outcome(factory(name)) == [(error, False)] * 3


def test_asking_for_scores_without_a_prm_fails_the_problem():
    error = "the strategy asks for scores, and the recipe has no [prm]"
    assert outcome(factory("asks_for_scores"), has_prm=False) == [(error, False)] * 3


def test_a_strategy_that_does_not_exist_is_refused():
    with pytest.raises(InvalidInput, match="no_such_thing"):
        factory("no_such_thing")
