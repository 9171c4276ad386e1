"""Every YAML file of the repository has a checker, and no key of one can be misspelt without being told."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kuberay import (
    RAY_CLUSTER,
    RAY_JOB,
    NoSchemas,
    account_mistakes,
    kustomization_mistakes,
    resource_mistakes,
)
from tests.support.yaml_checks import (
    hooks_mistakes,
    misspelt,
    ray_cluster_mistakes,
    rules_mistakes,
    rules_test_mistakes,
)

ROOT = Path(__file__).parent.parent
OVERLAYS = ("cpu-cluster", "cpu-job", "gpu-cluster", "gpu-job")
CHECKS: dict[str, Callable[[Any], list[str]]] = {
    ".pre-commit-config.yaml": hooks_mistakes,
    "ray_cluster.yaml": ray_cluster_mistakes,
    RAY_CLUSTER: resource_mistakes,
    RAY_JOB: resource_mistakes,
    "deploy/kuberay/base/account/serviceaccount.yaml": account_mistakes,
    **{
        f"deploy/kuberay/base/{name}/kustomization.yaml": kustomization_mistakes
        for name in ("account", "cluster", "job")
    },
    **{f"deploy/kuberay/overlays/{name}/kustomization.yaml": kustomization_mistakes for name in OVERLAYS},
    "deploy/prometheus/alerts.yaml": rules_mistakes,
    "deploy/prometheus/alerts_test.yaml": rules_test_mistakes,
}
"""File -> what gives its mistakes, a sentence each."""
BUILT = {"mkdocs.yml"}
"""Held by `tests/test_site.py`: a key that MkDocs does not know is a warning, and the site is built without any."""


def files() -> list[str]:
    """What git knows, or would add."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*.yaml", "*.yml"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (FileNotFoundError, subprocess.CalledProcessError):  # no checkout
        listed = [str(file.relative_to(ROOT)) for file in ROOT.rglob("*.y*ml") if ".venv" not in file.parts]
    return sorted(set(listed))


def test_each_file_has_a_checker():
    assert set(files()) == set(CHECKS) | BUILT


@pytest.mark.parametrize("file", CHECKS)
def test_a_file_is_right_and_no_key_can_be_misspelt(file):
    check = CHECKS[file]
    document = yaml.safe_load((ROOT / file).read_text())
    try:
        assert check(document) == []
    except NoSchemas as why:
        pytest.skip(str(why))
    tried = dict(misspelt(document))
    assert len(tried) > 3
    assert [path for path, changed in tried.items() if not check(changed)] == []
