"""Commands against object stores, without models: plan, single writer, reader, status, models that lie there."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.engines.model_files import HEAD_FILE, sha256_of
from actors.engines.settings import GeneratorSettings
from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.s3 import S3Store
from jobs.cli import main
from jobs.command_line.score import ScoreOptions
from jobs.scoring.plan import make_plan
from jobs.scoring.staged_replica import StagedReplica, builder
from records.failure import InvalidInput, ReplicaDied, StoreFailed
from records.packing import packed_rows
from records.replica import ReplicaInfo
from records.run_folder.reader import read_run
from tests.records import builders, trees
from tests.services.servers import Bucket
from tests.support.fakes import GENERATOR_SETTINGS
from tests.support.stored_runs import stored_run

EXAMPLE = Path(__file__).parents[3] / "examples" / "arithmetic"
PROBLEM_IDS = [f"p{number}" for number in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path / "cache"))


def options(output: str, *overrides: str, single_writer: bool = False) -> ScoreOptions:
    return ScoreOptions(
        problems=str(EXAMPLE / "test.jsonl"),
        recipe=EXAMPLE / "beam-16.toml",
        output=output,
        overrides=overrides,
        limit=5,
        single_writer=single_writer,
    )


def write_run(uri: str, spool: Path) -> None:
    """Six problems in three commits with parts, and a part that no commit names."""
    store = S3Store(uri)
    writer = Writer(store, spool)
    writer.open(builders.manifest(), this_process())
    for batch in range(3):
        writer.append(
            batch, *packed_rows([builders.record(problem_id) for problem_id in PROBLEM_IDS[2 * batch : 2 * batch + 2]])
        )
        writer.flush()
    store.replace("problems/part-000001-0000000009-deadbeef.parquet", b"left by a killed writer")
    writer.finish(PROBLEM_IDS, spent_tokens=65)


def test_a_run_is_read_by_every_reader(bucket: Bucket, tmp_path: Path) -> None:
    write_run(bucket.uri("my run"), tmp_path / "spool")
    run = read_run(bucket.uri("my run/"))
    assert (run.finished, run.totals.problems, run.lost_tokens) == (True, 6, 5)
    problems = run.problems()
    assert sorted(problems.column("problem_id").to_pylist()) == PROBLEM_IDS
    assert run.steps().num_rows == run.dataset("steps").count_rows() == 12
    paths = run.part_paths("problems")
    assert len(paths) == 3
    assert all(path.startswith(bucket.uri("my run/problems/part-")) for path in paths)
    steps = run.dataset("steps")
    with duckdb.connect() as connection:
        query = "select count(distinct problem_id), sum(len(token_ids)) from steps join problems using (problem_id)"
        assert connection.sql(query).fetchall() == [(6, 60)]
    assert pl.from_arrow(problems).height == 6  # type: ignore[union-attr]
    frame = pl.read_parquet(paths, storage_options={"aws_allow_http": "true"})
    assert (frame["problem_id"].n_unique(), frame["generated_tokens"].sum()) == (6, 60)
    lazy = pl.scan_pyarrow_dataset(steps).select(pl.col("generated_tokens").sum()).collect()
    assert lazy.item() == 60


def test_settings_of_the_reader_may_stand_in_a_file(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(bucket.uri("run"), tmp_path / "spool")
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(
        "[profile lab]\nregion = us-east-1\nservices = here\n"
        f"[services here]\ns3 =\n  endpoint_url = {bucket.proxy.url}\n"
    )
    credentials.write_text(
        f"[lab]\naws_access_key_id = {bucket.server.access_key}\naws_secret_access_key = {bucket.server.secret_key}\n"
    )
    for name in bucket.environment:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert read_run(bucket.uri("run")).problems().num_rows == 6
    assert S3Store(bucket.uri("run")).list("_SUCCESS") == ["_SUCCESS"]


def test_a_replay_reads_and_writes_an_object_store(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    run, output = stored_run(bucket.uri("run"), "strategy={name='best-of-n', num_samples=4}"), bucket.uri("replayed")
    assert main(["replay", run.uri, "--sweep", "strategy.num_samples=2,4", "--output", output, "--json"]) == 0
    said = capsys.readouterr().out
    store = S3Store(output)
    assert store.list("") == ["replay.parquet", "summary.json"]
    assert store.read("summary.json") == said.encode()
    table = pq.read_table(pa.BufferReader(store.read("replay.parquet")))
    assert table.num_rows == 2 * run.totals.problems


def test_what_is_no_run_is_named(bucket: Bucket) -> None:
    for uri in (bucket.uri("none"), "s3://no-such-bucket/x"):
        with pytest.raises(InvalidInput, match=f"{uri} is not a run"):
            read_run(uri)


def test_status_reads_an_object_store(bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(bucket.uri("run"), tmp_path / "spool")
    assert main(["status", bucket.uri("run")]) == 0
    assert "Finished." in capsys.readouterr().out
    assert main(["status", bucket.uri("none")]) == 2
    assert "is not a run" in capsys.readouterr().err
    assert main(["status", "s3://no-such-bucket/x"]) == 2
    assert "create the bucket first" in capsys.readouterr().err


def test_a_careless_store_is_refused_unless_there_is_a_single_writer(
    nanio_bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = nanio_bucket.uri("run")
    command = ["score", str(EXAMPLE / "test.jsonl"), "--recipe", str(EXAMPLE / "sample.toml"), "--output", uri]
    assert main(command) == 2
    assert "--single-writer" in capsys.readouterr().err
    plan = make_plan(options(uri, single_writer=True))
    assert len(plan.warnings) == 1
    assert "DOES NOT REFUSE" in plan.warnings[0]
    assert plan.store.list("") == []


def test_a_careless_store_is_refused_again_when_a_run_is_resumed(nanio_bucket: Bucket, tmp_path: Path) -> None:
    store = S3Store(nanio_bucket.uri("run"))
    Writer(store, tmp_path).open(builders.manifest(), this_process())
    with pytest.raises(InvalidInput, match="--single-writer"):
        make_plan(options(store.uri))


def test_a_good_store_needs_no_warning(moto_bucket: Bucket) -> None:
    for single_writer in (False, True):
        assert make_plan(options(moto_bucket.uri("run"), single_writer=single_writer)).warnings == ()


def put_models(bucket: Bucket) -> tuple[str, str]:
    for role in ("generator", "prm"):
        for file in (EXAMPLE / role).iterdir():
            bucket.put(f"models/{role}/{file.name}", file.read_bytes())
    return f"generator.model={bucket.uri('models/generator')}", f"prm.model={bucket.uri('models/prm')}"


def test_problems_in_an_object_store_are_those_of_the_local_file(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("sets/test.jsonl", (EXAMPLE / "test.jsonl").read_bytes())
    here = make_plan(options(str(tmp_path / "here")))
    there = make_plan(replace(options(str(tmp_path / "there")), problems=bucket.uri("sets/test.jsonl")))
    assert list(there.problems) == list(here.problems)
    assert there.manifest.input_fingerprint == here.manifest.input_fingerprint
    bucket.put("sets/bad.jsonl", b'{"id": "a", "question": "1 + 1"}\n{"id": "a"}\n')
    with pytest.raises(InvalidInput, match=r"bad\.jsonl.*2"):
        make_plan(replace(options(str(tmp_path / "bad")), problems=bucket.uri("sets/bad.jsonl")))
    with pytest.raises(InvalidInput, match=bucket.uri("sets/none.jsonl")):
        make_plan(replace(options(str(tmp_path / "none")), problems=bucket.uri("sets/none.jsonl")))


def test_models_in_an_object_store_have_the_identity_of_local_ones(moto_bucket: Bucket, tmp_path: Path) -> None:
    there = make_plan(options(str(tmp_path / "a"), *put_models(moto_bucket))).manifest
    here = make_plan(options(str(tmp_path / "b"))).manifest
    for role in ("generator", "prm"):
        uri = moto_bucket.uri(f"models/{role}")
        assert there.models[role] == replace(here.models[role], model=uri)
        assert there.recipe[role]["model"] == uri  # type: ignore[index]


def test_large_weights_stay_where_they_are(
    moto_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = put_models(moto_bucket)
    monkeypatch.setattr("jobs.scoring.models.MAX_HASHED_BYTES", 1000)
    monkeypatch.setattr("cluster.staging.OUTLINE_BYTES", 1_000_000)
    identity = make_plan(options(str(tmp_path / "a"), *overrides)).manifest.models["generator"]
    assert identity.model_sha256 is None
    assert identity.tokenizer_sha256 == sha256_of([EXAMPLE / "generator/tokenizer.json"])
    assert moto_bucket.proxy.count("GET", "/generator/model.safetensors") == 2  # the header's length, and the header


def test_what_is_wrong_with_a_model_is_told_by_its_address(moto_bucket: Bucket, tmp_path: Path) -> None:
    overrides = put_models(moto_bucket)
    moto_bucket.put(f"models/prm/{HEAD_FILE}", b"\0" * 5)
    with pytest.raises(InvalidInput, match=rf"{moto_bucket.uri('models/prm')}/{HEAD_FILE}: is no safetensors file"):
        make_plan(options(str(tmp_path / "a"), *overrides))
    with pytest.raises(InvalidInput, match="there are no objects below"):
        make_plan(options(str(tmp_path / "a"), f"generator.model={moto_bucket.uri('models/none')}"))


class FakeReplica:
    """Says which model it was given."""

    def __init__(self, settings: GeneratorSettings) -> None:
        self.settings = settings

    async def hello(self) -> ReplicaInfo:
        files = sorted(os.listdir(self.settings.model))  # noqa: PTH208 (nothing here waits for it)
        return ReplicaInfo("i", "generator", self.settings.model, None, "t", 1, 1, 1, "cpu", {"files": ",".join(files)})

    async def collect(self, *arguments: object) -> object:
        return arguments


MAKE: Any = FakeReplica


async def test_a_replica_brings_its_model_to_its_own_node(moto_bucket: Bucket) -> None:
    moto_bucket.put("models/m/config.json", b"{}")
    settings = replace(GENERATOR_SETTINGS, model=moto_bucket.uri("models/m"))
    replica = builder(MAKE, settings)()
    assert isinstance(replica, StagedReplica)
    with pytest.raises(ReplicaDied, match="hello"):
        await replica.collect("i", 1, 0, 1.0)
    moto_bucket.fail("GET", "/config.json", "status", status=501, times=5)
    with pytest.raises(ReplicaDied, match="the model did not arrive"):
        await replica.hello()
    moto_bucket.proxy.faults.clear()
    info = await replica.hello()
    assert (info.model, info.details) == (settings.model, {"files": "config.json"})
    passed_on: Any = await replica.collect("i", 1, 0, 1.0)
    assert passed_on == ("i", 1, 0, 1.0)


async def test_an_adapter_is_brought_too(moto_bucket: Bucket, tmp_path: Path) -> None:
    moto_bucket.put("adapters/a/adapter_config.json", b"{}")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    settings = replace(GENERATOR_SETTINGS, model=str(model), adapter=moto_bucket.uri("adapters/a"))
    replica = builder(MAKE, settings)()
    assert isinstance(replica, StagedReplica)
    info = await replica.hello()
    assert (info.model, info.details) == (str(model), {"files": "config.json"})
    adapter = replica._replica.settings.adapter  # type: ignore[union-attr]
    assert os.listdir(adapter) == ["adapter_config.json"]  # noqa: PTH208 (likewise)


def test_a_local_model_needs_no_staging() -> None:
    assert isinstance(builder(MAKE, GENERATOR_SETTINGS)(), FakeReplica)


def test_a_store_that_goes_away_is_no_users_fault(moto_bucket: Bucket) -> None:
    moto_bucket.fail("GET", "", "status", status=503, times=1000)
    with pytest.raises(StoreFailed, match="503"):
        make_plan(options(moto_bucket.uri("run")))


@pytest.mark.ci
def test_a_run_is_exported_from_the_store_into_it(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [trees.problem(name, [trees.ending("4", 0.5), trees.ending("5", 0.7)]) for name in "ab"]
    run, local = bucket.uri("run"), tmp_path / "pairs.jsonl"
    trees.write_run(tmp_path, records, uri=run)
    for output in (str(local), bucket.uri("data/pairs.jsonl")):
        assert main(["export", run, "--layout", "preference", "--output", output]) == 0
    assert bucket.get("data/pairs.jsonl") == local.read_bytes()
    assert len(local.read_text().splitlines()) == 2
    capsys.readouterr()
    assert main(["export", run, "--layout", "preference", "--output", bucket.uri("data/"), "--format", "jsonl"]) == 2
    assert "name a file" in capsys.readouterr().err
    keyless = [trees.problem("a", [trees.ending("4")], reference=None)]
    trees.write_run(tmp_path / "keyless", keyless, uri=bucket.uri("keyless"))
    output = bucket.uri("data/none.parquet")
    assert main(["export", bucket.uri("keyless"), "--layout", "preference", "--output", output]) == 2
    assert S3Store(bucket.uri("data")).list("") == ["pairs.jsonl"]
