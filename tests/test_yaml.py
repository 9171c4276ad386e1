"""Every YAML file of the repository has a checker, and no key of one can be misspelt without being told."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.yaml_checks import CHECKS, misspelt

ROOT = Path(__file__).parent.parent


def files() -> list[str]:
    """What git knows, or would add."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*.yaml", "*.yml"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (FileNotFoundError, subprocess.CalledProcessError):  # no checkout
        listed = [str(file.relative_to(ROOT)) for file in ROOT.rglob("*.y*ml") if ".venv" not in file.parts]
    return sorted(set(listed))


def test_each_file_has_a_checker():
    assert set(files()) == set(CHECKS)


@pytest.mark.parametrize("file", CHECKS)
def test_a_file_is_right_and_no_key_can_be_misspelt(file):
    check = CHECKS[file]
    document = yaml.safe_load((ROOT / file).read_text())
    assert check(document) == []
    tried = dict(misspelt(document))
    assert len(tried) > 3
    assert [path for path, changed in tried.items() if not check(changed)] == []
