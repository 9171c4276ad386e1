"""The page on the library and a notebook's cell, run as they stand, on scripted engines and a Ray of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    """The Python of a page, block by block."""
    text = (ROOT / "docs" / page).read_text()
    return [part.partition("\n```")[0] for part in text.split("```python\n")[1:]]


NOTEBOOK = """
import asyncio
import parsimony
from parsimony import Expand, Until, choose_by_vote


def mine(root, *, limits, num_samples):
    reply = yield Expand(((root, num_samples),), Until.END, limits.max_tokens)
    return choose_by_vote(reply.paths, None)


async def cell():
    run = parsimony.score(rows, recipe="examples/arithmetic/dry-run.toml", output=folder + "/mine", strategy=mine,
                          settings={"strategy.options.num_samples": 2})
    print(run.finished, run.problems()["num_samples"].to_pylist())
    found = parsimony.compare(rows, recipe="examples/arithmetic/dry-run.toml", output=folder + "/compared",
                              strategies=["majority:num_samples=2", "best-of-n:num_samples=2"])
    print(found.settings["setting"].to_pylist(), found.problems.num_rows)
"""


@pytest.mark.ray
@pytest.mark.long
def test_the_page_on_the_library_and_a_notebooks_cell_run(tmp_path: Path) -> None:
    """On scripted engines; the strategy is defined where no module can be imported from."""
    page = [block.replace("runs/library", f"{tmp_path}/library") for block in blocks("library.md")]
    script = "\n".join([*page, f"folder = {str(tmp_path)!r}", NOTEBOOK, "asyncio.run(cell())"])
    (tmp_path / "cells.py").write_text(script)
    ended = subprocess.run(
        [sys.executable, tmp_path / "cells.py"], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "True [2, 2]" in ended.stdout
    assert "['majority:num_samples=2', 'best-of-n:num_samples=2'] 4" in ended.stdout
