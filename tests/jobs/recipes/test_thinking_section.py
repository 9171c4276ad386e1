"""`[generator.thinking]`: what it may say, and what a run makes of it."""

import json
from pathlib import Path

import pytest

from actors.engines.settings import ThinkingSettings
from jobs.cli import main
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import as_json, decides_results
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import answer_policy, generator_settings, search_limits
from records.failure import InvalidInput
from records.path import Path as Path_
from records.path import Phases
from scaling.strategies.stepwise import one_step

SMALL = Path(__file__).parents[3] / "examples" / "arithmetic" / "sample.toml"
PAIRS = 'generator.thinking={start=["<a>", [7, 8]], end=["</a>", [9]]}'


def recipe(*overrides: str) -> Recipe:
    return load_recipe(SMALL, overrides)


def test_a_recipe_without_the_section_is_recorded_as_ever():
    assert "thinking" not in as_json(recipe())["generator"]
    assert generator_settings(recipe()).thinking is None
    policy = answer_policy(recipe())
    assert policy.extraction.has_thoughts
    assert policy.prm_reads_thoughts


def test_an_empty_section_goes_by_the_models_files():
    found = recipe("generator.thinking={}")
    assert generator_settings(found).thinking == ThinkingSettings(step_tokens=found.generator.max_step_tokens)
    assert not answer_policy(found).extraction.has_thoughts
    assert as_json(found)["generator"]["thinking"] == {"preset": "auto"}
    assert Recipe.model_validate(json.loads(json.dumps(as_json(found)))) == found
    assert decides_results(found) != decides_results(recipe())


def test_marks_are_texts_or_token_ids_in_pairs():
    found = recipe(PAIRS)
    settings = generator_settings(found).thinking
    assert settings is not None
    assert settings.pairs == (("<a>", "</a>"), ((7, 8), (9,)))
    assert Recipe.model_validate(json.loads(json.dumps(as_json(found)))) == found
    one = generator_settings(recipe("generator.thinking.start='<a>'", "generator.thinking.end='</a>'")).thinking
    assert one is not None
    assert one.pairs == (("<a>", "</a>"),)


def test_the_prm_may_be_given_the_answer_only():
    assert not answer_policy(recipe("generator.thinking.prm_reads=answer")).prm_reads_thoughts


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["generator.thinking.preset=qwen4"],
            "preset must be auto or one of deepseek-r1, qwen3, qwq, magistral, gpt-oss",
        ),
        (["generator.thinking.start='<a>'"], "start names 1 marks and end 0"),
        ([PAIRS, "generator.thinking.preset=qwen3"], "start and end take the place of a preset"),
        (["generator.thinking={start='', end='</a>'}"], "must not be empty"),
        (["generator.thinking={start='<a>', end='<a>'}"], "must differ"),
        (["generator.thinking={start=[[-1]], end=[[1]]}"], "greater than or equal to 0"),
        (["generator.thinking.prm=answer"], "generator.thinking.prm is not a known key"),
        (["generator.thinking.step_words=['Wait']"], 'step_words are for steps = "words"'),
        (["generator.thinking={steps='whole', step_tokens=9}"], 'with steps = "whole" it has none'),
        (["generator.thinking.step_tokens=97"], "step_tokens (97) must not be above max_step_tokens (96)"),
        (["generator.thinking=3"], "generator.thinking = 3: must be a section"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(overrides: list[str], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        recipe(*overrides)
    assert said in str(caught.value)


def test_a_recipe_is_shown_with_its_section_and_read_again(tmp_path, capsys):
    assert main(["recipe", "show", str(SMALL), "--set", PAIRS]) == 0
    shown = capsys.readouterr().out
    assert '\n[generator.thinking]\npreset = "auto"' in shown
    assert 'start = ["<a>", [7, 8]]' in shown
    (tmp_path / "shown.toml").write_text(shown)
    assert load_recipe(tmp_path / "shown.toml") == recipe(PAIRS)
    assert main(["recipe", "show", str(SMALL)]) == 0
    assert "thinking" not in capsys.readouterr().out
    assert main(["recipe", "keys", "generator.thinking"]) == 0
    assert "opened_by_template" in capsys.readouterr().out


def test_budgets_reach_the_replicas_and_have_to_fit():
    found = recipe("generator.thinking={max_thinking_tokens=90, min_thinking_tokens=3, closing_text='</think>'}")
    settings = generator_settings(found).thinking
    assert settings is not None
    assert (settings.max_thinking_tokens, settings.min_thinking_tokens) == (90, 3)
    assert (settings.closing_text, settings.prolonging_text) == ("</think>", "Wait")
    with pytest.raises(InvalidInput, match=r"max_thinking_tokens \(128\) must be below max_tokens \(128\)"):
        recipe("generator.max_tokens=128", "generator.thinking.max_thinking_tokens=128")
    with pytest.raises(InvalidInput, match=r"min_thinking_tokens \(9\) must not be above max_thinking_tokens \(8\)"):
        recipe("generator.thinking={max_thinking_tokens=8, min_thinking_tokens=9}")


def test_searches_give_a_whole_thought_what_a_sample_has():
    root = Path_(0, None, "question")
    thought = Path_(1, root, "Hm", (1,) * 30, phases=Phases(30, 2, is_open=True))
    answer = Path_(2, thought, "So 1", (1,) * 10, phases=Phases(4, 1, is_open=False))
    limits = search_limits(recipe("generator.thinking.steps=whole"))
    asked = one_step([(root, 1)], limits)
    most = recipe().generator.max_tokens
    assert [asked.most_tokens(path) for path in (root, thought, answer)] == [most, most - 30, limits.max_step_tokens]
    asked = one_step([(root, 1)], search_limits(recipe("generator.thinking={}")))
    assert [asked.most_tokens(path) for path in (root, thought, answer)] == [limits.max_step_tokens] * 3
