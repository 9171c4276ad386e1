"""The shipped recipes of public models: complete but for the weights, which the user has to bring."""

import tomllib
from importlib import resources
from pathlib import Path

import pytest

from actors.engines.prompts import read_prompt_writer
from actors.replicas.preflight import check_generator, check_prm
from jobs.cli import main
from jobs.recipes.load import SHIPPED, load_recipe
from jobs.recipes.settings import generator_settings, prm_settings
from records.failure import InvalidInput
from tests.support.tiny_prms import make_generator, make_prm

STAND_INS = {
    "qwen2.5-math-7b": "qwen2.5-math-prm",
    "qwen2.5-math-1.5b": "qwen2.5-math-prm",
    "llama-3.2-1b": "rlhflow",
}
"""Which of the tiny models has the generator's kind of architecture, tokenizer and chat template."""
THINKING = ("deepseek-r1-distill-qwen-7b", "qwen3-8b")
"""Recipes of models that think; they need no PRM."""
CARD_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {family: make_generator(family, folder / family, context=4096) for family in set(STAND_INS.values())}
    made["thinking"] = make_generator("qwen2.5-math-prm", folder / "thinking", context=32768)
    return made | {"prm": make_prm("qwen2.5-math-prm", folder / "prm", context=4096)}


def test_these_are_shipped_with_the_package():
    assert {path.stem for path in SHIPPED.glob("*.toml")} == {*STAND_INS, *THINKING}
    patterns = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["jobs"]
    packaged = {path for pattern in patterns for path in Path(str(resources.files("jobs"))).glob(pattern)}
    assert packaged == set(SHIPPED.glob("*.toml"))


@pytest.mark.parametrize("name", STAND_INS)
def test_a_recipe_is_found_by_its_name_and_passes_with_models_of_its_kind(folders, name):
    overrides = [f"generator.model={folders[STAND_INS[name]]}", f"prm.model={folders['prm']}"]
    recipe = load_recipe(Path(name), overrides)
    settings = prm_settings(recipe)
    assert settings is not None
    assert (settings.family, recipe.strategy.name) == ("qwen2.5-math-prm", "best-of-n")
    check_generator(generator_settings(recipe))
    check_prm(settings)
    beam = load_recipe(Path(name), [*overrides, "strategy.name=beam-search"])
    assert beam.strategy.arguments["num_samples"] == 16


@pytest.mark.parametrize("name", STAND_INS)
def test_the_prompt_of_a_recipe_is_that_of_the_card(name):
    prompt = load_recipe(Path(name)).generator.system_prompt
    assert prompt is not None
    assert (prompt == CARD_PROMPT) == name.startswith("qwen")
    assert "\\boxed{" in prompt


@pytest.mark.parametrize("name", THINKING)
def test_a_model_that_thinks_is_asked_in_its_cards_words_and_probed(folders, name):
    recipe = load_recipe(Path(name), [f"generator.model={folders['thinking']}"])
    settings = generator_settings(recipe)
    check_generator(settings)
    assert f"1 + 1?\n{CARD_PROMPT}" in read_prompt_writer(Path(settings.model), settings).text("1 + 1?")
    assert recipe.generator.system_prompt is None
    assert recipe.prm is None
    assert not recipe.strategy.needs_prm
    assert recipe.strategy.arguments["probe_text"].strip().startswith("</think>")
    room = recipe.generator.max_model_len - recipe.generator.max_tokens
    assert room > 2 * recipe.strategy.arguments["probe_tokens"] + 1000, "a question and a probe have room"
    plain = load_recipe(Path(name), ["strategy.name=majority"])
    assert plain.strategy.arguments["num_samples"] == 16


@pytest.mark.parametrize("name", [*STAND_INS, *THINKING])
def test_without_weights_the_error_says_what_to_do(name, tmp_path, capsys):
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"id": "a", "question": "1 + 1?", "answer": "2"}\n')
    assert main(["score", str(problems), "--recipe", name, "--output", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    model = load_recipe(Path(name)).generator.model
    assert f"hf download {model} --local-dir" in message
    assert "generator.model" in message
    assert not (tmp_path / "run").exists()


def test_the_prms_weights_are_asked_for_too(folders):
    settings = prm_settings(load_recipe(Path("llama-3.2-1b"), [f"generator.model={folders['rlhflow']}"]))
    assert settings is not None
    with pytest.raises(InvalidInput, match=r"hf download Qwen/Qwen2\.5-Math-PRM-7B .*prm\.model"):
        check_prm(settings)


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(InvalidInput, match=r"llama-3\.2-1b, qwen2\.5-math-1\.5b, qwen2\.5-math-7b"):
        load_recipe(Path("qwen2.5-math"))


def test_an_unknown_family_is_refused_in_the_recipe(folders):
    with pytest.raises(InvalidInput, match=r"prm\.family = .*must be auto, one of separator"):
        load_recipe(Path("llama-3.2-1b"), ["prm.family=math-sheperd"])
    assert load_recipe(Path("llama-3.2-1b"), ["prm.family=my.module:family"]).prm is not None
