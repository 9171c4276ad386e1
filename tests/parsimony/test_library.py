"""`import parsimony`: light, whole, and the same as the commands behind it."""

import ast
import asyncio
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parsimony
from jobs.recipes.load import load_recipe
from parsimony.inputs import as_in_a_program, overrides_of, problem_file, strategy_overrides, toml
from parsimony.runs import open_run
from records.failure import Failure, InvalidInput, StrategyFailed
from tests.support import plugins
from tests.support.stored_runs import RECIPE, stored_run

ROOT = Path(__file__).parents[2]
ROWS = [{"question": f"What is {index} + 1?", "answer": str(index + 1)} for index in range(3)]


def test_importing_it_loads_nothing() -> None:
    heavy = ("torch", "vllm", "ray", "numpy", "pyarrow", "pydantic", "scipy", "rich")
    probe = f"import sys, parsimony; print([name for name in {heavy!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(parsimony.__all__) == sorted(parsimony._HOME_OF) == dir(parsimony)
    for name in parsimony.__all__:
        assert getattr(parsimony, name).__doc__ or name == "Strategy", name
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        parsimony.scores  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "parsimony/__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == parsimony._HOME_OF


def test_api_pages_have_every_public_name() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    wanted = {f"::: {home}.{name}" for name, home in parsimony._HOME_OF.items() if name != "Strategy"}
    assert wanted == {line for line in pages.splitlines() if line.startswith(":::")}


# --- what is given


@pytest.mark.parametrize("kind", ["rows", "arrow", "polars", "pandas"])
def test_problems_are_rows_or_anybodys_table(kind: str) -> None:
    pd = pytest.importorskip("pandas") if kind == "pandas" else None
    made = {"rows": lambda: ROWS, "arrow": lambda: pa.Table.from_pylist(ROWS), "polars": lambda: pl.DataFrame(ROWS)}
    problems = pd.DataFrame(ROWS) if pd is not None else made[kind]()
    with problem_file(problems) as file:
        assert pl.read_parquet(file).to_dicts() == ROWS
    assert not Path(file).exists()


@pytest.mark.parametrize("problems", [7, [], [1], object(), ["question"]])
def test_other_problems_are_refused(problems: object) -> None:
    with pytest.raises(InvalidInput, match="is no file, table"), problem_file(problems):
        pass


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab ", min_size=1), inner, max_size=2)
)


@given(VALUES)
def test_settings_travel_as_they_are(value: object) -> None:
    assert tomllib.loads(f"value = {toml(value)}") == {"value": value}


def test_settings_are_overrides_of_the_recipe() -> None:
    settings = {
        "strategy.num_samples": 3,
        "generator.prompt_template": '{question} "x = 1"',
        "budget.total_tokens": None,
    }
    recipe = load_recipe(RECIPE, overrides_of(settings))
    assert (recipe.strategy.arguments["num_samples"], recipe.generator.prompt_template) == (3, '{question} "x = 1"')
    with pytest.raises(InvalidInput, match="is no text, number"):
        overrides_of({"seed": object()})


def test_a_function_is_named_where_it_can_be_found_again() -> None:
    assert strategy_overrides(plugins.first_of) == ("strategy.name=tests.support.plugins:first_of",)
    assert strategy_overrides("majority") == ("strategy.name=majority",)
    with pytest.raises(InvalidInput, match="top level of a module"):
        strategy_overrides(lambda root: None)


# --- what comes back


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 10 problems."""
    run = tmp_path_factory.mktemp("library") / "run"
    stored_run(run, "strategy={name='best-of-n', num_samples=4}")
    return run


def test_tables_come_as_whoever_reads_them_wants(folder: Path) -> None:
    pytest.importorskip("pandas")
    run = parsimony.open_run(folder)
    assert run.finished
    assert (run.num_problems, run.recipe["strategy"]["name"]) == (10, "best-of-n")
    columns = ["problem_id", "answer", "correct"]
    arrow = run.problems(columns=columns)
    assert run.problems("polars", columns).to_dicts() == arrow.to_pylist()
    assert run.problems("pandas", columns)["problem_id"].tolist() == arrow["problem_id"].to_pylist()
    assert run.steps().num_rows >= run.requests().num_rows > 0
    assert run.rollouts().num_rows == 0
    assert run.summary().problems["succeeded"] == 10
    with pytest.raises(InvalidInput, match=r"problems has no answr; it has problem_id"):
        run.problems(columns=["answr"])
    with pytest.raises(InvalidInput, match="must be arrow, pandas or polars"):
        run.problems(as_="numpy")  # type: ignore[arg-type]


def test_what_is_no_run_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is not a run"):
        parsimony.open_run(tmp_path)


async def test_replay_works_where_a_loop_runs_as_in_a_notebook(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    again = parsimony.replay(folder, settings={"strategy.name": "majority"}, sweeps={"strategy.num_samples": [1, 2]})
    assert asyncio.get_running_loop() is loop
    assert again.table.num_rows == 20
    assert [setting.recipe.strategy.arguments["num_samples"] for setting, *_ in again.summary.settings] == [1, 2]
    with pytest.raises(InvalidInput, match="strategy"), as_in_a_program():
        parsimony.replay(open_run(folder), settings={"strategy.name": "no-such"})
    assert asyncio.get_running_loop() is loop


def test_a_strategy_of_ones_own_is_tried_on_the_toy() -> None:
    problem = parsimony.ToyProblem(p=1.0)
    assert parsimony.toy_run(plugins.first_of, problem, num_samples=3).answer == "right"
    assert problem.num_samples == 3
    with pytest.raises(StrategyFailed, match="returns_nothing returned None"):
        parsimony.toy_run(plugins.returns_nothing, parsimony.ToyProblem(p=1.0))


# --- pages


def blocks(page: str) -> list[str]:
    """The Python of a page, block by block."""
    text = (ROOT / "docs" / page).read_text()
    return [part.partition("\n```")[0] for part in text.split("```python\n")[1:]]


def test_the_page_on_writing_a_strategy_is_right(tmp_path: Path) -> None:
    module, test = blocks("writing-a-strategy.md")
    (tmp_path / "my_strategies.py").write_text(module)
    (tmp_path / "test_mine.py").write_text(test)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout
