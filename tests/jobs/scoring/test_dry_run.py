"""A run on scripted engines, as far as it goes without starting anything: recipe, manifest, replicas, refusals."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from actors.engines.scripted.world import question_key
from actors.replicas.generator import Generator
from actors.replicas.preflight import check_together
from actors.replicas.prm import Prm
from jobs.calibration.plan import make_calibration_plan
from jobs.command_line.calibrate import CalibrateOptions
from jobs.command_line.score import ScoreOptions
from jobs.recipes.load import load_recipe
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.resume import as_json, decides_results, operational_keys
from jobs.recipes.settings import prm_settings
from jobs.scoring.cost import check_cost, gpus_per_replica
from jobs.scoring.models import check_models
from jobs.scoring.placement import cpu_slots
from jobs.scoring.plan import Plan, make_plan
from jobs.scoring.replicas import check_introductions
from jobs.scoring.scripted import WARNING, informed_generator_settings
from records.failure import InvalidInput
from records.run_folder.manifest import differences
from tests.support.scripted import EXAMPLE, KINDS, SCRIPTED

DRY_RUN = """\
[generator]
kind = "scripted"

[prm]
kind = "scripted"

[strategy]
name = "best-of-n"
"""


@pytest.fixture
def dry_run(tmp_path: Path) -> Path:
    path = tmp_path / "dry.toml"
    path.write_text(DRY_RUN)
    return path


def plan(output: Path, recipe: Path, *overrides: str) -> Plan:
    return make_plan(
        ScoreOptions(
            problems=str(EXAMPLE / "test.jsonl"), recipe=recipe, output=str(output), overrides=overrides, limit=3
        )
    )


def refusal(recipe: Path, *overrides: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_recipe(recipe, overrides)
    return str(caught.value)


def test_no_model_is_needed_and_one_that_is_named_is_not_looked_for(dry_run):
    assert load_recipe(dry_run).generator.model == "scripted"
    assert load_recipe(dry_run, ["prm.model=nowhere", "generator.model=s3://none/m"]) == load_recipe(dry_run)
    assert "generator.model is missing" in refusal(dry_run, "generator.kind=vllm", "prm=")


@pytest.mark.parametrize("recipe", ["qwen2.5-math-7b", "llama-3.2-1b", str(EXAMPLE / "beam-16.toml")])
def test_any_recipe_can_be_tried_dry(tmp_path, recipe):
    made = plan(tmp_path / "run", Path(recipe), *KINDS)
    assert {model.model for model in made.manifest.models.values()} == {"scripted"}
    assert made.manifest.warnings == (WARNING,)
    assert recorded_recipe(made.manifest) == made.recipe


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_that_cannot_work_together_are_refused(kind):
    said = refusal(EXAMPLE / "best-of-16.toml", kind)
    assert 'generator.kind is "' in said
    assert "set both to one kind" in said
    assert load_recipe(EXAMPLE / "best-of-16.toml", [kind, "strategy.name=majority"])  # needs no PRM
    assert load_recipe(EXAMPLE / "best-of-16.toml", [kind, "strategy={name='question-score'}"])  # needs no generator


def test_the_manifest_tells_which_answers_were_told(dry_run, tmp_path):
    (tmp_path / "keys.jsonl").write_text(json.dumps({"question": "What is 1 + 1?", "answer": "two"}) + "\n")
    told = load_recipe(dry_run, [f"script.answers={tmp_path / 'keys.jsonl'}"])
    assert informed_generator_settings(told).script.answers == {question_key("What is 1 + 1?"): "two"}
    first = plan(tmp_path / "run", dry_run).manifest
    other = replace(first, recipe=as_json(told), models=check_models(told))
    changed = "\n".join(differences(first, other, operational_keys()))
    assert "models.generator.model_sha256" in changed
    assert "models.prm" not in changed
    recipe = load_recipe(dry_run, ["script.tokens_per_s=100", "script.prm_tokens_per_s=5"])
    faster = replace(first, recipe=as_json(recipe), models=check_models(recipe))
    assert differences(first, faster, operational_keys()) == differences(faster, first, operational_keys()) == []


def test_answers_are_found_beside_the_recipe_and_refused_where_there_are_none(dry_run, tmp_path, monkeypatch):
    dry_run.write_text(DRY_RUN + '[script]\nanswers = "keys.jsonl"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_recipe(dry_run).script.answers == str(tmp_path / "keys.jsonl")
    assert load_recipe(dry_run, ["script.answers=k.jsonl"]).script.answers == str(tmp_path / "elsewhere/k.jsonl")
    with pytest.raises(InvalidInput, match=r"keys\.jsonl"):
        check_models(load_recipe(dry_run))


def test_a_recorded_recipe_is_as_it_was_before_there_were_kinds():
    recipe = load_recipe(EXAMPLE / "best-of-16.toml")
    for written in (as_json(recipe), decides_results(recipe)):
        assert "script" not in written
        assert "kind" not in written["generator"]
        assert "kind" not in written["prm"]


def test_a_run_that_was_begun_before_goes_on(tmp_path):
    made = plan(tmp_path / "run", EXAMPLE / "best-of-16.toml")
    dry = plan(tmp_path / "run", EXAMPLE / "best-of-16.toml", *SCRIPTED)
    before = json.loads(json.dumps(made.manifest.recipe))
    assert {"kind", "script"}.isdisjoint({*before, *before["generator"], *before["prm"]})
    assert differences(replace(made.manifest, recipe=before), made.manifest, operational_keys()) == []
    changed = "\n".join(differences(made.manifest, dry.manifest, operational_keys()))
    assert 'recipe.generator.kind: was not set, is "scripted"' in changed
    assert "models.generator.model_sha256" in changed


def test_the_replicas_are_those_of_the_manifest(dry_run, tmp_path):
    made = plan(tmp_path / "run", dry_run, f"script.answers={EXAMPLE / 'test.jsonl'}")
    prm = prm_settings(made.recipe)
    assert prm is not None
    replicas = [Generator(informed_generator_settings(made.recipe)), Prm(prm)]

    async def introduced():
        infos = [await replica.hello() for replica in replicas]
        for replica in replicas:
            await replica.close()
        return infos

    infos = asyncio.run(introduced())
    assert check_introductions(infos, made.manifest) == check_together(*infos) == []


def test_they_take_little_of_a_machine_and_no_gpu(dry_run):
    recipe = load_recipe(dry_run, ["generator.num_replicas=150", "prm.num_replicas=30", "prm.cpu_threads=8"])
    assert cpu_slots(recipe) == 2
    assert gpus_per_replica(recipe, on_gpus=True) == {"generator": 0, "prm": 0}
    with pytest.raises(InvalidInput, match=r"total_gpu_seconds .* run on CPUs"):
        check_cost(load_recipe(dry_run, ["budget.total_gpu_seconds=5", "cluster.device=gpu"]))


def test_there_is_nothing_to_calibrate(dry_run, tmp_path):
    options = CalibrateOptions(rollouts=str(tmp_path / "none"), recipe=dry_run, output=str(tmp_path / "prm"))
    with pytest.raises(InvalidInput, match="no model to calibrate"):
        make_calibration_plan(options)


def test_columns_of_other_names_with_the_same_content_are_the_same_run(dry_run, tmp_path):
    """A resume goes by ids, questions and keys; what the columns are called decides nothing."""

    def begun(questions: list[str], *overrides: str, **names: str):
        rows = [{names["id"]: f"p{at}", names["q"]: text, names["a"]: "1"} for at, text in enumerate(questions)]
        file = tmp_path / "problems.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        columns = [f"problems.{key}={names[short]}" for key, short in COLUMNS.items()]
        return make_plan(
            ScoreOptions(problems=str(file), recipe=dry_run, output=str(tmp_path / "run"), overrides=tuple(columns))
        ).manifest

    first = begun(["one", "two"], id="id", q="question", a="answer")
    renamed = begun(["one", "two"], id="name", q="text", a="key")
    assert first.recipe["problems"] != renamed.recipe["problems"]
    assert differences(first, renamed, operational_keys()) == differences(first, renamed) == []
    [line] = differences(first, begun(["one", "three"], id="name", q="text", a="key"), operational_keys())
    assert line.startswith("input_fingerprint")


COLUMNS = {"problem_id": "id", "question": "q", "reference": "a"}
