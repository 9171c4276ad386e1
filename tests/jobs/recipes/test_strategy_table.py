"""The table of strategies: every strategy of the package is in it, and a row is all that a name takes."""

import ast
import inspect
import random
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from jobs.comparison.settings import comparison_settings
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import as_json
from jobs.recipes.section import PLUGIN
from jobs.recipes.strategies.base import StrategyOptions, WholeSampleOptions
from jobs.recipes.strategies.registry import STRATEGIES, StrategyRow
from jobs.recipes.strategy_factory import strategy_factory
from jobs.scoring.summary import summarize
from records.failure import InvalidInput
from records.run_folder.commits import Totals
from scaling.strategies.majority import majority
from tests.support.world import World, problems, scheduler_for

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "examples/arithmetic/best-of-16.toml"
FUNCTIONS = {row.name: row.function for row in STRATEGIES.values() if row.function is not None}
PLAIN = ("sample", "majority", "best-of-n", "beam-search", "rollout", "question-score")
"""Without a section of their own in docs: they are in one table of docs/strategies.md."""


def loaded(name: str, **options: str) -> StrategyOptions:
    section = ", ".join([f"name='{name}'", *(f"{key}={value}" for key, value in options.items())])
    return load_recipe(RECIPE, [f"strategy={{{section}}}"]).strategy


def strategies_of(path: Path) -> set[str]:
    """Public functions of a module that return a `Strategy`."""
    return {
        f"{path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}.{node.name}"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if node.returns is not None and ast.unparse(node.returns) == "Strategy"
    }


def test_every_strategy_of_the_package_has_a_row() -> None:
    modules = [path for path in (ROOT / "scaling/strategies").rglob("*.py") if path.name != "__init__.py"]
    found = {path.stem: strategies_of(path) for path in modules}
    assert {stem for stem, functions in found.items() if not functions} == {"as_they_finish", "stepwise"}
    rows = [f"{function.__module__}.{function.__name__}" for function in FUNCTIONS.values()]
    assert sorted(rows) == sorted(name for functions in found.values() for name in functions)


def test_documented_names_are_the_tables() -> None:
    pages = [(ROOT / "docs" / page).read_text() for page in ("strategies.md", "rival-strategies.md")]
    sections = {name for page in pages for name in re.findall(r"^## ([a-z][a-z-]+)$", page, re.MULTILINE)}
    plain = pages[0].partition("\n## The plain ones\n")[2].partition("\n## ")[0]
    listed = {
        name: set(re.findall(r"`(\w+)`", row))
        for name, row in re.findall(r"^\| `([a-z-]+)` \|([^|]*)", plain, re.MULTILINE)
    }
    assert sections == set(STRATEGIES) - {PLUGIN, *PLAIN}
    assert listed == {name: set(STRATEGIES[name].options.model_fields) - {"name"} for name in PLAIN}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_name_finds_its_options_and_stands_first_in_the_manifest(name: str) -> None:
    recipe = load_recipe(RECIPE, [f"strategy={{name='{name}'}}"])
    assert type(recipe.strategy) is STRATEGIES[name].options
    assert next(iter(as_json(recipe)["strategy"].items())) == ("name", name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_answering_strategy_is_one_that_a_comparison_accepts(name: str) -> None:
    if loaded(name).answers:
        [setting] = comparison_settings([RECIPE], [name], ["budget.total_tokens="])
        assert setting.recipe.strategy.name == name
    else:
        with pytest.raises(InvalidInput, match="not run for its answers"):
            comparison_settings([RECIPE], [name], [])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_options_are_the_arguments_of_the_function_with_its_defaults(name: str) -> None:
    parameters = dict(inspect.signature(FUNCTIONS[name]).parameters)
    options = {key: field.default for key, field in STRATEGIES[name].options.model_fields.items() if key != "name"}
    assert set(options) <= set(parameters)
    empty = inspect.Parameter.empty
    own = {key: parameters[key].default for key in options if parameters[key].default is not empty}
    assert own == {key: options[key] for key in own}
    required = {
        key for key, one in parameters.items() if one.default is empty and one.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert required - set(options) <= {"root", "limits", "seed"}
    assert ("seed" in required) == STRATEGIES[name].draws


def choices() -> list[tuple[str, str, list[str]]]:
    """(strategy, option, allowed values) of every option that is a choice of the scaling core."""
    found = []
    for name in FUNCTIONS:
        for option, hint in get_type_hints(STRATEGIES[name].options).items():
            kinds: list[Any] = [hint, *get_args(hint)]
            members = [kind for kind in kinds if isinstance(kind, StrEnum)]
            members += [one for kind in kinds if isinstance(kind, type) and issubclass(kind, StrEnum) for one in kind]
            if members:
                found.append((name, option, [member.value for member in members]))
    return found


def test_there_are_choices_of_every_kind() -> None:
    assert {option for _, option, _ in choices()} == {
        "adapt", "aggregation", "estimate", "look", "objective", "resampling", "selection", "trace_confidence",
        "weight_by",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "option", "allowed"), choices())
def test_a_choice_is_text_in_recipe_and_manifest_and_a_mistake_lists_what_is_allowed(name, option, allowed) -> None:
    for value in allowed:
        chosen = loaded(name, **{option: f"'{value}'"})
        assert isinstance(getattr(chosen, option), StrEnum)
        assert chosen.arguments.get(option, value) == value
        assert chosen.model_dump(mode="json").get(option, value) == value  # a silent default is left out
    for wrong, shown in (("'such'", '"such"'), ("3", "3"), ("true", "true")):
        with pytest.raises(InvalidInput) as caught:
            loaded(name, **{option: wrong})
        listed = " or ".join([", ".join(map(repr, allowed[:-1])), repr(allowed[-1])])
        assert str(caught.value) == f"--set strategy.{option} = {shown}: must be {listed}"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{name='best-of'}", "strategy.name = \"best-of\": must be one of sample, majority, .*did you mean best-of-n"),
        ("{name=3}", "strategy.name = 3: must be one of"),
        ("{}", "strategy.name is missing: one of sample"),
        ("'majority'", "strategy = \"majority\": must be a section with a name"),
        ("{name='majority', beam_width=3}", "--set strategy.beam_width is not a known key; known are begin_as_needed"),
        ("{name='majority', num_samples='x'}", "--set strategy.num_samples = \"x\": must be a valid integer"),
        ("{name='dvts', num_samples=9}", r"--set \[strategy\] num_samples \(9\) must be a multiple of beam_width"),
    ],
)  # fmt: skip
def test_mistakes_in_the_section_are_named(section: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_recipe(RECIPE, [f"strategy={section}"])


def test_a_row_is_all_that_a_new_strategy_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "one-more", StrategyRow("one-more", WholeSampleOptions, majority))
    recipe = load_recipe(RECIPE, ["strategy={name='one-more', num_samples=3}"])
    assert as_json(recipe)["strategy"] == {"name": "one-more", "num_samples": 3}
    world = World(scheduler_for(strategy_factory(recipe)), random.Random(1))
    world.run(problems(2))
    concluded_with = [concluded.search.choice for concluded in world.concluded]
    assert [len(choice.candidates) for choice in concluded_with if choice is not None] == [3, 3]
    assert comparison_settings([RECIPE], ["one-more:num_samples=2"], [])[0].recipe.strategy.most_samples == 2
    with pytest.raises(InvalidInput, match="did you mean one-more"):
        load_recipe(RECIPE, ["strategy.name=one-mor"])


@pytest.mark.parametrize("look", ["waves", "order", "arrival"])
@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {PLUGIN}))
def test_a_summary_says_as_the_options_do_what_depends_on_arrival(name: str, look: str) -> None:
    has_look = "look" in STRATEGIES[name].options.model_fields
    options = loaded(name, **({"look": f"'{look}'"} if has_look else {}))
    recipe = {"strategy": options.model_dump(mode="json")}
    summary = summarize(Totals(), run="r", recipe=recipe, finished=True, num_problems=1)
    assert summary.depends_on_arrival == options.depends_on_arrival
    assert options.depends_on_arrival == (name == "short-m-of-k" or (has_look and look == "arrival"))
