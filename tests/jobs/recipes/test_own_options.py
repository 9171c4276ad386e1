"""Options of a strategy of the user's own: set like any other's, and refused before a run where it has none such."""

import pytest

from jobs.recipes.load import load_recipe
from jobs.recipes.sections import Recipe
from jobs.recipes.strategy_factory import strategy_factory
from records.failure import InvalidInput
from tests.actors.conftest import EXAMPLE

NAME = "strategy.name=tests.support.plugins:first_of"


def recipe(*overrides: str) -> Recipe:
    return load_recipe(EXAMPLE / "sample.toml", overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        (NAME, "strategy.num_samples=3"),
        (NAME, "strategy.options.num_samples=3"),
        ("strategy={name='tests.support.plugins:first_of', num_samples=3}",),
    ],
)
def test_an_option_is_set_as_for_any_strategy(overrides):
    found = recipe(*overrides)
    assert found.strategy.arguments == {"num_samples": 3}
    assert found.strategy.model_dump()["options"] == {"num_samples": 3}
    assert strategy_factory(found) is not None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((NAME, "strategy.num_sample=3"), "strategy.num_sample: tests.support.plugins:first_of takes no such option"),
        ((NAME,), "strategy.num_samples is missing: tests.support.plugins:first_of does not begin without it"),
        (("strategy.name=tests.support.plugins:raises", "strategy.x=1"), "it takes none"),
    ],
)  # fmt: skip
def test_an_option_that_it_has_not_is_refused_by_name(overrides, said):
    with pytest.raises(InvalidInput) as refused:
        strategy_factory(recipe(*overrides))
    assert said in str(refused.value)


def test_an_option_may_not_stand_twice():
    with pytest.raises(InvalidInput, match="num_samples stands in"):
        recipe(NAME, "strategy.num_samples=3", "strategy.options.num_samples=4")


def test_an_option_of_a_shipped_strategy_is_still_checked():
    with pytest.raises(InvalidInput, match=r"strategy.num_sampels is not .*; did you mean strategy.num_samples"):
        recipe("strategy.name=majority", "strategy.num_sampels=3")
