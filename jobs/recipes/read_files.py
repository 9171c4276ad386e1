"""What a recipe takes in from files when it is read: examples of the prompt, a chat template, a fitted answer model.

From then on the recipe has them itself: what a run was begun with stands in its manifest, and an edited file is seen on
resume.
"""

from pathlib import Path

from jobs.recipes.answer_model import read_answer_model
from jobs.recipes.engines import MOST_TEMPLATE_CHARS
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
    answer = recipe.answer
    if isinstance(answer.model, str):
        answer = answer.model_copy(update={"model": read_answer_model(_local(answer.model))})
    return recipe.model_copy(update={"generator": section, "prompt": examples, "answer": answer})


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
