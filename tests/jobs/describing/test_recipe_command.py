"""`parsimony recipe`: what is shown is the same recipe, new ones load, the schema takes what the code takes."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.cli import main
from jobs.describing.keys import key_groups
from jobs.describing.schema import recipe_schema
from jobs.describing.shown import new_recipe, shown_recipe
from jobs.describing.toml import toml_value
from jobs.recipes.load import SHIPPED, load_recipe
from jobs.recipes.sections import SECTIONS, Recipe
from jobs.recipes.strategies.registry import STRATEGIES
from jobs.recipes.thinking import ThinkingSection

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/arithmetic"
RECIPES = [*sorted(SHIPPED.glob("*.toml")), *sorted(EXAMPLE.glob("*.toml"))]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(recipe_schema())


def test_every_key_says_what_it_is():
    keys = [(group.title, key) for group in key_groups() for key in group.keys]
    assert [(title, key.name) for title, key in keys if not key.text] == []
    assert {title for title, _ in keys} >= {f"[{name}]" for name in SECTIONS}
    assert len([title for title, _ in keys if title.startswith("[strategy]") and _.name == "name"]) == len(STRATEGIES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_fit_the_schema(path):
    jsonschema.validate(tomllib.loads(path.read_text()), recipe_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"generator": {"temperature": 11}},
        {"generator": {"temprature": 1}},
        {"strategy": {"name": "beam-search", "num_sample": 3}},
        {"strategy": {"name": "beamsearch"}},
        {"budgett": {}},
    ],
)
def test_what_a_recipe_may_not_have_the_schema_refuses(wrong):
    tables = {"generator": {"model": "m"}, "strategy": {"name": "sample"}}
    merged = tables | {name: tables.get(name, {}) | table for name, table in wrong.items()}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged, recipe_schema())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_is_shown_is_the_same_recipe(path, tmp_path):
    recipe = load_recipe(path)
    for changed_only in (False, True):
        (tmp_path / "shown.toml").write_text(shown_recipe(recipe, changed_only=changed_only))
        assert load_recipe(tmp_path / "shown.toml") == recipe


def test_a_recipe_is_shown_with_what_changes_it(capsys):
    words = ["--set", "generator.temperature=0.3", "--set", "prompt.between_examples=x"]
    assert main(["recipe", "show", str(EXAMPLE / "sample.toml"), *words, "--changed"]) == 0
    said = capsys.readouterr().out
    assert "temperature = 0.3\n" in said
    assert 'between_examples = "x"\n' in said
    assert "# default" not in said
    assert main(["recipe", "show", str(EXAMPLE / "sample.toml"), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["generator"]["temperature"] == 0.3


def test_the_recipe_of_a_run_is_shown(capsys):
    run = ROOT / "tests/records/older/schema-1/beam-search"
    assert main(["recipe", "show", str(run)]) == 0
    assert Recipe.model_validate(tomllib.loads(capsys.readouterr().out)).strategy.name == "beam-search"


@pytest.mark.parametrize("strategy", [*(name for name in STRATEGIES if name != "module:function"), "my.code:search"])
def test_a_new_recipe_is_one_whose_comments_are_too(strategy, tmp_path):
    text = new_recipe({"generator": {"model": "m"}, "prm": {"model": "p"}, "strategy": {"name": strategy}})
    (tmp_path / "new.toml").write_text(text)
    recipe = load_recipe(tmp_path / "new.toml")
    assert recipe.strategy.name == strategy
    said = [line.removeprefix("# ") for line in text.splitlines()]
    whole = "\n".join(line for line in said if line.startswith("[") or (" = " in line and " =  " not in line))
    (tmp_path / "whole.toml").write_text(whole)
    every = load_recipe(tmp_path / "whole.toml")  # a table within a section is there or not, at its defaults too
    assert every.generator.thinking == ThinkingSection()
    assert every.model_copy(update={"generator": recipe.generator}) == recipe
    assert every.generator.model_copy(update={"thinking": None}) == recipe.generator


def test_a_new_recipe_is_written_from_flags_and_not_over_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(EXAMPLE)
    file = tmp_path / "new.toml"
    words = ["recipe", "new", "--output", str(file), "--generator", "generator", "--prm", "prm"]
    assert main([*words, "--num-samples", "4", "--total-tokens", "1000"]) == 0
    found = load_recipe(file)
    assert (found.generator.model, found.generator.chat) == (str(EXAMPLE / "generator"), False)
    assert (found.strategy.name, found.budget.total_tokens) == ("best-of-n", 1000)
    assert found.strategy.most_samples == 4
    assert "parsimony check PROBLEMS" in capsys.readouterr().err
    assert main(words) == 2
    assert "there is a file of that name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new"], "--generator MODEL"),
        (["new", "--generator", "m", "--strategy", "beam"], "--strategy beam: must be one of sample"),
        (["new", "--generator", "m", "--strategy", "beam-search"], "needs scores: add a [prm] section"),
        (["new", "--generator", "m", "--strategy", "sample", "--num-samples", "2"], "sample has no num_samples"),
        (["new", "--generator", "m", "--output", "none/new.toml"], "cannot be written"),
        (["keys", "tempratur"], "no key has 'tempratur'"),
        (["show", "none.toml"], "recipe none.toml cannot be read"),
    ],
)
def test_what_is_wrong_is_refused(words, said, capsys):
    assert main(["recipe", *words]) == 2
    assert said in capsys.readouterr().err


def test_keys_are_found_by_a_part_of_their_name(capsys):
    assert main(["recipe", "keys", "generator.temp"]) == 0
    said = capsys.readouterr().out
    assert "temperature   number; at least 0, at most 10; default 0.7" in said
    assert "max_tokens" not in said
    with pytest.raises(SystemExit) as ended:
        main(["recipe", "--help-keys"])
    assert ended.value.code == 0
    assert "top_p" in capsys.readouterr().out


values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(values)
def test_a_value_is_read_as_it_was_written(value):
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}
