"""Status and summary: the states of a run as its files tell them."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from actors.writer.lease import this_process
from actors.writer.writer import FRESH_S
from cluster.store import LocalStore
from jobs.cli import main
from jobs.scoring.run_status import RunStatus, State, print_status, read_status, status_json
from jobs.scoring.summary import print_summary, summarize, summary_json
from records.failure import InvalidInput, StoreFailed
from records.jsonio import encode
from records.progress import Progress
from records.run_folder import layout
from records.run_folder.commits import Commit, Totals
from records.run_folder.epochs import Lease, Owner, utc
from records.run_folder.manifest import Manifest

NOW_S = 1_800_000_000.0
ELSEWHERE = Owner("another-host", "another-boot", 12, 34)
TOTALS = Totals(
    succeeded=38,
    failed=1,
    budget_exhausted=1,
    correct=19,
    graded=38,
    generated_tokens=250_000,
    prompt_tokens=10_000,
    cached_tokens=9_000,
    pruned_tokens=50_000,
    prm_tokens=260_000,
    prm_cached_tokens=200_000,
    flops=1.5e12,
    wall_seconds=100.0,
)
PROGRESS = Progress(
    phase="scoring",
    total_problems=100,
    done_problems=40,
    failed_problems=1,
    exhausted_problems=1,
    graded=38,
    correct=19,
    open_problems=8,
    generated_tokens=260_000,
    prompt_tokens=10_000,
    cached_tokens=9_000,
    prm_tokens=260_000,
    total_tokens_cap=None,
    elapsed_s=100.0,
    replicas_ready=2,
    replicas_wanted=2,
    replicas_lost=0,
)


def lease(*, owner: Owner = ELSEWHERE, age_s: float = 3.0, released: bool = False) -> Lease:
    return Lease(
        epoch=1,
        writer="w",
        owner=owner,
        started_at=utc(NOW_S - 100),
        heartbeat_at=utc(NOW_S - age_s),
        released_at=utc(NOW_S - age_s) if released else None,
        progress=asdict(PROGRESS),
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A run that was begun, and has one commit."""
    store = LocalStore(tmp_path / "run")
    manifest = Manifest(
        schema_version=1,
        created_at=utc(NOW_S - 100),
        recipe={"strategy": {"name": "best-of-n"}},
        versions={},
        git_revision=None,
        models={},
        seed=0,
        input_fingerprint="f",
        num_problems=100,
    )
    commit = Commit(
        number=1,
        epoch=1,
        writer="w",
        parts=(),
        batches=(),
        opened=(),
        closed=(),
        totals=TOTALS,
        open_tokens=7_000,
        lost_tokens=500,
        leased_tokens=300_000,
        usage=None,
        created_at=utc(NOW_S - 5),
    )
    store.create(layout.MANIFEST, encode(manifest))
    store.create(layout.commit_name(1), encode(commit))
    return store


def status_with(store: LocalStore, newest: Lease) -> RunStatus:
    store.replace(layout.epoch_name(newest.epoch), encode(newest))
    return read_status(store, now_s=NOW_S)


def printed(status: RunStatus) -> str:
    stream = StringIO()
    print_status(status, Console(file=stream, width=120))
    return stream.getvalue()


def test_a_fresh_heartbeat_means_running(store: LocalStore) -> None:
    status = status_with(store, lease())
    assert status.state is State.RUNNING
    assert status.heartbeat_age_s == pytest.approx(3.0)
    assert status.eta_s == pytest.approx(150)
    text = printed(status)
    assert "Running: epoch 1, process 12 on another-host, heard 3s ago." in text
    assert "40/100 problems" in text
    assert "time left 2m30s" in text


@pytest.mark.parametrize("newest", [lease(released=True), lease(age_s=FRESH_S + 1)], ids=["released", "silent"])
def test_a_run_that_nobody_holds_is_stopped_and_says_how_to_go_on(store: LocalStore, newest: Lease) -> None:
    status = status_with(store, newest)
    assert (status.state, status.eta_s) == (State.STOPPED, None)
    assert f"parsimony score PROBLEMS --recipe R.toml --output {store.uri}" in printed(status)


def test_a_dead_process_of_this_machine_is_not_running(store: LocalStore) -> None:
    here = this_process()
    assert status_with(store, lease(owner=here)).state is State.RUNNING
    before = replace(here, process_start=(here.process_start or 0) - 1)
    assert status_with(store, lease(owner=before)).state is State.STOPPED


def test_a_run_without_an_epoch_was_never_begun(store: LocalStore) -> None:
    status = read_status(store, now_s=NOW_S)
    assert status.state is State.STOPPED
    assert "never begun" in printed(status)


def test_success_means_finished_whatever_the_lease_says(store: LocalStore) -> None:
    store.create(layout.SUCCESS, b"{}")
    status = status_with(store, lease())
    assert status.state is State.FINISHED
    assert status.summary.finished
    assert printed(status).startswith("Finished.")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a run"):
        read_status(LocalStore(tmp_path), now_s=NOW_S)


def test_a_damaged_run_is_no_guess(store: LocalStore) -> None:
    store.replace(layout.commit_name(1), b"{")
    with pytest.raises(StoreFailed):
        read_status(store, now_s=NOW_S)


def test_a_lease_without_a_last_word_is_shown(store: LocalStore) -> None:
    status = status_with(store, replace(lease(), progress={}))
    assert (status.state, status.progress, status.eta_s) == (State.RUNNING, None, None)
    assert "Running" in printed(status)


def test_json_has_stable_keys(store: LocalStore) -> None:
    status = json.loads(status_json(status_with(store, lease())))
    assert list(status) == ["state", "summary", "lease", "heartbeat_age_s", "progress", "eta_s"]
    assert status["state"] == "running"
    assert list(status["summary"]) == [
        "run",
        "strategy",
        "depends_on_arrival",
        "finished",
        "num_problems",
        "problems",
        "graded",
        "correct",
        "finished_samples",
        "unanswered_samples",
        "unfinished_thoughts",
        "closed_thoughts",
        "prolonged_thoughts",
        "accuracy",
        "accuracy_lower",
        "accuracy_upper",
        "tokens",
        "open_tokens",
        "lost_tokens",
        "flops",
        "gpu_seconds",
        "usd",
        "wall_seconds",
        "tokens_per_second",
        "abstention",
        "failures",
    ]


def test_the_command_prints_on_stdout(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.create(layout.SUCCESS, b"{}")
    assert main(["status", os.path.relpath(store.uri), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    assert main(["status", store.uri]) == 0
    assert "best-of-n" in capsys.readouterr().out


SAMPLE = {"strategy": {"name": "sample"}}


def summary_text(totals: Totals) -> str:
    stream = StringIO()
    summary = summarize(totals, run="runs/a", recipe=SAMPLE, finished=True, num_problems=40, lost_tokens=0)
    print_summary(summary, Console(file=stream, width=120))
    return stream.getvalue()


def test_a_summary_gives_accuracy_with_its_interval() -> None:
    summary = summarize(TOTALS, run="runs/a", recipe=SAMPLE, finished=True, num_problems=40)
    assert summary.accuracy == 0.5
    assert summary.accuracy_lower == pytest.approx(0.348, abs=1e-3)
    assert summary.accuracy_upper == pytest.approx(0.652, abs=1e-3)
    assert summary.tokens_per_second == 2500
    text = summary_text(TOTALS)
    assert "50.0% (34.8% to 65.2% at 95%), 19 of 38; 2 not graded" in text
    assert "38 succeeded, 1 failed, 1 budget exhausted" in text
    assert "90.0% cached" in text
    assert "Cost" not in text
    assert "1.5 USD, 2 GPU-hours" in summary_text(replace(TOTALS, usd=1.5, gpu_seconds=7200.0))


def test_a_summary_of_nothing_makes_nothing_up() -> None:
    summary = json.loads(summary_json(summarize(Totals(), run="r", recipe={}, finished=False, num_problems=3)))
    unknown = {key for key, value in summary.items() if value is None}
    assert unknown == {
        "gpu_seconds",
        "usd",
        "accuracy",
        "accuracy_lower",
        "accuracy_upper",
        "tokens_per_second",
        "abstention",
    }
    text = summary_text(Totals())
    assert "unknown: nothing was graded" in text
    assert "PRM" not in text


def test_a_status_loads_nothing_that_takes_longer_than_it() -> None:
    """Of scipy, Ray and torch none is needed to read a run."""
    probe = "import sys, jobs.status; print(sorted({'scipy', 'ray', 'torch', 'sklearn'} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
