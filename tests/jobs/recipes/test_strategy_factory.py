"""From a recipe to a strategy, a user's own among them: its mistakes cost a problem, not the run."""

import pickle
import random
from pathlib import Path

import pytest

from jobs.recipes.load import load_recipe
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import generator_settings
from jobs.recipes.strategy_factory import strategy_factory
from records.failure import InvalidInput
from tests.support.world import World, problems, scheduler_for

EXAMPLE = Path(__file__).parents[3] / "examples/arithmetic"


def factory(name: str, *overrides: str):
    return strategy_factory(
        load_recipe(EXAMPLE / "sample.toml", [f"strategy.name=tests.support.plugins:{name}", *overrides])
    )


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
        '{name="adaptive-best-of-n", num_samples=8, estimate="mean", selection="majority"}',
        '{name="adaptive-beam-search", num_samples=8, beam_width=2, adapt="both", aggregation="min"}',
        '{name="sequential", num_samples=8}',
        '{name="sequential", num_samples=8, selection="weighted-vote"}',
        '{name="marginal", num_samples=8}',
        '{name="marginal", num_samples=8, objective="accuracy", min_gain=0.01, prior_strength=3, typical_tokens=50}',
    ],
)
def test_adaptive_strategies_travel_and_run(override):
    recipe = load_recipe(EXAMPLE / "best-of-16.toml", [f"strategy={override}"])
    assert outcome(pickle.loads(pickle.dumps(strategy_factory(recipe)))) == [(None, True)] * 3  # noqa: S301


def test_a_recipe_says_whether_problems_compete():
    sections = [
        "name=sequential",
        "name=marginal",
        "name=tests.support.plugins:first_of",
        "name=tests.support.plugins:first_of,ranks=true",
    ]
    found = []
    for section in sections:
        overrides = [f"strategy.{part}" for part in section.split(",")]
        found.append(load_recipe(EXAMPLE / "best-of-16.toml", overrides).strategy.allocates)
    assert found == [False, True, False, True]


def test_a_users_strategy_gets_its_options():
    strategy = pickle.loads(pickle.dumps(factory("first_of", "strategy.options.num_samples=3")))  # noqa: S301
    assert outcome(strategy) == [(None, True)] * 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("raises", 'tests.support.plugins:raises raised KeyError: "a user\'s mistake" (plugins.py, line 20)'),
        ("returns_nothing", "tests.support.plugins:returns_nothing returned None, not a scaling.strategy.Choice"),
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


RIVALS = {
    "dvts": ["num_samples=4", "beam_width=2", "max_steps=3"],
    "rebase": ["num_samples=4", "balance_temperature=0.1", 'aggregation="min"'],
    "particle-filtering": ["num_samples=4", "temperature=0.5", 'resampling="systematic"', "resample_finished=false"],
    "lookahead-beam": ["num_samples=4", "beam_width=2", "lookahead=2", 'aggregation="product"'],
    "adaptive-consistency": ["num_samples=8", "wave_size=2", "confidence=0.9"],
    "backtracking": ["num_samples=4", "beam_width=2", "max_fall=0.2", "max_backtracks=2"],
    "deepconf-offline": ["num_samples=4", "keep_share=0.5", "window=8", 'trace_confidence="tail"', "top_logprobs=5"],
    "deepconf-online": ["num_samples=8", "num_warmup=4", "wave_size=2", "consensus=0.9", 'selection="majority"'],
    "power-sampling": ["num_samples=2", "alpha=2.0", "num_mcmc_steps=3", 'selection="best"'],
}


def rival(name: str, *options: str) -> Recipe:
    overrides = [f"strategy.name={name}", *(f"strategy.{option}" for option in options)]
    return load_recipe(EXAMPLE / "sample.toml", overrides)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_travel_and_run_with_and_without_options(name):
    for options in ([], RIVALS[name]):
        strategy = pickle.loads(pickle.dumps(strategy_factory(rival(name, *options))))  # noqa: S301
        assert outcome(strategy) == [(None, True)] * 3


def test_a_strategy_that_draws_gets_the_seed_of_the_run():
    for name in ("particle-filtering", "power-sampling"):
        assert strategy_factory(rival(name)).keywords["seed"] == rival(name).seed


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("dvts", "beam_width=3", r"num_samples \(16\) must be a multiple of beam_width \(3\)"),
        ("lookahead-beam", "lookahead=0", "greater than or equal to 1"),
        ("rebase", "balance_temperature=0.0", "greater than or equal to 0.001"),
        ("rebase", "beam_width=4", "beam_width"),
        ("particle-filtering", 'resampling="stratified"', "systematic"),
        ("adaptive-consistency", "confidence=1.0", "less than 1"),
        ("backtracking", "max_fall=1.0", "less than 1"),
        ("deepconf-offline", "keep_share=0.0", "greater than 0"),
        ("deepconf-offline", 'selection="best"', "confidence-vote"),
        ("deepconf-online", "num_samples=8", r"num_warmup \(16\) must not be above num_samples \(8\)"),
        ("power-sampling", "alpha=0.5", "greater than or equal to 1"),
        ("rebase", 'selection="confidence-vote"', "weighted-vote"),
    ],
)
def test_options_out_of_bounds_are_refused(name, option, message):
    with pytest.raises(InvalidInput, match=message):
        rival(name, option)


def test_plain_votes_start_no_prm():
    without = ["adaptive-consistency", "deepconf-offline", "deepconf-online", "power-sampling"]
    assert [name for name in RIVALS if not rival(name).strategy.needs_prm] == without
    assert rival("power-sampling", 'selection="weighted-vote"').strategy.needs_prm


@pytest.mark.parametrize(
    ("overrides", "num_logprobs"),
    [
        (("strategy.name=majority",), 20),
        (("strategy.name=best-of-n", "strategy.selection=confidence-vote"), 20),
        (("strategy.name=deepconf-offline", "strategy.top_logprobs=5"), 20),
        (("strategy.name=deepconf-online", "strategy.top_logprobs=50"), 50),
        (("strategy.name=power-sampling", "generator.max_logprobs=60"), 60),
    ],
)
def test_engines_are_built_for_the_log_probabilities_that_are_asked_for(overrides, num_logprobs):
    recipe = load_recipe(EXAMPLE / "sample.toml", overrides)
    assert generator_settings(recipe).max_logprobs == num_logprobs >= recipe.strategy.num_logprobs


def test_confidence_votes_ask_for_log_probabilities_and_other_selections_do_not():
    for name in ("best-of-n", "adaptive-best-of-n", "sequential", "power-sampling"):
        asked = rival(name, "selection=confidence-vote")
        assert asked.strategy.num_logprobs == 20
        assert outcome(strategy_factory(asked)) == [(None, True)] * 3
    assert rival("best-of-n").strategy.num_logprobs == rival("sequential").strategy.num_logprobs == 0
