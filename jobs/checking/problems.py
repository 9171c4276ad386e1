"""What a run would read of a problem file and ask of its model: columns, the first prompt, keys as they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from actors.engines.chat import Message, read_chat_template
from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.text import read_tokenizer
from jobs.checking.answers import described
from jobs.problems.problem_set import inspect_problems
from jobs.problems.rows import ProblemColumns
from jobs.recipes.engines import SCRIPTED
from jobs.recipes.sections import Recipe
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
    columns = ProblemColumns(**recipe.problems.model_dump())
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
            "question": found.columns.question,
            "answer key": found.columns.reference,
        },
        unread=found.columns.others,
        prompt=prompt,
        prompt_tokens=tokens,
        keys=[(key, described(key)) for key in keys],
        warnings=(*found.warnings, *missing),
    )


def first_prompt(recipe: Recipe, question: str) -> tuple[str, int | None, list[str]]:
    """The prompt of a question as the model will see it, its tokens, and what is missing to tell."""
    section = recipe.generator
    text = section.prompt_template.replace("{question}", question)
    if section.kind == SCRIPTED:
        return text, None, []
    model = Path(section.model)
    if not (model / TOKENIZER_FILE).is_file():
        return text, None, [f"generator.model: no {TOKENIZER_FILE} in {section.model} here: the prompt is not counted"]
    tokenizer = read_tokenizer(model / TOKENIZER_FILE)
    if not section.chat:
        return text, len(tokenizer.encode(text)), []
    template = read_chat_template(model)
    if template is None:
        return text, None, [f"generator.chat is true, and {section.model} has no chat template"]
    messages: list[Message] = [{"role": "user", "content": text}]
    if section.system_prompt is not None:
        messages.insert(0, {"role": "system", "content": section.system_prompt})
    rendered = template.render(messages)
    return rendered, len(tokenizer.encode(rendered, special=False)), []
