"""`[prompt]` and the chat's settings: read from files, checked, kept in the recipe itself."""

import json
from pathlib import Path

import pytest

from jobs.recipes.load import load_recipe
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.resume import as_json
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import generator_settings, problem_columns
from records.failure import InvalidInput
from records.run_folder.manifest import Manifest

EXAMPLE = Path(__file__).parents[3] / "examples/arithmetic"
CHAT = "{% for m in messages %}{{ m.content }}{% endfor %}"
ROWS = [{"problem": f"{n} + {n}", "solution": f"It is {2 * n}.", "answer": 2 * n, "hint": n} for n in range(1, 6)]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    Path("chat.jinja").write_text(CHAT)


def recipe(*overrides: str) -> Recipe:
    return load_recipe(EXAMPLE / "sample.toml", overrides)


def shown(*overrides: str) -> list[tuple[str, str]]:
    return [(one.question, one.answer) for one in generator_settings(recipe(*overrides)).examples]


def manifest_of(one: Recipe) -> Manifest:
    return Manifest(
        schema_version=1, created_at="", recipe=as_json(one), versions={}, git_revision=None, models={}, seed=0,
        input_fingerprint="", num_problems=1,
    )  # fmt: skip


def test_examples_come_from_a_file_in_its_order_or_one_that_is_drawn():
    assert shown("prompt.examples_file=shots.jsonl", "prompt.num_examples=2") == [
        ("1 + 1", "It is 2."),
        ("2 + 2", "It is 4."),
    ]
    assert len(shown("prompt.examples_file=shots.jsonl")) == 5
    drawn = [
        shown("prompt.examples_file=shots.jsonl", "prompt.num_examples=3", f"prompt.examples_seed={n}")
        for n in range(9)
    ]
    assert len({tuple(each) for each in drawn}) > 3
    assert drawn == [
        shown("prompt.examples_file=shots.jsonl", "prompt.num_examples=3", f"prompt.examples_seed={n}")
        for n in range(9)
    ]
    assert shown("prompt.examples_file=shots.jsonl", "prompt.answer_column=answer", "prompt.num_examples=1") == [
        ("1 + 1", "2")
    ]


def test_examples_stand_in_the_recipe_and_show_what_the_prompt_names(tmp_path):
    text = (EXAMPLE / "sample.toml").read_text().replace('model = "', f'model = "{EXAMPLE}/')
    (tmp_path / "r.toml").write_text(text + '\n[[prompt.examples]]\nquestion = "1 + 1"\nhint = "count"\nanswer = 2\n')
    found = load_recipe(tmp_path / "r.toml", ['generator.prompt_template="{question} ({hint})"'])
    settings = generator_settings(found)
    assert settings.prompt_template == "{question})"
    assert [(one.question, one.answer) for one in settings.examples] == [("1 + 1 (count", "2")]
    assert problem_columns(found).named == ("question", "hint")
    with pytest.raises(InvalidInput, match=r"prompt\.examples, number 1: there is no 'level'"):
        generator_settings(load_recipe(tmp_path / "r.toml", ['generator.prompt_template="{question} ({level})"']))


def test_what_was_read_is_what_is_recorded_and_read_again():
    chosen = (
        "prompt.examples_file=shots.jsonl",
        "prompt.num_examples=2",
        "generator.chat=true",
        "generator.chat_template=chat.jinja",
        "generator.chat_template_kwargs={enable_thinking=false}",
    )
    found = recipe(*chosen)
    assert found.generator.chat_template == CHAT
    assert found.prompt.examples_file is None
    assert found.prompt.examples[0] == {"problem": "1 + 1", "solution": "It is 2.", "answer": 2}  # no hint: nobody asks
    again = recorded_recipe(manifest_of(found))
    assert again == found
    assert generator_settings(again) == generator_settings(found)
    assert generator_settings(again).chat_template_kwargs == {"enable_thinking": False}


def test_a_recipe_without_them_is_recorded_as_ever():
    written = as_json(recipe())
    assert "prompt" not in written
    assert not {"chat_template", "chat_template_kwargs"} & set(written["generator"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["prompt.examples_file=none.jsonl"], "none.jsonl: cannot be read"),
        (["prompt.examples_file=shots.jsonl", "prompt.num_examples=6"], "prompt.num_examples = 6: .*shots.jsonl has 5"),
        (["prompt.num_examples=1"], r"\[prompt\] num_examples is 1, and there are 0 examples"),
        (["prompt.examples_seed=1"], r"\[prompt\] examples_seed chooses from examples_file"),
        (["prompt.examples_file=shots.jsonl", "prompt.answer_column=gold"], "no 'gold'"),
        (["generator.chat_template=chat.jinja"], "chat_template and chat_template_kwargs need chat = true"),
        (["generator.chat=true", "generator.chat_template=shots.jsonl"], "is no Jinja template"),
        (["generator.chat=true", "generator.chat_template=none.jinja"], "generator.chat_template: .*none.jinja cannot"),
        (["generator.prompt_template=Solve it."], "generator.prompt_template = .*must contain {question}, or name"),
        (
            ["generator.chat=true", "generator.chat_template_kwargs={messages=[]}"],
            "chat_template_kwargs.messages is what",
        ),
        (["generator.chat_template_kwargs=3"], "generator.chat_template_kwargs = 3"),
    ],
)
def test_what_is_wrong_is_refused_by_name(overrides, said):
    with pytest.raises(InvalidInput, match=said):
        generator_settings(recipe(*overrides))
