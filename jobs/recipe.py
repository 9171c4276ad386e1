"""`parsimony recipe`: every key that a recipe may have, a recipe as it is read, a new one with comments."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.engines.chat import read_chat_template
from jobs.command_line.recipe import RecipeKeys, RecipeNew, RecipeOptions, RecipeShow
from jobs.describing.page import reference_page, reference_text
from jobs.describing.schema import schema_text
from jobs.describing.shown import new_recipe, shown_recipe
from jobs.display.terminal import err, out
from jobs.recipes.load import load_recipe
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.sections import Recipe
from jobs.recipes.strategies.registry import STRATEGIES, row_of
from records.failure import InvalidInput
from records.run_folder import layout
from records.run_folder.reader import read_run


def run(options: RecipeOptions) -> int:
    """Run the command; the exit status.

    Raises:
        InvalidInput: names what cannot be read or written, and what to do.
    """
    if isinstance(options, RecipeKeys):
        out(_keys(options))
    elif isinstance(options, RecipeShow):
        recipe = _recipe(options)
        if options.json:
            out(json.dumps(recipe.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
        else:
            out(shown_recipe(recipe, changed_only=options.changed))
    else:
        _write_new(options)
    return 0


def _keys(options: RecipeKeys) -> str:
    if options.printing == "json-schema":
        return schema_text()
    if options.printing == "markdown":
        return reference_page()
    found = reference_text(options.wanted, min(120, shutil.get_terminal_size().columns))
    if not found:
        raise InvalidInput(f"no key has {options.wanted!r} in its name; `parsimony recipe keys` prints them all")
    return found.lstrip("\n") + "\n"


def _recipe(options: RecipeShow) -> Recipe:
    """A recipe's file, or what a run was begun with."""
    path = Path(options.recipe)
    if options.recipe.startswith("s3://") or (path / layout.MANIFEST).is_file():
        return recorded_recipe(read_run(options.recipe).manifest, options.overrides)
    return load_recipe(path, options.overrides)


def _write_new(options: RecipeNew) -> None:
    """Write a recipe, checked as `score` would check it."""
    if options.output is not None and options.output.exists():
        raise InvalidInput(f"--output {options.output}: there is a file of that name; choose another, or remove it")
    answers = _answers(options) if sys.stdin.isatty() and sys.stdout.isatty() else options
    if not answers.generator:
        raise InvalidInput("--generator MODEL: the folder of the model that solves the problems")
    text = new_recipe(_values(answers, answers.generator))
    with tempfile.TemporaryDirectory() as folder:
        checked = Path(folder) / "new.toml"
        checked.write_text(text, encoding="utf-8")
        try:
            load_recipe(checked)
        except InvalidInput as error:
            raise InvalidInput(str(error).replace(f"{checked}: ", "")) from error
    if options.output is None:
        out(text)
        return
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--output {options.output}: cannot be written ({error.strerror})") from error
    err(f"parsimony: wrote {options.output}; next: parsimony check PROBLEMS --recipe {options.output}\n")


def _values(options: RecipeNew, generator: str) -> dict[str, dict[str, Any]]:
    """What the recipe says, by section."""
    strategy = options.strategy or ("best-of-n" if options.prm else "majority")
    values: dict[str, dict[str, Any]] = {
        "generator": {
            "model": _absolute(generator),
            "chat": _wants_chat(generator) if options.chat is None else options.chat,
        },
        "strategy": {"name": strategy},
    }
    if options.prm:
        values["prm"] = {"model": _absolute(options.prm)}
    row = row_of({"name": strategy})
    if row is None:
        raise InvalidInput(f"--strategy {strategy}: must be one of {', '.join(STRATEGIES)}")
    if options.num_samples is not None:
        if "num_samples" not in row.options.model_fields:
            raise InvalidInput(f"--num-samples: strategy {strategy} has no num_samples; leave it out")
        values["strategy"]["num_samples"] = options.num_samples
    if options.total_tokens is not None:
        values["budget"] = {"total_tokens": options.total_tokens}
    return values


def _absolute(model: str) -> str:
    """A folder that is here, wherever the recipe will lie; any other name as it is."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _wants_chat(model: str) -> bool:
    """Whether the model's folder has a chat template; false where the folder is not here."""
    return Path(model).is_dir() and read_chat_template(Path(model)) is not None


def _answers(options: RecipeNew) -> RecipeNew:
    """The options, and an answer to each question that they leave open."""

    def ask(question: str, default: str, read: Callable[[str], Any] = str) -> Any:
        err(f"{question} [{default}]: ")
        sys.stderr.flush()
        return read(sys.stdin.readline().strip() or default)

    generator = options.generator or ask("Folder of the model that solves the problems", "")
    prm = options.prm if options.prm is not None else ask("Folder of the PRM (empty: none)", "")
    strategy = options.strategy or ask(f"Strategy ({', '.join(STRATEGIES)})", "best-of-n" if prm else "majority")
    return RecipeNew(
        output=options.output, generator=generator, prm=prm, strategy=strategy, num_samples=options.num_samples,
        chat=options.chat, total_tokens=options.total_tokens,
    )  # fmt: skip


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="recipe"))
