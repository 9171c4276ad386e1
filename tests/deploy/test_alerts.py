"""The alert rules, by Prometheus' own promtool: each fires where it should, and not where it nearly should."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from records.metrics import METRICS
from tests.services.debian import CannotStart
from tests.services.prometheus import program, required

pytestmark = pytest.mark.slow

RULES = Path(__file__).resolve().parents[2] / "deploy/prometheus"
FILES = ("alerts.yaml", "alerts_test.yaml")


@pytest.fixture(scope="module")
def promtool() -> Iterator[Path]:
    """Prometheus' tool for rules, of its Debian package."""
    with tempfile.TemporaryDirectory(prefix="promtool-") as folder:
        try:
            yield program(Path(folder)).with_name("promtool")
        except CannotStart as why:
            if required():
                raise
            pytest.skip(f"no promtool: {why}")


def run(promtool: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *words], capture_output=True, text=True, timeout=120, check=False)


def alerts() -> dict[str, dict[str, str]]:
    [group] = yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_prometheus_takes_the_rules_and_each_alert_does_what_it_says(promtool):
    checked = run(promtool, "check", "rules", RULES / "alerts.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(alerts())} rules found" in checked.stdout
    tested = run(promtool, "test", "rules", RULES / "alerts_test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_shown_to_fire_and_not_to_fire():
    shown: dict[str, set[bool]] = {name: set() for name in alerts()}
    for test in yaml.safe_load((RULES / "alerts_test.yaml").read_text())["tests"]:
        for one in test["alert_rule_test"]:
            shown[one["alertname"]].add(bool(one["exp_alerts"]))
    assert all(outcomes == {True, False} for outcomes in shown.values()), shown


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("> 300", "> 500"),
        ("[30m]))", "[30m]) * 0)"),
        ('status="failed"', 'status="faild"'),
        ("replica_up) == 0", "replica_up) == 1"),
        ("< 0.3", "< 0.05"),
        ("/ ray_parsimony_cap_usd) > 0.9", "/ ray_parsimony_cap_usd) > 0.99"),
        ("for: 2m", "for: 20m"),
    ],
)
def test_a_rule_that_says_something_else_is_found_out(promtool, tmp_path, there, instead):
    for file in FILES:
        (tmp_path / file).write_text((RULES / file).read_text())
    rules = (RULES / "alerts.yaml").read_text()
    assert there in rules
    (tmp_path / "alerts.yaml").write_text(rules.replace(there, instead))
    assert run(promtool, "test", "rules", tmp_path / "alerts_test.yaml").returncode != 0


def test_rules_are_about_metrics_that_there_are():
    used = {name for rule in alerts().values() for name in re.findall(r"ray_parsimony_\w+", rule["expr"])}
    assert used
    assert used <= {metric.exported for metric in METRICS}
