"""A run on a Ray cluster, watched by a real Prometheus that finds the cluster by Ray's own file of targets."""

import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.dashboard import dashboard
from records.metrics import CAP_GPU_SECONDS, GPU_SECONDS, METRICS, SPENT_GPU_SECONDS, Metric
from records.run_folder.reader import read_run
from tests.services.debian import CannotStart
from tests.services.prometheus import Prometheus, required
from tests.services.ray_heads import Head, head
from tests.support.scripted import SCRIPTED, sets

pytestmark = [pytest.mark.ray, pytest.mark.ci]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/arithmetic"
DISCOVERY = "prom_metrics_service_discovery.json"
NUM_PROBLEMS = 40
SETTINGS = (
    "generator.num_replicas=1",
    "strategy.num_samples=8",
    "budget.total_tokens=1000000",
    "budget.total_usd=1.5",
    "cost.generator_instance=m7i.2xlarge",
    "cost.prm_instance=c7i.4xlarge",
    "output.flush_interval_s=0.5",
    *SCRIPTED,
    "script.tokens_per_s=40",
    "script.prm_tokens_per_s=4000",
)
OF_GPUS = {GPU_SECONDS, SPENT_GPU_SECONDS, CAP_GPU_SECONDS}
LIMIT_S = 120.0
EXPORT_ALL = """
import sys
import ray
from cluster.metrics import RayExporter
from records.metrics import METRICS
ray.init(address=sys.argv[1], log_to_driver=False)
exporter = RayExporter("made up")
for number in (0, 1, 2):
    exporter.export([metric.of(number, *metric.labels) for metric in METRICS])
sys.stdin.read()
"""
"""Exports every metric there is, with its labels' names as their values; the last value is 2. Ends with its input."""


@dataclass(frozen=True)
class Watched:
    """What was watched: the run, its rows, when it was, and by whom."""

    run: str
    rows: list[dict]
    begun_s: float
    ended_s: float
    metadata: dict
    prometheus: Prometheus

    def last(self, selector: str) -> float:
        """Of its one series, the value that was scraped last in the run."""
        [value] = self.all_last(selector)
        return value

    def all_last(self, selector: str) -> list[float]:
        """Likewise of each series."""
        span = f"{math.ceil(self.ended_s - self.begun_s)}s"
        found = self.prometheus.query(f"last_over_time({selector}[{span}])", at_s=self.ended_s)
        return [float(series["value"][1]) for series in found]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Head]:
    with head({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 64, "RAY_metrics_report_interval_ms": "1000"}) as made:
        yield made


@pytest.fixture(scope="module")
def prometheus(cluster: Head) -> Iterator[Prometheus]:
    server = Prometheus(cluster.folder / DISCOVERY)
    try:
        with server:
            yield server
    except CannotStart as why:
        if required():
            raise
        pytest.skip(f"no Prometheus: {why}")


@pytest.fixture(scope="module")
def watched(cluster: Head, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A small run with everything that can be told on a CPU: a cap, prices, both roles."""
    run = tmp_path_factory.mktemp("watched") / "run"
    command = [sys.executable, "-m", "jobs.score", f"{EXAMPLE}/test.jsonl", "--recipe", f"{EXAMPLE}/beam-16.toml"]
    command += ["--output", str(run), "--limit", str(NUM_PROBLEMS)]
    command += sets(*SETTINGS)
    begun_s = time.time()
    environment = cluster.environment | {"RAY_ADDRESS": cluster.gcs_address}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    rows = read_run(run).problems().to_pylist()
    assert len(rows) == NUM_PROBLEMS
    spent = sum(row["generated_tokens"] for row in rows)
    wait_until(lambda: prometheus.value(tokens("generated")) == spent)
    metadata = prometheus.metadata()  # goes some scrapes after its metric
    # Gauges go two seconds after the process: by then the last values of all metrics have been asked for.
    wait_until(lambda: prometheus.value("ray_parsimony_open_problems") is None)
    return Watched(str(run), rows, begun_s, time.time(), metadata, prometheus)


def tokens(kind: str) -> str:
    return f'ray_parsimony_tokens_total{{kind="{kind}"}}'


def family(metric: Metric) -> str:
    """Its name in OpenMetrics, which Prometheus asks Ray for: a counter's has no `_total` there."""
    return metric.exported.removesuffix("_total")


def wait_until(condition) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.5)


def test_the_last_values_are_the_runs_rows(watched):
    for kind in ("generated", "pruned", "prompt", "cached", "prm", "prm_cached"):
        assert watched.last(tokens(kind)) == sum(row[f"{kind}_tokens"] for row in watched.rows) > 0, kind
    assert watched.last("ray_parsimony_samples_total") == sum(row["num_samples"] for row in watched.rows)
    assert watched.last('ray_parsimony_done_problems{status="succeeded"}') == NUM_PROBLEMS
    assert watched.last("ray_parsimony_input_problems") == NUM_PROBLEMS
    assert watched.last("ray_parsimony_open_problems") == 0
    assert watched.last("ray_parsimony_correct_problems") == sum(row["correct"] for row in watched.rows)
    assert watched.last("ray_parsimony_spent_tokens") == sum(row["generated_tokens"] for row in watched.rows)
    assert watched.last("ray_parsimony_cap_tokens") == 1_000_000
    assert watched.last("ray_parsimony_cap_usd") == 1.5
    usd = sum(watched.all_last("ray_parsimony_usd_total"))
    assert watched.last("ray_parsimony_spent_usd") == pytest.approx(usd)
    assert sum(row["usd"] for row in watched.rows) == pytest.approx(usd, rel=0.1)
    for role in ("generator", "prm"):
        held_s = watched.last(f'ray_parsimony_replica_held_seconds_total{{replica="{role}-0"}}')
        assert sum(row[f"{role}_seconds"] for row in watched.rows) == pytest.approx(held_s, rel=0.1)
        busy_s = watched.last(f'ray_parsimony_replica_busy_seconds_total{{replica="{role}-0"}}')
        assert 0 < busy_s < held_s
        assert watched.last(f'ray_parsimony_replica_deaths_total{{replica="{role}-0"}}') == 0


def test_on_the_way_the_values_were_plausible(watched):
    def seen(name: str) -> list[float]:
        found = watched.prometheus.over(name, watched.begun_s, watched.ended_s)
        return [float(value) for series in found for _, value in series["values"]]

    assert max(seen("ray_parsimony_open_problems")) > 0
    assert max(seen('ray_parsimony_calls_in_flight{role="generator"}')) > 0
    assert set(seen("ray_parsimony_replica_up")) <= {0, 1}
    assert 0 <= max(seen("ray_parsimony_commit_lag_seconds")) < 30
    assert max(seen("ray_parsimony_spent_tokens")) <= 1_000_000


def test_every_metric_is_there_with_its_kind_and_help(watched):
    found = watched.metadata
    for metric in METRICS:
        if metric in OF_GPUS:  # there is no GPU here; the next test exports it all the same
            assert family(metric) not in found
            continue
        [described] = found[family(metric)]
        assert (described["type"], described["help"]) == (metric.kind.value, metric.help)
        series = watched.prometheus.over(metric.exported, watched.begun_s, watched.ended_s)
        assert {one["metric"]["run"] for one in series} == {watched.run}
        assert all(set(metric.labels) <= one["metric"].keys() for one in series)


def test_every_expression_of_the_dashboard_gives_data(watched):
    run = re.escape(watched.run).replace("\\", "\\\\")
    # On a busy machine two series of one moment come a scrape apart: a share is held to its bound over more than four.
    for panel in dashboard()["panels"]:
        is_share = panel["fieldConfig"]["defaults"].get("max") == 1
        for target in panel["targets"]:
            expression = target["expr"].replace("$run", run).replace("$__rate_interval", "30s" if is_share else "4s")
            found = watched.prometheus.over(expression, watched.begun_s, watched.ended_s)
            if any(metric.exported in expression for metric in OF_GPUS):
                assert found == []
                continue
            values = [float(value) for series in found for _, value in series["values"]]
            assert values, expression
            assert all(math.isfinite(value) and value >= 0 for value in values), expression
            if is_share:
                assert max(values) <= 1.05, expression  # rates are extrapolated
                assert max(values) > 0, expression


def test_ray_drops_no_metric_and_runs_are_told_apart(cluster, watched):
    exporter = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", EXPORT_ALL, cluster.gcs_address],
        cwd=ROOT, env=cluster.environment, stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        for metric in METRICS:
            exported = f'{metric.exported}{{run="made up"}}'
            wait_until(lambda exported=exported: watched.prometheus.value(exported) == 2 or exporter.poll() is not None)
            [series] = watched.prometheus.query(exported)
            assert all(series["metric"][label] == label for label in metric.labels)
        [described] = watched.prometheus.metadata()[family(GPU_SECONDS)]
        assert (described["type"], described["help"]) == ("counter", GPU_SECONDS.help)
    finally:
        exporter.communicate(timeout=LIMIT_S)
    assert exporter.returncode == 0
