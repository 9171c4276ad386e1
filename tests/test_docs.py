"""README and docs: what they name exists."""

import re
from pathlib import Path

import pytest

from jobs.command_line.commands import COMMANDS
from jobs.describing.page import reference_page
from jobs.describing.schema import SCHEMA_FILE, schema_text
from jobs.exporting.layouts import LAYOUTS
from jobs.recipes.load import load_recipe
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


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_a_recipe_that_is_shown_whole_is_one(page, tmp_path):
    [shown] = re.findall(r"^```toml\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    recipe = tmp_path / "my.toml"
    recipe.write_text(shown)
    assert load_recipe(recipe).budget.total_tokens == 50_000_000


def test_every_room_is_on_the_map():
    page = (ROOT / "docs/architecture.md").read_text()
    packages = ("records", "scaling", "actors", "cluster", "jobs")
    rooms = [folder.parent for package in packages for folder in (ROOT / package).rglob("__init__.py")]
    named = {str(room.relative_to(ROOT)) for room in rooms}
    assert named <= set(re.findall(r"^\| `([\w/]+)/` \|", page.partition("\n## The map\n")[2], re.MULTILINE))


@pytest.mark.parametrize(("mark", "heading"), [
    ("long", "What only `make test-all` has"),
    ("ci", "What only `make test-ci` and `make test-all` have"),
])  # fmt: skip
def test_what_a_later_tier_has_is_listed(mark, heading):
    section = (ROOT / "docs/testing.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    listed = re.findall(r"`(?:[\w/]+/)?(test_\w+\.py)`", section)
    files = (file for file in (ROOT / "tests").rglob("test_*.py") if re.search(rf"\bmark\.{mark}\b", file.read_text()))
    assert {file.name for file in files} - {"test_docs.py"} <= set(listed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_a_heading_find_it(page):
    for target, heading in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", page.read_text()):
        headings = re.findall(r"^#+ (.+)$", (page.parent / target if target else page).read_text(), re.MULTILINE)
        assert heading in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}, target


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


def test_the_reference_of_recipes_is_the_codes():
    """Otherwise: parsimony recipe keys --markdown > docs/recipe.md."""
    assert (ROOT / "docs/recipe.md").read_text() == reference_page()


def test_the_schema_of_recipes_is_the_codes():
    """Otherwise: parsimony recipe keys --json-schema > jobs/describing/recipe.schema.json."""
    assert (ROOT / "jobs/describing" / SCHEMA_FILE).read_text() == schema_text()
