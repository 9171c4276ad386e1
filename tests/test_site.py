"""The site of docs/ and the API pages is built without a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.ci
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    said = [line for line in ended.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert said == []
    page = (tmp_path / "site/api/running/index.html").read_text()
    assert "one that is there is gone on with" in page, "arguments come from the docstrings"
    assert "parsimony.running.score" in page
