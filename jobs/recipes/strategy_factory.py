"""From the recipe's strategy section to the function that begins a search."""

from functools import partial

from jobs.recipes.plugin import plugin
from jobs.recipes.section import PLUGIN
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import fitted_answers, search_limits
from jobs.recipes.strategies.registry import STRATEGIES
from scaling.strategy import StrategyFactory
from scaling.uncertainty.answer_p import with_answer_p


def strategy_factory(recipe: Recipe) -> StrategyFactory:
    """The strategy with its options and limits; called with the root of a problem, it begins a search.

    Raises:
        InvalidInput: a `module:function` of the user's that cannot be imported.
    """
    section = recipe.strategy
    row = STRATEGIES.get(section.name, STRATEGIES[PLUGIN])
    function = row.function or plugin(section.name, section.arguments)
    arguments = section.arguments | ({"seed": recipe.seed} if row.draws else {})
    fitted = fitted_answers(recipe)
    if row.believes:
        arguments |= {"fitted": fitted}
    if section.most_samples is not None:
        function = partial(with_answer_p, function, believed=fitted)
    return partial(function, limits=search_limits(recipe), **arguments)
