"""What parts of a run read from a recipe: settings of engines, how tokens are drawn, limits of a sample, abstention."""

from dataclasses import fields, replace
from typing import Any

from actors.engines.settings import EngineSettings, GeneratorSettings, PrmSettings, Script
from jobs.problems.columns import ProblemColumns
from jobs.problems.templates import parse_template
from jobs.recipes.engines import EngineSection
from jobs.recipes.plugin import imported
from jobs.recipes.prompt import shown_examples
from jobs.recipes.section import is_plugin
from jobs.recipes.sections import Recipe
from jobs.recipes.thinking import thinking_settings
from records.bounded import quoted
from records.calls import Sampling
from records.failure import InvalidInput
from scaling.answers.classes import AnswerPolicy
from scaling.answers.extract import DEFAULT_WAYS, Extraction, Way
from scaling.strategy import SearchLimits
from scaling.uncertainty.abstention import Abstention
from scaling.uncertainty.fitted_answers import FittedAnswers

_MADE = frozenset({"script", "max_logprobs", "prompt_template", "examples", "between_examples", "thinking"})
"""Settings that are made of several keys of a recipe."""


def generator_settings(recipe: Recipe) -> GeneratorSettings:
    """How each generator replica is built.

    Raises:
        InvalidInput: an example of the prompt lacks a column.
    """
    section, template = recipe.generator, parse_template(recipe.generator.prompt_template)
    return GeneratorSettings(
        **_as_written(section, GeneratorSettings),
        prompt_template=template.frame,
        examples=shown_examples(recipe.prompt, problem_columns(recipe), template.text),
        between_examples=recipe.prompt.between_examples,
        max_logprobs=max(section.max_logprobs, recipe.strategy.num_logprobs),
        script=Script(tokens_per_s=recipe.script.tokens_per_s),
        thinking=thinking_settings(section.thinking, section.max_step_tokens),
    )


def problem_columns(recipe: Recipe) -> ProblemColumns:
    """Which columns of a problem file are read, those that the prompt names among them."""
    text = parse_template(recipe.generator.prompt_template).text
    carry = tuple(dict.fromkeys((*recipe.report.by, *recipe.problems.carry)))
    return ProblemColumns(**recipe.problems.model_dump() | {"carry": carry}, text=text)


def prm_settings(recipe: Recipe) -> PrmSettings | None:
    """How each PRM replica is built; None without a `[prm]` section."""
    section = recipe.prm
    if section is None:
        return None
    script = Script(tokens_per_s=recipe.script.prm_tokens_per_s)
    return PrmSettings(**_as_written(section, PrmSettings), script=script)


def _as_written(section: EngineSection, settings: type[EngineSettings]) -> dict[str, Any]:
    """The settings that stand in the section as they are."""
    names = {field.name for field in fields(settings)} - _MADE
    return {name: getattr(section, name) for name in names}


def sampling(recipe: Recipe) -> Sampling:
    """How tokens are drawn."""
    section = recipe.generator
    named = {field.name: getattr(section, field.name) for field in fields(Sampling)}
    bias = tuple(sorted((int(token_id), float(value)) for token_id, value in section.logit_bias.items()))
    return Sampling(**named | {"logit_bias": bias})


def fitted_answers(recipe: Recipe) -> FittedAnswers | None:
    """The fitted model of answers; None where the recipe has none.

    Raises:
        InvalidInput: the name of a file stands in its place, as in no run's manifest.
    """
    section = recipe.answer.model
    if isinstance(section, str):
        raise InvalidInput(f"answer.model: {quoted(section)} is the name of a file, not its numbers")
    return None if section is None else FittedAnswers.of(section.model_dump())


def search_limits(recipe: Recipe) -> SearchLimits:
    """Bounds on one sample."""
    section = recipe.generator
    whole = section.thinking is not None and section.thinking.steps == "whole"
    return SearchLimits(
        max_tokens=section.max_tokens,
        max_step_tokens=section.max_step_tokens,
        max_thought_tokens=section.max_tokens if whole else None,
    )


def answer_policy(recipe: Recipe) -> AnswerPolicy:
    """How answers are found and told apart, the user's own function loaded.

    Raises:
        InvalidInput: a `module:function` that cannot be imported.
    """
    policy, extract = recorded_policy(recipe), recipe.answer.extract
    if isinstance(extract, str) and is_plugin(extract):
        return replace(policy, extractor=imported(extract, "answer.extract"))
    return policy


def recorded_policy(recipe: Recipe) -> AnswerPolicy:
    """The same without any code that the recipe names: for readers of runs, whose rows hold the answers."""
    section = recipe.answer
    ways: tuple[Way, ...] = DEFAULT_WAYS
    if section.extract is not None and not (isinstance(section.extract, str) and is_plugin(section.extract)):
        ways = tuple(map(Way, [section.extract] if isinstance(section.extract, str) else section.extract))
    thinking = recipe.generator.thinking
    return AnswerPolicy(
        Extraction(ways, section.pattern, has_thoughts=thinking is None),
        recipe.grader.kind,
        prm_reads_thoughts=thinking is None or thinking.prm_reads == "all",
    )


def abstention(recipe: Recipe) -> Abstention | None:
    """When answers are not stood by; None: they always are, or the strategy gives none to stand by."""
    if isinstance(recipe.answer.risk, str):
        raise InvalidInput(f"answer.risk: {quoted(recipe.answer.risk)} is the name of a file, not its numbers")
    below = recipe.answer.threshold
    if below is None or not recipe.strategy.answers:
        return None
    return Abstention(below, recipe.answer.estimate)
