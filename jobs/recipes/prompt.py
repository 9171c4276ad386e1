"""The recipe's `[prompt]`: problems that are shown solved before each question.

They stand in the recipe itself, `[[prompt.examples]]`, or in a file with the columns of the problem file. Those of a
file are chosen when the recipe is read, and from then on stand in it: a manifest says what was shown, not where it was
once found.
"""

import hashlib
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from actors.engines.settings import ShownExample
from jobs.problems.columns import ANSWER_COLUMNS, AUTO, ProblemColumns, question_column
from jobs.problems.file_rows import LineError, NoColumns
from jobs.problems.files import place, rows
from jobs.problems.templates import QUESTION_NAME, ColumnName, text_of, value_text
from jobs.recipes.section import Section, setting
from records.failure import InvalidInput
from records.problem import Problem

MOST_EXAMPLES = 256
WORKED = ("worked_solution", "solution", "rationale", *ANSWER_COLUMNS)
"""Where an example's answer is looked for, in this order: how it is reached, before what it is."""


class PromptSection(Section):
    """Problems that are shown solved before each question."""

    examples: tuple[dict[str, Any], ...] = Field(
        default=(),
        strict=False,
        max_length=MOST_EXAMPLES,
        description="Each a table with the columns that the prompt names, and an answer: [[prompt.examples]].",
    )
    examples_file: str | None = setting(
        None,
        "The same from a file, relative to the recipe, with columns as the problem file has them; chosen when the "
        "recipe is read.",
        min_length=1,
    )
    num_examples: int | None = setting(None, "How many are shown; omitted: all there are.", ge=0, le=MOST_EXAMPLES)
    examples_seed: int | None = setting(None, "Which of the file are shown; omitted: the first ones.", ge=0, lt=2**63)
    answer_column: str = setting(
        AUTO,
        f'Column of an example that holds what is answered; "auto": the first there is of {", ".join(WORKED)}.',
        min_length=1,
    )
    between_examples: str = setting("\n\n", "Text after each example where chat = false.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.examples and self.examples_file is not None:
            raise ValueError("examples and examples_file exclude each other: leave one of them out")
        if self.examples_file is None and self.num_examples is not None and self.num_examples > len(self.examples):
            raise ValueError(f"num_examples is {self.num_examples}, and there are {len(self.examples)} examples")
        if self.examples_file is None and self.examples_seed is not None:
            raise ValueError("examples_seed chooses from examples_file, and there is none")
        return self


def with_examples(section: PromptSection, wanted_columns: Collection[str]) -> PromptSection:
    """The section with the examples of its file in it.

    Args:
        section: as the recipe has it.
        wanted_columns: that the problem's text may be made of; others, but for the answer's, are left behind.

    Raises:
        InvalidInput: the file cannot be read, or has too few.
    """
    file, wanted = section.examples_file, section.num_examples
    if file is None:
        return section
    found = heapq.nsmallest(
        MOST_EXAMPLES + 1 if wanted is None else wanted, _numbered_rows(file), key=lambda row: _rank(section, row[0])
    )
    if len(found) > MOST_EXAMPLES:
        raise InvalidInput(f"prompt.num_examples: {file} has more than {MOST_EXAMPLES}; say how many are to be shown")
    if len(found) < (wanted or 1) and wanted != 0:
        raise InvalidInput(f"prompt.num_examples = {wanted or 'all'}: {file} has {len(found)}")
    kept = frozenset((*wanted_columns, *WORKED, section.answer_column))
    examples = tuple({name: value for name, value in columns.items() if name in kept} for _, columns in found)
    changed = {"examples": examples, "examples_file": None, "examples_seed": None, "num_examples": len(examples)}
    return section.model_copy(update=changed)


def shown_examples(
    section: PromptSection, columns: ProblemColumns, text: tuple[str | ColumnName, ...]
) -> tuple[ShownExample, ...]:
    """The examples as the prompt shows them.

    Args:
        section: read.
        columns: of the problem file.
        text: pieces of a problem's text, as in `jobs.problems.templates.PromptTemplate`.

    Raises:
        InvalidInput: one lacks a column.
    """
    shown = []
    for number, row in enumerate(section.examples[: section.num_examples], start=1):
        try:
            shown.append(ShownExample(_question(row, columns, text), _answer(row, section.answer_column)))
        except (LineError, NoColumns) as error:
            raise InvalidInput(f"prompt.examples, number {number}: {error}") from error
    return tuple(shown)


def leak_warnings(examples: Sequence[ShownExample], problems: Iterable[Problem]) -> tuple[str, ...]:
    """A sentence if problems are among the examples that their prompt shows solved.

    Args:
        examples: as the prompt shows them.
        problems: of the run; looked at only where there are examples.
    """
    shown = {example.question.strip() for example in examples}
    told = [problem.problem_id for problem in problems if problem.question.strip() in shown] if shown else []
    if not told:
        return ()
    which = ", ".join(map(repr, told[:3])) + (", ..." if len(told) > 3 else "")
    return (f"{len(told)} problems are among the examples of the prompt, which shows them solved: {which}",)


def _question(row: dict[str, Any], columns: ProblemColumns, text: tuple[str | ColumnName, ...]) -> str:
    """The text of an example, made as a problem's is; it may call its question `question`, whatever the file does."""
    text = text or (ColumnName(QUESTION_NAME),)
    if ColumnName(QUESTION_NAME) not in text:
        return text_of(row, text, "")
    named = next((name for name in (columns.question, QUESTION_NAME) if name in row), AUTO)
    return text_of(row, text, question_column(row, named, columns.preset))


def _answer(row: Mapping[str, Any], wanted: str) -> str:
    column = next((name for name in WORKED if name in row), None) if wanted == AUTO else wanted
    if column is None:
        raise LineError(f"no answer: neither {' nor '.join(WORKED)} is there; name it: prompt.answer_column")
    return value_text(row, column)


def _rank(section: PromptSection, number: int) -> tuple[bytes, int]:
    """In the file's order, or in one that the seed draws."""
    drawn = b"" if section.examples_seed is None else f"{section.examples_seed}:{number}".encode()
    return hashlib.blake2b(drawn, digest_size=8).digest() if drawn else drawn, number


def _numbered_rows(file: str) -> Iterator[tuple[int, dict[str, object]]]:
    for number, columns in rows(file, None):
        if isinstance(columns, LineError):
            raise InvalidInput(f"{place(file, number)}: {columns} (prompt.examples_file)")
        yield number, columns
