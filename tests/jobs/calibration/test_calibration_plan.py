"""What `parsimony calibrate` checks before a model is loaded, and what it refuses."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.trainer.trainer import Trainer
from actors.writer.lease import newest_lease, this_process
from actors.writer.writer import Writer
from cluster.s3 import S3Store
from cluster.staging import stage_folder
from cluster.store import LocalStore
from jobs.calibration.plan import SUCCESS, make_calibration_plan
from jobs.calibration.rollouts import read_rollouts
from jobs.cli import main, parse
from jobs.command_line.calibrate import CalibrateOptions
from records.failure import InvalidInput, RunMismatch
from records.packing import packed_rows
from records.run_folder.reader import read_run
from records.schemas import PARQUET_OPTIONS, to_table
from scaling.calibration.chains import STOPPING, TEST, TRAINING, split_of
from tests.actors.trainer.test_trainer import SETTINGS, rows
from tests.records import builders
from tests.support.fake_training import FakeTraining, rollout_row

EXAMPLE = Path(__file__).parents[3] / "examples/arithmetic"


def table(path, made=None):
    pq.write_table(to_table("rollouts", rows(60) if made is None else made), path, **PARQUET_OPTIONS)
    return str(path)


def options(rollouts, output, *overrides, **other):
    return CalibrateOptions(
        rollouts=str(rollouts),
        recipe=EXAMPLE / "calibrate.toml",
        output=str(output),
        # The example has far more problems; the fake trainer has a quantile head.
        overrides=("calibration.test_share=0.2", "calibration.head=quantile", *overrides),
        **other,
    )


def stepwise(num_problems=60):
    """Rows whose steps end as the example's do."""
    return [
        rollout_row(row.problem_id, row.node_id, [f"{step}\n\n" for step in row.steps], row.successes, row.trials)
        for row in rows(num_problems)
    ]


@pytest.fixture
def rollouts(tmp_path):
    return table(tmp_path / "rollouts.parquet", stepwise())


def test_problems_are_split_and_rows_never(rollouts, tmp_path):
    plan = make_calibration_plan(options(rollouts, tmp_path / "prm"))
    assert set(plan.splits) == {TRAINING, STOPPING, TEST}
    assert sum(map(len, plan.splits.values())) == len(plan.rollouts.rows) == 300
    for name, split in plan.splits.items():
        for problem_id in split.observed.problem_ids:
            assert split_of(problem_id, seed=20260, shares=plan.section.shares()) == name
    assert not plan.finished
    assert plan.warnings == ()


def test_the_same_again_goes_on_and_anything_else_is_refused(rollouts, tmp_path):
    output = tmp_path / "prm"
    make_calibration_plan(options(rollouts, output))
    make_calibration_plan(options(rollouts, output, "calibration.pass_tokens=77", "prm.cpu_threads=2"))
    moved = tmp_path / "other/prm"
    shutil.copytree(EXAMPLE / "prm", moved)
    make_calibration_plan(options(rollouts, output, f"prm.model={moved}"))
    with pytest.raises(RunMismatch, match=r"calibration.levels: was \[0.1, 0.5, 0.9\], is \[0.2, 0.5, 0.8\]"):
        make_calibration_plan(options(rollouts, output, "calibration.levels=[0.2, 0.5, 0.8]"))
    with pytest.raises(RunMismatch, match=r"calibration.seed: was 20260, is 4"):
        make_calibration_plan(options(rollouts, output, "seed=4"))
    with pytest.raises(RunMismatch, match=r"data.rollouts.fingerprint"):
        make_calibration_plan(options(table(tmp_path / "more.parquet", stepwise(61)), output))
    with pytest.raises(RunMismatch, match=r"data.evaluate.ood.fingerprint"):
        make_calibration_plan(options(rollouts, output, evaluations={"ood": rollouts}))


def test_an_evaluation_set_with_known_questions_is_warned_of(rollouts, tmp_path):
    other = table(
        tmp_path / "other.parquet",
        [
            *(
                rollout_row(
                    f"new-{row.problem_id}", row.node_id, row.steps, 1, 2, question=row.question, temperature=0.3
                )
                for row in stepwise(20)
            ),
        ],
    )
    plan = make_calibration_plan(options(rollouts, tmp_path / "prm", evaluations={"ood": other}))
    assert list(plan.evaluations) == [TEST, "ood"]
    told = " ".join(plan.warnings)
    assert "ood: the PRM is fitted on" in told
    assert "another temperature" in told


def test_questions_in_two_splits_are_warned_of(tmp_path):
    twins = [replace(row, problem_id=f"twin-{row.problem_id}") for row in stepwise()]
    both = table(tmp_path / "both.parquet", [*stepwise(), *twins])
    told = " ".join(make_calibration_plan(options(both, tmp_path / "prm")).warnings)
    assert "questions are in the training and in the stopping split" in told


def test_how_many_trajectories_pass_through_a_prefix_is_data(rollouts, tmp_path):
    make_calibration_plan(options(rollouts, tmp_path / "prm"))
    other = table(tmp_path / "other.parquet", [replace(row, num_trajectories=7) for row in stepwise()])
    with pytest.raises(RunMismatch, match="fingerprint"):
        make_calibration_plan(options(other, tmp_path / "prm"))


def test_an_evaluation_set_that_the_prm_cannot_read_is_refused(rollouts, tmp_path):
    long = [rollout_row("long", 0, (), 1, 2, question="Compute " + "1+" * 600 + "1.")]
    hard = table(tmp_path / "long.parquet", long)
    with pytest.raises(InvalidInput, match="--evaluate hard: the PRM would score none"):
        make_calibration_plan(options(rollouts, tmp_path / "prm", "prm.overlong=refuse", evaluations={"hard": hard}))
    assert not (tmp_path / "prm").exists()


def test_a_place_that_holds_something_else_is_left_alone(rollouts, tmp_path):
    (tmp_path / "prm").mkdir()
    (tmp_path / "prm/notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"holds notes.txt"):
        make_calibration_plan(options(rollouts, tmp_path / "prm"))
    assert [file.name for file in (tmp_path / "prm").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prm.model=", "prm.model is missing"),
        ("calibration.target_modules=['c_proj']", "no layer has a `c_proj`"),
        ("calibration.every_nth_layer=50", "every_nth_layer"),
        ("calibration.head=logistic", "calibration.head"),
        ("calibration.levels=[0.5, 0.1]", "must increase"),
        ("calibration.test_share=0.95", "leave nothing to train on"),
        ("calibration.test_share=0.001", "test split, which needs 2"),
        ("calibration.conformal_coverage=0.9", "needs conformal = true"),
    ],
)
def test_settings_that_cannot_be_are_refused(rollouts, tmp_path, override, message):
    with pytest.raises(InvalidInput, match=message):
        make_calibration_plan(options(rollouts, tmp_path / "prm", override))
    assert not (tmp_path / "prm").exists()


def test_a_shift_needs_problems_of_its_own(rollouts, tmp_path):
    with pytest.raises(InvalidInput, match="conformal split, which needs 99"):
        make_calibration_plan(
            options(rollouts, tmp_path / "a", "calibration.conformal=true", "calibration.conformal_coverage=0.99")
        )
    wide = ("calibration.conformal=true", "calibration.conformal_coverage=0.8")
    assert "conformal" in make_calibration_plan(options(rollouts, tmp_path / "b", *wide)).splits


def one(**other):
    return [*stepwise(), rollout_row("extra", 1, ("a\n\n",), 1, 2, **other)]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], "no rollouts in it"),
        ([rollout_row("p", 0, (), 0, 0)], "no row has a trial"),
        (one(temperature=0.1), r"more than one temperature \(0.1, 0.7\)"),
        (one(generator="b" * 64), "more than one generator"),
        ([*stepwise(), rollout_row("p0", 1, ("a\n\n",), 1, 2)], "node 1 has two rows"),
        ([*stepwise(), rollout_row("p0", 77, ("a\n\n",), 1, 2, question="Another?")], "names must be unique"),
        ([*stepwise(), rollout_row("extra", 1, ("a\n\n",), 3, 2)], "3 successes of 2 trials"),
        ([*stepwise(), rollout_row("extra", 1, ("a\n\n",), 1, 2, depth=4)], "depth is 4, and there are 1 steps"),
        ([*stepwise(), rollout_row("extra", 1, ("a\n\n",), 1, 2, question=" ")], "question is empty"),
        (rows(60), r"steps end in .*, and the PRM reads steps that end in"),
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path, made, message):
    with pytest.raises(InvalidInput, match=message):
        make_calibration_plan(options(table(tmp_path / "rows.parquet", made), tmp_path / "prm"))


def test_files_that_are_no_rollouts_are_refused(tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"problem_id": ["a"]}), other)
    with pytest.raises(InvalidInput, match="no column node_id"):
        read_rollouts(str(other))
    other.write_bytes(b"text")
    with pytest.raises(InvalidInput, match="no Parquet file"):
        read_rollouts(str(other))
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_rollouts(str(tmp_path / "none.parquet"))
    with pytest.raises(InvalidInput, match="is not a run"):
        read_rollouts(str(tmp_path))


def test_a_calibrated_prm_is_not_calibrated_again(rollouts, tmp_path):
    prm = tmp_path / "calibrated"
    shutil.copytree(EXAMPLE / "prm", prm)
    config = (prm / "prm_config.json").read_text()
    (prm / "prm_config.json").write_text(config.replace('"kind": "probability"', '"kind": "quantile"'))
    with pytest.raises(InvalidInput):
        make_calibration_plan(options(rollouts, tmp_path / "prm", f"prm.model={prm}"))


def test_an_unfinished_run_is_refused(tmp_path):
    writer = Writer(LocalStore(tmp_path / "run"), tmp_path / "spool")
    writer.open(builders.manifest(), this_process())
    rollouts = (rollout_row("p0", 0, (), 1, 2),)
    writer.append(0, *packed_rows([replace(builders.record("p0"), rollouts=rollouts)]))
    writer.flush()
    with pytest.raises(InvalidInput, match="is not finished"):
        read_rollouts(str(tmp_path / "run"))
    writer.finish(["p0"], spent_tokens=0)
    assert read_run(tmp_path / "run").finished
    assert read_rollouts(str(tmp_path / "run")).num_problems == 1


def test_checkpoints_and_prm_in_an_object_store(moto_bucket, rollouts, tmp_path, monkeypatch):
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path / "cache"))
    uri = moto_bucket.uri("prms/mine")
    plan = make_calibration_plan(options(rollouts, uri))
    trainer = Trainer(
        FakeTraining,
        plan.splits[TRAINING],
        plan.splits[STOPPING],
        settings=SETTINGS,
        store=plan.training,
        spool=tmp_path,
    )
    assert trainer.train().finished
    assert [name.partition("-")[0] for name in S3Store(f"{uri}/_training").list("")] == ["checkpoint", "manifest.json"]
    trainer.publish(plan.output, trained_for={}, notes={}, examples=[], lower_shift=0.0)
    assert (stage_folder(uri) / "config.json").read_text() == "{}"
    plan.training.create(SUCCESS, b"")
    assert make_calibration_plan(options(rollouts, f"{uri}/")).finished
    assert newest_lease(plan.training) is None


def test_the_command_line(rollouts, tmp_path, capsys):
    arguments = [
        "calibrate",
        "R",
        "--recipe",
        "x.toml",
        "--output",
        "O",
        "--evaluate",
        "ood=s3://b/r",
        "--set",
        "a.b=1",
    ]
    name, told = parse(arguments)
    assert (name, told.evaluations, told.overrides) == ("calibrate", {"ood": "s3://b/r"}, ("a.b=1",))
    for wrong in ("ood", "=x", "test=x", "a/b=x"):
        with pytest.raises(SystemExit):
            parse([*arguments[:6], "--evaluate", wrong])
    capsys.readouterr()
    status = main(
        [
            "calibrate",
            rollouts,
            "--recipe",
            str(EXAMPLE / "calibrate.toml"),
            "--output",
            str(tmp_path / "o"),
            "--set",
            "calibration.epoch=3",
        ]
    )
    assert status == 2
    assert "did you mean calibration.epochs" in capsys.readouterr().err


def test_a_set_has_one_name(capsys):
    command = ["calibrate", "r", "--recipe", "r.toml", "--output", "p", "--evaluate", "a=1"]
    _, parsed = parse([*command, "--evaluate", "b=2"])
    assert parsed.evaluations == {"a": "1", "b": "2"}
    with pytest.raises(SystemExit, match="2"):
        parse([*command, "--evaluate", "a=2"])
    assert "a is given twice" in capsys.readouterr().err
