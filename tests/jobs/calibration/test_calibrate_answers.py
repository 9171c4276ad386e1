"""`parsimony calibrate-answers`: from a run to a file, from the file to what a recipe's strategies believe."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.recipes.load import load_recipe
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.settings import fitted_answers
from jobs.recipes.strategy_factory import strategy_factory
from records import path as nodes
from records.failure import InvalidInput
from records.run_folder.reader import Run, read_run
from scaling.toy import ToyProblem
from scaling.toy import play_strategy as play
from scaling.uncertainty.fitted_answers import DEFAULTS
from tests.support.stored_runs import stored_run

pytestmark = pytest.mark.slow

SEQUENTIAL = "strategy={name='sequential', num_samples=8, threshold=1.0, min_gain=0.0}"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return stored_run(tmp_path_factory.mktemp("fit") / "run", SEQUENTIAL, num_problems=24)


@pytest.fixture(scope="module")
def written(run, tmp_path_factory) -> str:
    file = str(tmp_path_factory.mktemp("fit") / "answers.json")
    assert main(["calibrate-answers", run.uri, "--output", file]) == 0
    return file


def test_the_command_writes_what_it_prints(run, tmp_path, capsys):
    file = tmp_path / "answers.json"
    assert main(["calibrate-answers", run.uri, "--output", str(file), "--json"]) == 0
    said = capsys.readouterr().out
    assert said == file.read_text()
    content = json.loads(said)
    assert content["format"] == "parsimony-answers/1"
    assert list(content["models"]) == ["question", "scores", "votes"]
    for report in content["reports"]:
        assert report["num_problems"] == 24
        assert report["after"]["log_loss"] < report["before"]["log_loss"] + 0.2
        assert len(report["after"]["bins"]) == 5
    assert main(["calibrate-answers", run.uri, "--output", str(file)]) == 0
    assert "right" in capsys.readouterr().out


def test_a_recipe_takes_the_file_and_a_manifest_has_its_numbers(run, written, tmp_path):
    recipe = recorded_recipe(run.manifest)
    assert fitted_answers(recipe) is None
    assert "model" not in recipe.answer.model_dump(), "older manifests are the same"
    numbers = json.loads(Path(written).read_text())["models"]
    toml = tmp_path / "mine.toml"
    toml.write_text(
        '[generator]\nmodel = "m"\n[prm]\nmodel = "p"\n[strategy]\nname = "sequential"\n'
        f'[answer]\nmodel = "{written}"\n'
    )
    loaded = load_recipe(toml)
    assert loaded.model_dump()["answer"]["model"] == numbers
    assert load_recipe(toml, [f"answer.model={written}"]) == loaded
    assert load_recipe(toml, ["answer.model="]).answer.model is None
    again = recorded_recipe(replace(run.manifest, recipe=json.loads(loaded.model_dump_json())))
    assert again.answer == loaded.answer


@pytest.mark.parametrize("name", ["sequential", "marginal", "majority", "best-of-n"])
def test_what_was_fitted_is_what_strategies_believe(written, name, tmp_path):
    toml = tmp_path / "mine.toml"
    toml.write_text(f'[generator]\nmodel = "m"\n[prm]\nmodel = "p"\n[strategy]\nname = "{name}"\nnum_samples = 8\n')
    said = []
    for overrides in ([], [f"answer.model={written}"]):
        function = strategy_factory(load_recipe(toml, overrides))
        problem = ToyProblem(0.6, 7)
        said.append(play(function(nodes.Path(0, None, "How many?")), problem.reply).answer_p)
    assert said[0] is not None
    assert said[1] is not None
    assert said[0] != said[1]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "cannot be read"),
        ("[]", "holds list"),
        ('{"format": "x"}', "format is not"),
        ('{"format": "parsimony-answers/1"}', "models"),
        ('{"format": "parsimony-answers/1", "models": {"votes": {"slope": 1}}}', "models.votes"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(content, named, tmp_path):
    file = tmp_path / "answers.json"
    if content is not None:
        file.write_text(content)
    toml = tmp_path / "mine.toml"
    toml.write_text('[generator]\nmodel = "m"\n[strategy]\nname = "majority"\n[answer]\nmodel = "answers.json"\n')
    with pytest.raises(InvalidInput, match=named):
        load_recipe(toml)


def test_runs_that_cannot_be_fitted_on_are_refused(tmp_path, capsys, run):
    few = stored_run(tmp_path / "few", "strategy={name='majority', num_samples=4}", num_problems=5)
    beam = stored_run(tmp_path / "beam", "strategy={name='beam-search', num_samples=4, beam_width=2}", num_problems=3)
    for uri, named in ((few.uri, "too few"), (beam.uri, "step by step"), (str(tmp_path / "none"), "none")):
        assert main(["calibrate-answers", uri, "--output", str(tmp_path / "a.json")]) == 2
        assert named in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()
    assert main(["calibrate-answers", run.uri, "--output", str(tmp_path)]) == 2
    assert "must be a file" in capsys.readouterr().err
    assert set(DEFAULTS) == {"question", "scores", "votes"}
    assert read_run(run.uri).totals.problems == 24
