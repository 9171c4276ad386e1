"""`parsimony check`: what a run would read, ask and grade, without loading a model; or answers by themselves.

PROBLEMS --recipe R    columns, the first prompt, keys as they are read, what cannot be graded, what is missing
--grade FILE           a verdict on each pair of answer and reference, and how both were read
--extract FILE         the answer that each solution states
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.table import Table

from jobs.checking.answers import extracted_lines, graded_lines
from jobs.checking.problems import ProblemCheck, checked_problems
from jobs.command_line.check import CheckOptions
from jobs.display.consoles import new_console, table_console
from jobs.display.terminal import out
from jobs.recipes.load import load_recipe
from jobs.recipes.sections import GraderSection, Recipe
from jobs.recipes.settings import answer_policy
from records.failure import InvalidInput
from scaling.answers.classes import AnswerPolicy

MAX_PROMPT_CHARS = 2000
"""Of the first prompt, for people."""


def run(options: CheckOptions) -> int:
    """Run the command; the exit status.

    Raises:
        InvalidInput: names file, line or field, and what to do.
    """
    if options.problems is None and options.grade is None and options.extract is None:
        raise InvalidInput("nothing to check: give PROBLEMS and --recipe, --grade FILE, or --extract FILE")
    if options.problems is not None and options.recipe is None:
        raise InvalidInput(f"{options.problems}: --recipe R.toml says how its columns are read and what is asked")
    recipe = None if options.recipe is None else load_recipe(options.recipe, options.overrides)
    if options.problems is not None and recipe is not None:
        _print_problems(checked_problems(options.problems, recipe, options.limit), as_json=options.json)
    if options.grade is not None:
        _print_lines(graded_lines(options.grade, _grader(options, recipe)), _graded_row, as_json=options.json)
    if options.extract is not None:
        policy = AnswerPolicy() if recipe is None else answer_policy(recipe)
        # A file has texts, not tokens: thoughts in them are found by their tags.
        policy = replace(policy, extraction=replace(policy.extraction, has_thoughts=True))
        _print_lines(extracted_lines(options.extract, policy), _extracted_row, as_json=options.json)
    return 0


def _grader(options: CheckOptions, recipe: Recipe | None) -> GraderSection:
    section = GraderSection() if recipe is None else recipe.grader
    if options.grader is None:
        return section
    try:
        return GraderSection(kind=options.grader, timeout_s=section.timeout_s)
    except ValueError as error:
        raise InvalidInput(f"--grader {options.grader}: must be math-verify, exact, numeric, multiple-choice, or "
                           "module:function") from error  # fmt: skip


def _print_lines(lines: Sequence[dict[str, Any]], row: Any, *, as_json: bool) -> None:
    if as_json:
        for line in lines:
            out(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n", data=True)
        return
    table = Table.grid(padding=(0, 2))
    for line in lines:
        table.add_row(*row(line))
    table_console().print(table, highlight=False, markup=False)


def _graded_row(line: dict[str, Any]) -> tuple[str, ...]:
    verdict = {True: "right", False: "wrong", None: "not graded"}[line["correct"]]
    readings = f"{line['answer_reading']}  |  key: {line['reference_reading']}"
    return verdict, str(line["answer"]), str(line["reference"]), line.get("why") or readings


def _extracted_row(line: dict[str, Any]) -> tuple[str, ...]:
    ending = " ".join(line["solution"].split())[-60:]
    return ("states nothing" if line["answer"] is None else line["answer"]), f"... {ending}"


def _print_problems(check: ProblemCheck, *, as_json: bool) -> None:
    if as_json:
        out(json.dumps(asdict(check), indent=2, ensure_ascii=False) + "\n", data=True)
        return
    console = new_console()
    tokens = "" if check.prompt_tokens is None else f", {check.prompt_tokens} tokens"
    prompt = check.prompt if len(check.prompt) <= MAX_PROMPT_CHARS else f"{check.prompt[:MAX_PROMPT_CHARS]}..."
    columns = ", ".join(f"{what} from {repr(name) if name else 'nothing'}" for what, name in check.columns.items())
    said = [
        f"{check.problems}: {check.num_problems} problems, {check.num_references} with an answer key",
        f"Columns: {columns}" + (f"; not read: {check.unread}" if check.unread else ""),
        f"The first prompt ({len(check.prompt)} characters{tokens}):",
        *(f"  | {line}" for line in prompt.split("\n")),
        "Answer keys as they are read:" if check.keys else "No answer key: nothing would be graded",
        *(f"  {key!r}: {reading}" for key, reading in check.keys),
        *(f"warning: {warning}" for warning in check.warnings),
    ]
    for line in said:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="check"))
