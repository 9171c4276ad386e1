"""The pages of a newcomer's path, followed to the letter: every command, file and line of Python that they show.

On scripted engines, so the paths of models that the pages show are not looked for; the README is as short as it says.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripted import KINDS, sets

ROOT = Path(__file__).parents[2]
PAGES = ("first-run", "own-data", "what-came-out")


def blocks(page: str, language: str) -> list[str]:
    """What stands between fences of that language; "" for commands."""
    fenced = (ROOT / f"docs/{page}.md").read_text().split("```")[1::2]
    return [text for block in fenced for name, _, text in [block.partition("\n")] if name == language]


def commands(page: str) -> list[list[str]]:
    """The words of each command of a page."""
    lines = (line for block in blocks(page, "") for line in block.replace("\\\n", " ").splitlines())
    found = [words for line in lines if (words := shlex.split(line, comments=True))]
    assert all(words[0] == "parsimony" for words in found)
    return [words[1:] for words in found]


def run(arguments: list[str], folder: Path) -> str:
    """Run Python there; what it said."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    looked = "doctor" in arguments and ended.returncode == 1  # what is tight on the tests' machine is its own business
    assert ended.returncode == 0 or looked, f"{arguments}: {ended.stderr}"
    return ended.stdout


@pytest.mark.ray
@pytest.mark.ci
def test_every_command_of_the_path_runs_as_it_stands_there(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    said: dict[str, str] = {}
    for page in PAGES:
        for name, language in (("my.jsonl", "json"), ("my.toml", "toml")):
            for shown in blocks(page, language):
                (tmp_path / name).write_text(shown)
        for words in commands(page):
            scripted = sets(*KINDS) if words[0] in ("check", "score") else []
            said[" ".join(words)] = run(["-m", "jobs.cli", *words, *scripted], tmp_path)
        for script in blocks(page, "python"):
            said[page] = run(["-c", script], tmp_path)
    assert len(said) == 11
    assert "8 of 8: 8 succeeded" in said["status runs/first"]
    assert said["what-came-out"].startswith("2 ")
    assert (tmp_path / "mine.html").stat().st_size > 10_000
    assert {"replayed", "small", "dry"} <= {path.name for path in (tmp_path / "runs").iterdir()}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
