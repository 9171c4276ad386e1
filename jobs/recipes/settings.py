"""What parts of a run read from a recipe: settings of engines, how tokens are drawn, limits of a sample, abstention."""

from dataclasses import fields, replace

from actors.engines.settings import GeneratorSettings, PrmSettings
from jobs.recipes.sections import Recipe
from records.calls import Sampling
from scaling.strategy import SearchLimits
from scaling.uncertainty.abstention import Abstention


def generator_settings(recipe: Recipe) -> GeneratorSettings:
    """How each generator replica is built."""
    section = recipe.generator
    settings = GeneratorSettings(**{field.name: getattr(section, field.name) for field in fields(GeneratorSettings)})
    return replace(settings, max_logprobs=max(settings.max_logprobs, recipe.strategy.num_logprobs))


def prm_settings(recipe: Recipe) -> PrmSettings | None:
    """How each PRM replica is built; None without a `[prm]` section."""
    section = recipe.prm
    if section is None:
        return None
    return PrmSettings(**{field.name: getattr(section, field.name) for field in fields(PrmSettings)})


def sampling(recipe: Recipe) -> Sampling:
    """How tokens are drawn."""
    return Sampling(temperature=recipe.generator.temperature, top_p=recipe.generator.top_p)


def search_limits(recipe: Recipe) -> SearchLimits:
    """Bounds on one sample."""
    return SearchLimits(max_tokens=recipe.generator.max_tokens, max_step_tokens=recipe.generator.max_step_tokens)


def abstention(recipe: Recipe) -> Abstention | None:
    """When answers are not stood by; None: they always are, or the strategy gives none to stand by."""
    below = recipe.answer.abstain_below
    if below is None or not recipe.strategy.answers:
        return None
    return Abstention(below, recipe.answer.estimate)
