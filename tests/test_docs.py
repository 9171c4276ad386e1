"""README and docs: what they name exists."""

import re
from pathlib import Path

import pytest

from jobs.command_line.commands import COMMANDS
from jobs.exporting.layouts import LAYOUTS
from jobs.recipes.strategies.registry import STRATEGIES
from records.schemas import SCHEMAS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_column_is_documented(table):
    section = (ROOT / "docs/tables.md").read_text().partition(f"## {table}:")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| ([\w, ]+) \|", section, re.MULTILINE)
    columns = {name.strip() for row in documented for name in row.split(",")}
    assert set(SCHEMAS[table].names) - {"problem_id"} <= columns


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_column_of_an_export_is_documented_and_no_other(layout):
    section = (ROOT / "docs/export.md").read_text().partition(f"\n## {layout}\n")[2].partition("\n## ")[0]
    documented = [name for row in re.findall(r"^\| ([\w, ]+) \|", section, re.MULTILINE) for name in row.split(", ")]
    assert sorted(documented) == sorted({*LAYOUTS[layout].schema.names, "column"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_every_command_in_the_readme_exists():
    commands = set(re.findall(r"^ *parsimony ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert commands == set(COMMANDS)


STRATEGY_SECTIONS = {
    name: section
    for page in ("strategies.md", "rival-strategies.md")
    for name, section in re.findall(
        r"^## ([a-z][a-z-]+)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL
    )
}


@pytest.mark.parametrize("name", STRATEGY_SECTIONS)
def test_a_strategy_is_documented_with_its_options(name):
    rows = [row.split("|")[1:3] for row in STRATEGY_SECTIONS[name].splitlines() if row.startswith("| `")]
    documented = [
        (option, default)
        for options, defaults in rows
        for option, default in zip(re.findall(r"`(\w+)`", options), defaults.replace("`", "").split(","), strict=True)
    ]
    fields = STRATEGIES[name].options.model_fields
    assert sorted(option for option, _ in documented) == sorted(set(fields) - {"name"})
    for option, default in documented:
        value = {"none": None, "false": False, "true": True}.get(default.strip(), default.strip())
        assert fields[option].default in (value, float(value) if re.fullmatch(r"[\d.]+", str(value)) else value)
