"""The rules of the design, section 2, as tests: who may import whom, what stays small, what stays light."""

import ast
import pickle
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from setuptools import find_packages

from records import failure
from records.failure import Failure

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("records", "scaling", "actors", "cluster", "jobs")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in MODULES]

ARROWS = {
    "records": {"records", "pyarrow"},
    "scaling": {"scaling", "records", "numpy", "scipy", "sklearn"},
    "actors": {"actors", "scaling", "records", "pyarrow", "numpy", "math_verify", "latex2sympy2_extended"},
    "cluster": {"cluster", "records", "ray", "aiohttp", "boto3", "botocore"},
    "jobs": {*PACKAGES, "pyarrow", "numpy", "pydantic", "rich", "matplotlib", "jinja2"},
}
"""What each package may import besides the standard library. Jobs: jinja2 for its autoescape, a report is a page."""
ENGINE_ONLY = {"vllm", "torch", "peft", "transformers", "safetensors", "tokenizers", "jinja2", "gguf"}
"""Only under actors/engines, only inside functions."""
HEAVY = ("torch", "vllm", "ray", "transformers", "matplotlib")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {module_name(path) for path in MODULES}


def imported(node: ast.AST) -> list[str]:
    """The modules that one import statement names; `from a import b` gives a.b where that is a module of ours."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        return [full if (full := f"{base}.{alias.name}") in NAMES else base for alias in node.names]
    return []


def deferred(node: ast.AST) -> bool:
    """A part of a module that does not run when it is imported."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return True
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "__name__ == '__main__'"}


def imports_at_load(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        yield from imported(child)
        if not deferred(child):
            yield from imports_at_load(child)


def all_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        yield from imported(node)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_imports_follow_the_arrows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    in_engines = path.is_relative_to(ROOT / "actors" / "engines")
    allowed = ARROWS[package] | {"_typeshed", *sys.stdlib_module_names} | (ENGINE_ONLY if in_engines else set())
    used = {name.partition(".")[0] for name in all_imports(ast.parse(path.read_text()))}
    assert used - allowed == set()


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_engines_are_imported_inside_functions(path: Path) -> None:
    at_load = {name.partition(".")[0] for name in imports_at_load(ast.parse(path.read_text()))}
    assert at_load & ENGINE_ONLY == set()


def test_no_import_is_relative() -> None:
    relative = [
        module_name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_modules_have_no_cycles() -> None:
    graph = {
        module_name(path): {name for name in imports_at_load(ast.parse(path.read_text())) if name in NAMES}
        for path in MODULES
    }
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the cycle
    assert set(order) == NAMES


def heavy_modules_loaded_by(*packages: str) -> list[str]:
    """What a fresh interpreter has loaded after importing every module of these packages."""
    modules = sorted(name for name in NAMES if name.partition(".")[0] in packages)
    probe = f"import sys, {', '.join(modules)}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_importing_the_light_packages_loads_nothing_heavy() -> None:
    assert heavy_modules_loaded_by("records", "scaling", "jobs") == []


def test_importing_actors_loads_nothing_heavy() -> None:
    assert heavy_modules_loaded_by("actors") == []


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_modules_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_modules_open_with_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def failures() -> list[type[Failure]]:
    return [item for item in vars(failure).values() if isinstance(item, type) and issubclass(item, Failure)]


@pytest.mark.parametrize("kind", failures())
def test_failures_survive_pickling(kind: type[Failure]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what happened")))  # noqa: S301
    assert type(copy) is kind
    assert copy.args == ("what happened",)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_failures_are_raised_with_one_message(path: Path) -> None:
    names = {kind.__name__ for kind in failures()}
    raised = [node.exc for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise)]
    wrong = [
        ast.unparse(call)
        for call in raised
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in names
        and (len(call.args) != 1 or call.keywords or isinstance(call.args[0], ast.Starred))
    ]
    assert wrong == []


def test_nothing_is_left_to_do() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" + "XX", "breakpoint" + "()")
    sources = [
        *MODULES,
        *(path for folder in ("tests", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
    ]
    found = [f"{path.relative_to(ROOT)}: {word}" for path in sources for word in words if word in path.read_text()]
    assert found == []


def test_sources_are_ascii() -> None:
    assert [str(path) for path in MODULES if not path.read_bytes().isascii()] == []


def test_no_test_folder_shadows_a_package() -> None:
    assert [path for path in (ROOT / "tests").rglob("__init__.py") if path.parent != ROOT / "tests"] == []


def test_every_package_is_shipped() -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    shipped = {ROOT.joinpath(*name.split(".")) for name in find_packages(str(ROOT), include=include)}
    assert {path.parent for path in MODULES} - shipped == set()
