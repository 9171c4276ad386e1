"""What a recipe takes in from files when it is read: examples, a chat template, a model of answers, and their risk.

From then on the recipe has them itself: what a run was begun with stands in its manifest, and an edited file is seen on
resume.
"""

from pathlib import Path

from jobs.recipes.answers.fitted import read_answer_model
from jobs.recipes.answers.risk import chosen_risk, read_risk
from jobs.recipes.generator import MOST_TEMPLATE_CHARS
from jobs.recipes.prompt import with_examples
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import problem_columns
from records.failure import InvalidInput


def with_files(recipe: Recipe) -> Recipe:
    """The recipe with what its files hold.

    Raises:
        InvalidInput: one of them cannot be read, or holds something else.
    """
    section = recipe.generator
    if section.chat_template is not None and not is_jinja(section.chat_template):
        section = section.model_copy(update={"chat_template": _template(section.chat_template)})
    examples = with_examples(recipe.prompt, problem_columns(recipe).names())
    return with_answer_files(recipe).model_copy(update={"generator": section, "prompt": examples})


def with_answer_files(recipe: Recipe) -> Recipe:
    """The recipe with what the files of its answer section hold.

    Raises:
        InvalidInput: one of them cannot be read, or holds something else, or does not support the recipe's target.
    """
    answer, strategy = recipe.answer, recipe.strategy
    if isinstance(answer.model, str):
        answer = answer.model_copy(update={"model": read_answer_model(_local(answer.model))})
    if isinstance(answer.risk, str) and answer.target_error is not None:
        risk = chosen_risk(
            read_risk(_local(answer.risk)),
            strategy.model_dump(mode="json"),
            target_error=answer.target_error,
            level=answer.target_level,
            estimate=answer.estimate,
        )
        answer = answer.model_copy(update={"risk": risk})
        strategy = strategy.model_copy(update={"threshold": risk.threshold}) if risk.stops else strategy
    return recipe.model_copy(update={"answer": answer, "strategy": strategy})


def is_jinja(text: str) -> bool:
    """Whether a setting is a template itself, not the name of a file."""
    return "{%" in text or "{{" in text


def _template(file: str) -> str:
    path = _local(file)
    try:
        if path.stat().st_size > MOST_TEMPLATE_CHARS:
            raise InvalidInput(f"generator.chat_template: {file} has more than {MOST_TEMPLATE_CHARS:,} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"generator.chat_template: {file} cannot be read ({error}); give a Jinja file") from error
    if not is_jinja(text):
        raise InvalidInput(f"generator.chat_template: {file} is no Jinja template: it has no {{{{ }}}} and no {{% %}}")
    return text


def _local(file: str) -> Path:
    if not file.startswith("s3://"):
        return Path(file)
    from cluster.staging import stage_file

    return stage_file(file)
