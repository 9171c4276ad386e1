import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import records
from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore
from records.failure import InvalidInput, StoreFailed
from records.packing import packed_rows
from records.rows import ProblemRow, RequestRow, StepRow
from records.run_folder import layout
from records.run_folder.reader import read_run
from records.schemas import to_rows
from tests.records import builders

PROBLEM_IDS = [f"p{number}" for number in range(6)]
RECORDS = [builders.record(problem_id, num_steps=number) for number, problem_id in enumerate(PROBLEM_IDS)]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run of six problems in three commits with parts, and a stray part that no commit names."""
    folder = tmp_path / "my run"
    writer = Writer(LocalStore(folder), tmp_path / "spool")
    writer.open(builders.manifest(), this_process())
    for batch in range(3):
        writer.append(batch, *packed_rows(RECORDS[2 * batch : 2 * batch + 2]))
        writer.flush()
    (folder / "problems" / "part-000001-0000000009-deadbeef.parquet").write_bytes(
        next((folder / "problems").iterdir()).read_bytes()
    )
    writer.finish(PROBLEM_IDS, spent_tokens=80)
    return folder


def test_a_run_reads_back_as_it_was_written(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert to_rows(ProblemRow, run.problems()) == [record.problem for record in RECORDS]
    assert to_rows(StepRow, run.steps()) == [step for record in RECORDS for step in record.steps]
    assert to_rows(RequestRow, run.requests()) == [request for record in RECORDS for request in record.requests]
    assert run.finished
    assert run.manifest == builders.manifest()
    assert (run.totals.problems, run.totals.generated_tokens, run.lost_tokens) == (6, 75, 5)
    assert run.success is not None
    assert (run.success.num_problems, run.success.totals, run.success.lost_tokens) == (6, run.totals, 5)
    assert run.lease is not None
    assert run.lease.released_at is not None


def test_batches_are_the_rows_of_the_table(run_folder: Path) -> None:
    run = read_run(run_folder)
    columns = ["problem_id", "node_id", "token_ids"]
    batches = pa.Table.from_batches(run.batches("steps", columns))
    assert batches.to_pylist() == run.steps().select(columns).to_pylist()
    assert list(run.batches("rollouts", ["problem_id"])) == []
    Path(run.part_paths("steps")[1]).write_bytes(Path(run.part_paths("steps")[2]).read_bytes())
    with pytest.raises(StoreFailed, match="not what its commits say"):
        list(run.batches("steps", columns))
    Path(run.part_paths("steps")[1]).unlink()
    with pytest.raises(StoreFailed, match="gone or damaged"):
        list(run.batches("steps", columns))


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_every_form_of_address_reads_the_same(run_folder: Path, form: str) -> None:
    run = read_run(form.format(str(run_folder).replace(" ", "%20") if "://" in form else run_folder))
    assert run.problems().num_rows == 6
    assert all(Path(path).exists() for path in run.part_paths("steps"))


def test_duckdb_polars_and_pyarrow_read_the_parts_that_commits_name(run_folder: Path) -> None:
    run = read_run(run_folder)
    paths = run.part_paths("problems")
    assert len(paths) == 3
    query = "select count(distinct problem_id), sum(generated_tokens), count(*) from read_parquet(?)"
    with duckdb.connect() as connection:
        assert connection.execute(query, [paths]).fetchall() == [(6, 75, 6)]
    frame = pl.read_parquet(paths)
    assert (frame["problem_id"].n_unique(), frame["generated_tokens"].sum(), len(frame)) == (6, 75, 6)
    assert pq.ParquetDataset(paths).read().num_rows == 6
    assert ds.dataset(paths).to_table().num_rows == 6
    joined = "select sum(len(token_ids)) from read_parquet($steps) join read_parquet($problems) using (problem_id)"
    with duckdb.connect() as connection:
        both = {"steps": run.part_paths("steps"), "problems": paths}
        assert connection.execute(joined, both).fetchall() == [(75,)]
    assert pl.scan_parquet(run.part_paths("requests")).select(pl.len()).collect().item() == 6


def test_a_run_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    writer = Writer(LocalStore(tmp_path / "run"), tmp_path / "spool")
    writer.open(builders.manifest(), this_process())
    before = read_run(tmp_path / "run")
    assert before.problems().num_rows == before.steps().num_rows == before.requests().num_rows == 0
    assert before.problems().schema.names == before.dataset("problems").schema.names
    writer.append(0, *packed_rows(RECORDS[:2]))
    assert read_run(tmp_path / "run").totals.problems == 0
    writer.flush()
    writer.heartbeat({"phase": "scoring"})
    during = read_run(tmp_path / "run")
    writer.append(1, *packed_rows(RECORDS[2:]))
    writer.flush()
    assert (before.problems().num_rows, during.problems().num_rows) == (0, 2)  # a snapshot stays one
    assert not during.finished
    assert during.lease is not None
    assert during.lease.progress == {"phase": "scoring"}
    assert read_run(tmp_path / "run").problems().num_rows == 6


def test_a_reader_that_never_stops_sees_whole_commits_that_only_grow(tmp_path: Path) -> None:
    writer = Writer(LocalStore(tmp_path / "run"), tmp_path / "spool")
    writer.open(builders.manifest(), this_process())
    done = threading.Event()
    seen: list[tuple[int, int]] = []

    def poll() -> None:
        while not done.is_set():
            run = read_run(tmp_path / "run")
            assert run.problems().num_rows == run.totals.problems == run.requests().num_rows
            assert run.steps().num_rows == 3 * run.totals.problems
            seen.append((run.log.number, run.totals.problems))

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(poll)
        for batch in range(20):
            writer.append(batch, *packed_rows([builders.record(f"q{batch}", num_steps=3)]))
            writer.flush()
        done.set()
        reader.result()
    assert seen == sorted(seen)
    assert all(number == problems + 1 for number, problems in seen)


def test_what_is_no_run_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is not a run: it has no _manifest\.json"):
        read_run(tmp_path)
    with pytest.raises(InvalidInput, match="cannot be opened"):
        read_run("nonsense://x")


def test_a_missing_or_wrong_part_is_a_failure_and_never_fewer_rows(run_folder: Path) -> None:
    run = read_run(run_folder)
    first, second, _ = (Path(path) for path in run.part_paths("problems"))
    half = pq.read_table(first).slice(0, 1)
    pq.write_table(half, second)
    with pytest.raises(StoreFailed, match="problems is not what its commits say"):
        run.problems()
    second.unlink()
    with pytest.raises(StoreFailed, match="a part of problems is gone or damaged"):
        run.problems()


def test_a_missing_commit_is_a_failure(run_folder: Path) -> None:
    (run_folder / layout.commit_name(2)).unlink()
    with pytest.raises(StoreFailed, match="is gone"):
        read_run(run_folder)


def test_records_offers_read_run_and_loads_pyarrow_only_then() -> None:
    assert records.read_run is read_run
    probe = "import sys, records, records.problem, records.rows; print('pyarrow' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'write_run'"):
        records.write_run  # noqa: B018
