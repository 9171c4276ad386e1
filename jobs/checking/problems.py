"""What a run would read of a problem file and ask of its model: columns, the first prompt, keys as they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.prompts import plain_prompt, prompt_warnings, read_prompt_writer
from actors.engines.text import read_tokenizer
from actors.engines.thoughts.families import thinking_warnings
from actors.engines.thoughts.reader import thought_reader
from cluster.hub import is_hub_name, stage_hub_outline
from jobs.checking.answers import described
from jobs.problems.problem_set import inspect_problems
from jobs.recipes.engines import SCRIPTED
from jobs.recipes.prompt import leak_warnings
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import generator_settings, problem_columns
from scaling.answers.references import reference_doubt, reference_mistake

SHOWN_KEYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemCheck:
    """A problem file as a run would read it.

    Attributes:
        problems: its address.
        num_problems: that would be scored.
        num_references: of these, with an answer key.
        columns: what is read -> the column that it is read from; null where there is none.
        unread: columns that are not read.
        prompt: of the first problem, as the model will see it.
        prompt_tokens: its length; null where there is no tokenizer here.
        keys: the first answer keys, and how each is read.
        warnings: what a run would warn of, and what is missing.
    """

    problems: str
    num_problems: int
    num_references: int
    columns: dict[str, str | None]
    unread: str
    prompt: str
    prompt_tokens: int | None
    keys: Sequence[tuple[str, str]]
    warnings: Sequence[str]


def checked_problems(path: str, recipe: Recipe, limit: int | None) -> ProblemCheck:
    """Read a problem file as a run by this recipe would.

    Raises:
        InvalidInput: as a run would raise.
    """
    kind = recipe.grader.kind
    columns = problem_columns(recipe)
    found = inspect_problems(path, columns, limit, partial(reference_mistake, kind), partial(reference_doubt, kind))
    first = next(iter(found))
    prompt, tokens, missing = first_prompt(recipe, first.question)
    keys = [one.reference for one in islice(found, 100) if one.reference is not None][:SHOWN_KEYS]
    return ProblemCheck(
        problems=path,
        num_problems=found.num_problems,
        num_references=found.num_references,
        columns={
            "id": found.columns.problem_id,
            "question": ", ".join(found.columns.asked),
            "answer key": found.columns.reference,
        },
        unread=found.columns.others,
        prompt=prompt,
        prompt_tokens=tokens,
        keys=[(key, described(key)) for key in keys],
        warnings=(*found.warnings, *missing, *leak_warnings(generator_settings(recipe).examples, found)),
    )


def first_prompt(recipe: Recipe, question: str) -> tuple[str, int | None, list[str]]:
    """The prompt of a question as the model will see it, its tokens, and what is missing to tell."""
    settings = generator_settings(recipe)
    if settings.kind == SCRIPTED:
        return plain_prompt(settings, question), None, []
    model = stage_hub_outline(settings.model) if is_hub_name(settings.model) else Path(settings.model)
    if not (model / TOKENIZER_FILE).is_file():
        missing = f"generator.model: no {TOKENIZER_FILE} in {settings.model} here: the prompt is not counted"
        return plain_prompt(settings, question), None, [missing]
    writer = read_prompt_writer(model, settings)
    if settings.thinking is not None:
        thought_reader(settings, settings.thinking, read_tokenizer(model / TOKENIZER_FILE), writer.text(question))
    return (
        writer.text(question),
        len(writer.token_ids(question)),
        [*prompt_warnings(model, settings), *thinking_warnings(model, settings)],
    )
