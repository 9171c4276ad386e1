"""The Grafana dashboard is what the metrics' definitions give, and the definitions keep Prometheus' conventions."""

import json
import re
from pathlib import Path

import pytest

from cluster.dashboard import DATASOURCE, PANELS, as_text, dashboard
from records.metrics import METRICS, PREFIX, RATIOS, Kind, Metric

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "cluster/grafana_dashboard.json"
TARGETS = [target for panel in dashboard()["panels"] for target in panel["targets"]]


def named(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(rf"{PREFIX}parsimony_\w+", expression))


def test_the_file_is_what_the_definitions_give():
    assert FILE.read_text() == as_text(), "python -m cluster.dashboard > cluster/grafana_dashboard.json"


def test_expressions_name_metrics_that_exist_and_each_metric_has_a_panel():
    in_panels = {name for target in TARGETS for name in named(target["expr"])}
    assert in_panels == {metric.exported for metric in METRICS}
    assert all(named(target["expr"]) for target in TARGETS)
    shown = [item for panel in PANELS for item in panel.shows]
    assert {item for item in shown if isinstance(item, Metric)} == set(METRICS)
    assert {item for item in shown if not isinstance(item, Metric)} == set(RATIOS)


def test_expressions_choose_the_runs_and_group_by_labels_that_exist():
    labels = {metric.exported: {"run", *metric.labels} for metric in METRICS}
    for target in TARGETS:
        expression = target["expr"]
        selectors = re.findall(rf"({PREFIX}parsimony_\w+)\{{([^}}]*)\}}", expression)
        assert {name for name, _ in selectors} == named(expression), "a series without a selector"
        for name, selector in selectors:
            assert 'run=~"$run"' in selector
            assert set(re.findall(r"(\w+)=", selector)) <= labels[name]
        known = set.union(*(labels[name] for name in named(expression)))
        groups = {label for group in re.findall(r" by \(([^)]*)\)", expression) for label in group.split(", ")}
        assert groups <= known
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= groups


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric):
    assert re.fullmatch(r"parsimony_[a-z]+(_[a-z]+)*", metric.name)  # Ray drops others, with no more than a warning
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    stem = metric.name.removesuffix("_total")
    assert metric.unit == "seconds" or not stem.endswith("seconds")
    assert metric.unit != "seconds" or stem.endswith("_seconds")
    assert metric.unit != "tokens" or stem.endswith("tokens")
    assert metric.help.endswith(".")
    assert "run" not in metric.labels


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_documented(metric):
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    row = f"| `{metric.exported}` | {metric.kind.value} | {labels} | {metric.help} |"
    assert row in (ROOT / "docs/monitoring.md").read_text().splitlines(), row


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: ratio.name)
def test_every_ratio_is_documented(ratio):
    assert f"| {ratio.name} | {ratio.help} |" in (ROOT / "docs/monitoring.md").read_text().splitlines()


def test_names_are_unique():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_grafana_finds_what_it_needs():
    found = json.loads(FILE.read_text())
    assert found["uid"] == "parsimony"
    assert isinstance(found["schemaVersion"], int)
    assert found["title"]
    source, run = found["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert (run["name"], run["type"], run["includeAll"], run["allValue"]) == ("run", "query", True, ".*")
    assert named(run["query"]["query"]) <= {metric.exported for metric in METRICS}
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    cells: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        assert panel["type"] == "timeseries"
        assert panel["datasource"] == DATASOURCE
        assert {"unit", "min"} <= panel["fieldConfig"]["defaults"].keys()
        assert panel["description"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        area = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & area, "panels overlap"
        cells |= area
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"])
