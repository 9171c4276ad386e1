"""README and docs: what they name exists."""

import re
from pathlib import Path

import pytest

from jobs.cli import COMMANDS
from records.schemas import SCHEMAS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_column_is_documented(table):
    section = (ROOT / "docs/tables.md").read_text().partition(f"## {table}:")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| ([\w, ]+) \|", section, re.MULTILINE)
    columns = {name.strip() for row in documented for name in row.split(",")}
    assert set(SCHEMAS[table].names) - {"problem_id"} <= columns


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_every_command_in_the_readme_exists():
    commands = set(re.findall(r"^ *parsimony ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert commands == set(COMMANDS)
