"""`parsimony calibrate-risk`: from a run to a file, from the file and a target to a threshold and a promise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.recipes.answers.risk import RiskSection, check_same_models
from jobs.recipes.load import load_recipe
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.settings import abstention
from jobs.recipes.strategies.adaptive import SequentialStrategy
from jobs.scoring.abstention import summarize_abstention
from jobs.scoring.summary import target_text
from records.failure import InvalidInput
from records.run_folder.reader import Run, read_run
from scaling.uncertainty.aggregation import ScoreEstimate
from tests.support.stored_runs import stored_run

pytestmark = pytest.mark.slow

SEQUENTIAL = "strategy={name='sequential', num_samples=8, threshold=1.0, min_gain=0.0}"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return stored_run(tmp_path_factory.mktemp("risk") / "run", SEQUENTIAL, num_problems=60)


@pytest.fixture(scope="module")
def written(run, tmp_path_factory) -> Path:
    file: Path = tmp_path_factory.mktemp("risk") / "risk.json"
    assert main(["calibrate-risk", run.uri, "--output", str(file)]) == 0
    return file


def recipe_file(folder: Path, *answer: str, strategy: str = "") -> Path:
    toml = folder / "mine.toml"
    own = strategy or "name = 'sequential'\nnum_samples = 8\nthreshold = 1.0\nmin_gain = 0.0"
    lines = "\n".join(answer)
    toml.write_text(f'[generator]\nmodel = "m"\n[prm]\nmodel = "p"\n[strategy]\n{own}\n[answer]\n{lines}\n')
    return toml


def test_the_file_has_each_answer_and_whether_it_is_wrong(run, written, capsys):
    content = json.loads(written.read_text())
    rows = {row["problem_id"]: row for row in run.problems().to_pylist()}
    graded = [row for row in rows.values() if row["correct"] is not None]
    assert content["wrong"] == [not row["correct"] for row in graded]
    names = ("answer_p_lower", "answer_p_median", "answer_p_upper")
    assert [tuple(p) for p in content["answer_p"]] == [tuple(row[name] for name in names) for row in graded]
    assert content["question_scores"] == sorted(row["p_median"] for row in rows.values())
    assert content["stopping"] is None
    assert main(["calibrate-risk", run.uri, "--output", str(written), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["num_problems"], said["num_wrong"]) == (len(graded), sum(content["wrong"]))
    assert json.loads(written.read_text()) == content


def test_a_target_chooses_a_threshold_that_stands_in_the_manifest(run, written, tmp_path):
    toml = recipe_file(tmp_path, "target_error = 0.9", f'risk = "{written}"')
    loaded = load_recipe(toml)
    risk = loaded.answer.risk
    assert isinstance(risk, RiskSection)
    rule = abstention(loaded)
    assert rule is not None
    assert rule.below == risk.threshold == loaded.answer.threshold
    seen = json.loads(written.read_text())
    kept = [wrong for p, wrong in zip(seen["answer_p"], seen["wrong"], strict=True) if p[0] >= risk.threshold]
    assert (risk.num_answered, risk.num_wrong) == (len(kept), sum(kept))
    assert not risk.stops
    again = recorded_recipe(replace(run.manifest, recipe=json.loads(loaded.model_dump_json())))
    assert again.answer == loaded.answer
    other = load_recipe(toml, ["answer.target_level=0.6"]).answer.risk
    assert isinstance(other, RiskSection)
    assert other.num_answered >= risk.num_answered, "less certainty answers no less"
    with pytest.raises(InvalidInput, match="name the file of calibrate-risk too"):
        recorded_recipe(replace(run.manifest, recipe=json.loads(loaded.model_dump_json())), ["answer.target_error=0.8"])


def test_stopping_chooses_where_sampling_stops_too(run, tmp_path):
    file = tmp_path / "stopping.json"
    assert main(["calibrate-risk", run.uri, "--output", str(file), "--stopping"]) == 0
    loaded = load_recipe(recipe_file(tmp_path, "target_error = 0.95", f'risk = "{file}"'))
    risk, strategy = loaded.answer.risk, loaded.strategy
    assert isinstance(risk, RiskSection)
    assert isinstance(strategy, SequentialStrategy)
    assert risk.stops
    assert strategy.threshold == risk.threshold < 1.0


@pytest.mark.parametrize(("answer", "strategy", "named"), [
    (["target_error = 0.05"], "", "go together"),
    (["risk = 'FILE'"], "", "go together"),
    (["target_error = 0.9", "risk = 'FILE'", "abstain_below = 0.5"], "", "leave abstain_below out"),
    (["target_error = 0.0001", "risk = 'FILE'"], "", "do not support 0.0001 at 0.9 certainty"),
    (["target_error = 0.9", "risk = 'none.json'"], "", "none.json"),
    (["target_error = 0.9", "risk = 'FILE'"], "name = 'majority'\nnum_samples = 8", "strategy"),
    (["target_error = 0.9", "risk = 'FILE'"], "name = 'sample'", "needs the probability of every answer"),
])  # fmt: skip
def test_what_cannot_be_promised_is_refused_with_the_reason(written, tmp_path, answer, strategy, named):
    toml = recipe_file(tmp_path, *(line.replace("FILE", str(written)) for line in answer), strategy=strategy)
    with pytest.raises(InvalidInput, match=named):
        load_recipe(toml)


def test_other_weights_are_refused(run, written, tmp_path):
    risk = load_recipe(recipe_file(tmp_path, "target_error = 0.9", f'risk = "{written}"')).answer.risk
    assert isinstance(risk, RiskSection)
    own = {role: model.model_sha256 for role, model in run.manifest.models.items()}
    known = risk.model_copy(update={"models_sha256": {"generator": "a" * 64}})
    check_same_models(risk, own)
    check_same_models(known, {"generator": None})
    with pytest.raises(InvalidInput, match="other weights"):
        check_same_models(known, {"generator": "b" * 64})


def test_runs_that_say_nothing_of_risk_are_refused(tmp_path, capsys, run):
    few = stored_run(tmp_path / "few", "strategy={name='majority', num_samples=4}", num_problems=5)
    for words, named in (
        ([few.uri], "5 problems have a verdict"),
        ([str(tmp_path / "none")], "none"),
        ([run.uri, "--set", "strategy.name=beam-search"], "asks for what is not stored"),
        ([run.uri, "--set", "strategy.name=sample"], "does not say how sure it is"),
        ([few.uri, "--stopping"], "threshold"),
    ):
        assert main(["calibrate-risk", *words, "--output", str(tmp_path / "r.json")]) == 2, words
        assert named in capsys.readouterr().err
        assert not (tmp_path / "r.json").exists()


def test_a_run_says_what_was_promised_and_whether_problems_are_alike(run, written, tmp_path):
    loaded = load_recipe(recipe_file(tmp_path, "target_error = 0.9", f'risk = "{written}"'))
    section = json.loads(loaded.answer.model_dump_json())
    rows = [dict(row) for row in read_run(run.uri).problems().to_pylist()]
    for row in rows:
        row["abstained"] = row["answer_p_lower"] < section["risk"]["threshold"]
    alike = summarize_abstention(rows, section).target
    assert alike is not None
    assert (alike.error, alike.level, alike.run) == (0.9, 0.9, run.uri)
    assert alike.drift_p == pytest.approx(1.0)
    assert "no sign that they are not" in target_text(alike)
    harder = [row | {"p_median": row["p_median"] / 10} for row in rows]
    drifted = summarize_abstention(harder, section).target
    assert drifted is not None
    assert drifted.has_drifted
    assert target_text(drifted).startswith("WARNING")
    unscored = summarize_abstention([row | {"p_median": None} for row in rows], section).target
    assert unscored is not None
    assert unscored.drift_p == pytest.approx(1.0), "told by how sure the answers are"
    assert section["estimate"] == ScoreEstimate.LOWER.value
