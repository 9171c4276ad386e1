"""What a run on scripted engines needs besides: the answer keys that they are told, and a word to the user."""

from dataclasses import replace

from actors.engines.scripted.engines import identity
from actors.engines.scripted.world import question_key
from actors.engines.settings import EngineSettings, GeneratorSettings
from jobs.problems.problem_set import inspect_problems
from jobs.recipes.engines import SCRIPTED
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import generator_settings, problem_columns
from jobs.scoring.cost import role_sections
from records.run_folder.manifest import ModelIdentity

WARNING = "scripted: not a model; the figures of this run mean nothing"


def is_scripted(recipe: Recipe) -> bool:
    """Whether any engine that the recipe's strategy needs is a stand-in."""
    return any(section.kind == SCRIPTED for section in role_sections(recipe).values())


def scripted_warnings(recipe: Recipe) -> tuple[str, ...]:
    """What the user should be told, a sentence each."""
    return (WARNING,) if is_scripted(recipe) else ()


def informed_generator_settings(recipe: Recipe) -> GeneratorSettings:
    """How each generator replica is built; a scripted one knows the answers of `script.answers`.

    Raises:
        InvalidInput: that file cannot be read, or is no problem file.
    """
    settings = generator_settings(recipe)
    if settings.kind != SCRIPTED or recipe.script.answers is None:
        return settings
    columns = replace(problem_columns(recipe), carry=())
    problems = inspect_problems(recipe.script.answers, columns)
    answers = {
        question_key(problem.question): problem.reference for problem in problems if problem.reference is not None
    }
    return replace(settings, script=replace(settings.script, answers=answers))


def scripted_identity(settings: EngineSettings) -> ModelIdentity:
    """What a manifest says of a scripted model."""
    named = identity(settings)
    return ModelIdentity(settings.model, named.model_sha256, named.tokenizer_sha256, named.num_parameters)
