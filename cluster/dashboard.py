"""The Grafana dashboard of a run, made from the definitions of its metrics: `python -m cluster.dashboard > FILE`.

What stands in `cluster/grafana_dashboard.json` is what this prints. Two variables choose the Prometheus and the runs.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

from records import metrics
from records.metrics import INPUT_PROBLEMS, RUN, Metric, Ratio

UID = "parsimony"
SCHEMA_VERSION = 39
"""Of dashboards in Grafana 11; older ones (from 8 on) and newer ones read it too."""
COLUMNS, WIDTH, HEIGHT = 3, 8, 8
"""Panels in a row; of Grafana's 24 columns and in its rows, how much one takes."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One diagram over time.

    Attributes:
        title: of it.
        unit: as Grafana names units.
        shows: what is drawn; their help becomes the panel's.
        share: from 0 to 1.
    """

    title: str
    unit: str
    shows: tuple[Metric | Ratio, ...]
    share: bool = False


PANELS = (
    Panel(title="Problems done", unit="short", shows=(metrics.DONE_PROBLEMS, metrics.INPUT_PROBLEMS)),
    Panel(title="Accuracy", unit="percentunit", shows=(metrics.ACCURACY,), share=True),
    Panel(
        title="Share of the caps spent",
        unit="percentunit",
        shows=(metrics.SPENT_SHARE, metrics.SPENT_USD_SHARE, metrics.SPENT_GPU_SHARE),
        share=True,
    ),
    Panel(
        title="Tokens spent",
        unit="short",
        shows=(metrics.SPENT_TOKENS, metrics.RESERVED_TOKENS, metrics.CAP_TOKENS),
    ),
    Panel(title="Tokens per second", unit="short", shows=(metrics.TOKENS,)),
    Panel(title="Samples and scores per second", unit="short", shows=(metrics.SAMPLES, metrics.SCORES)),
    Panel(
        title="Prefix cache hits",
        unit="percentunit",
        shows=(metrics.GENERATOR_HITS, metrics.PRM_HITS),
        share=True,
    ),
    Panel(title="Waiting calls", unit="short", shows=(metrics.WAITING_CALLS,)),
    Panel(title="Calls in flight", unit="short", shows=(metrics.CALLS_IN_FLIGHT,)),
    Panel(title="Mean calls in flight", unit="short", shows=(metrics.CALL_SECONDS,)),
    Panel(title="Busy share", unit="percentunit", shows=(metrics.BUSY_SHARE,), share=True),
    Panel(title="Seconds per second", unit="short", shows=(metrics.HELD_SECONDS, metrics.BUSY_SECONDS)),
    Panel(title="Replicas up", unit="short", shows=(metrics.REPLICA_UP,)),
    Panel(title="Replica deaths", unit="short", shows=(metrics.REPLICA_DEATHS,)),
    Panel(title="USD", unit="currencyUSD", shows=(metrics.SPENT_USD, metrics.CAP_USD, metrics.USD)),
    Panel(
        title="GPU-seconds",
        unit="s",
        shows=(metrics.SPENT_GPU_SECONDS, metrics.CAP_GPU_SECONDS, metrics.GPU_SECONDS),
    ),
    Panel(title="Commit lag", unit="s", shows=(metrics.COMMIT_LAG,)),
    Panel(title="Open problems", unit="short", shows=(metrics.OPEN_PROBLEMS,)),
    Panel(
        title="Problems graded",
        unit="short",
        shows=(metrics.GRADED_PROBLEMS, metrics.CORRECT_PROBLEMS),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana imports it."""
    return {
        "uid": UID,
        "title": "Parsimony",
        "description": "Runs of Parsimony on a Ray cluster: progress, spend, replicas.",
        "tags": ["parsimony", "ray"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource_variable(), _run_variable()]},
        "annotations": {"list": []},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def as_text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


def _datasource_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _run_variable() -> dict[str, Any]:
    query = f"label_values({INPUT_PROBLEMS.exported}, {RUN})"
    return {
        "name": RUN,
        "label": "Run",
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "runs"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 5, "showPoints": "never"}}
    if panel.share:
        defaults["max"] = 1
    return {
        "id": number + 1,
        "title": panel.title,
        "description": "\n\n".join(f"{_legend(shown)}: {shown.help}" for shown in panel.shows),
        "type": "timeseries",
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [_target(chr(ord("A") + place), shown) for place, shown in enumerate(panel.shows)],
    }


def _target(reference: str, shown: Metric | Ratio) -> dict[str, Any]:
    return {
        "refId": reference,
        "datasource": DATASOURCE,
        "expr": shown.query() if isinstance(shown, Metric) else shown.query,
        "legendFormat": " ".join([_legend(shown), *(f"{{{{{label}}}}}" for label in _labels(shown)), f"{{{{{RUN}}}}}"]),
    }


def _legend(shown: Metric | Ratio) -> str:
    """What a curve is called: "open problems"."""
    if isinstance(shown, Ratio):
        return shown.name
    return shown.name.removeprefix("parsimony_").removesuffix("_total").removesuffix("_seconds").replace("_", " ")


def _labels(shown: Metric | Ratio) -> tuple[str, ...]:
    # A replica's name says its role.
    return tuple(label for label in shown.labels if label != "role" or "replica" not in shown.labels)


if __name__ == "__main__":
    sys.stdout.write(as_text())
