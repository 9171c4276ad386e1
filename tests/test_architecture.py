"""The rules of the design, section 2, as tests: who may import whom, what stays small, what stays light."""

import ast
import pickle
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from setuptools import find_packages

from records import failure
from records.failure import Failure

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("records", "scaling", "actors", "cluster", "jobs", "parsimony")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

LOGGERS = {
    "wandb_logger.py": {"wandb"},
    "mlflow_logger.py": {"mlflow"},
    "tensorboard_logger.py": {"tensorboardX"},
}
"""Clients of services: each only in the module of its own in jobs/loggers."""
ARROWS = {
    "records": {"records", "pyarrow"},
    "scaling": {"scaling", "records", "numpy", "scipy", "sklearn", "mpmath", "regex"},
    "actors": {"actors", "scaling", "records", "pyarrow", "numpy", "math_verify", "latex2sympy2_extended"},
    "cluster": {"cluster", "records", "ray", "aiohttp", "boto3", "botocore", "huggingface_hub", "msgspec", "yaml"},
    "jobs": {*PACKAGES, "pyarrow", "numpy", "pydantic", "rich", "matplotlib", "jinja2"} - {"parsimony"},
    "parsimony": {*PACKAGES, "pyarrow", "polars"},
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


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def packages_of(names: Iterator[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_imports_follow_the_arrows() -> None:
    wrong = []
    for path in MODULES:
        in_engines = path.is_relative_to(ROOT / "actors" / "engines")
        allowed = ARROWS[path.relative_to(ROOT).parts[0]] | {"_typeshed", *sys.stdlib_module_names}
        used = packages_of(all_imports(parsed(path))) - allowed - (ENGINE_ONLY if in_engines else set())
        used -= LOGGERS.get(path.name, set()) if path.parent.name == "loggers" else set()
        wrong += [f"{module_name(path)} imports {name}" for name in sorted(used)]
    assert wrong == []


def test_engines_are_imported_inside_functions() -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in MODULES
        for name in sorted(packages_of(imports_at_load(parsed(path))) & ENGINE_ONLY)
    ]
    assert wrong == []


def test_no_import_is_relative() -> None:
    relative = [
        module_name(path)
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_modules_have_no_cycles() -> None:
    graph = {module_name(path): {name for name in imports_at_load(parsed(path)) if name in NAMES} for path in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the cycle
    assert set(order) == NAMES


# --- folders

MOST_MODULES = 20


def test_folders_are_small() -> None:
    sources = [path for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py")]
    sizes = Counter(str(path.parent.relative_to(ROOT)) for path in sources if path.name != "__init__.py")
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def folder_name(module: str) -> str:
    """Where a module lies; a package is its folder's own."""
    return module if ROOT.joinpath(*module.split(".")).is_dir() else module.rpartition(".")[0]


def imports_between_folders() -> dict[str, dict[str, set[str]]]:
    """Folder -> folder that it imports from -> by which lines; also inside functions. Parent and child are one room."""
    graph: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in MODULES:
        importer = module_name(path)
        for name in all_imports(parsed(path)):
            one, other = folder_name(importer), folder_name(name) if name in NAMES else folder_name(importer)
            if not f"{one}.".startswith(f"{other}.") and not f"{other}.".startswith(f"{one}."):
                graph[one][other].add(f"{importer} imports {name}")
    return graph


def reachable(graph: dict[str, dict[str, set[str]]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = set(graph.get(todo.pop(), {})) - found
        found |= new
        todo += new
    return found


def test_folders_have_no_circles() -> None:
    graph = imports_between_folders()
    ahead = {folder: reachable(graph, folder) for folder in list(graph)}
    circles = [
        f"{one} -> {other}: {', '.join(sorted(lines))}"
        for one, others in graph.items()
        for other, lines in others.items()
        if one in ahead.get(other, set())
    ]
    assert sorted(circles) == []


# --- names

OF_EVERY_COMMAND = {"run", "COMMAND", "main"}
"""What each command's module calls by the same name."""


def public_names(path: Path) -> set[str]:
    """What a module defines at its top: functions, classes, constants, types and type variables."""
    found: set[str] = set()
    for node in parsed(path).body:
        names: list[str] = []
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        found |= {name for name in names if not name.startswith("_")}
    return found - OF_EVERY_COMMAND


def test_public_names_are_unique_within_a_package() -> None:
    homes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in MODULES:
        for name in public_names(path):
            homes[path.relative_to(ROOT).parts[0], name].append(module_name(path))
    assert [f"{name}: {', '.join(found)}" for (_, name), found in homes.items() if len(found) > 1] == []


# --- what is loaded


def heavy_modules_loaded_by(*packages: str) -> list[str]:
    """What a fresh interpreter has loaded after importing every module of these packages."""
    modules = sorted(name for name in NAMES if name.partition(".")[0] in packages)
    probe = f"import sys, {', '.join(modules)}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_importing_the_light_packages_loads_nothing_heavy() -> None:
    assert heavy_modules_loaded_by("records", "scaling", "jobs", "actors", "parsimony") == []


# --- what a module is like


def test_modules_and_functions_are_small() -> None:
    long = [
        f"{module_name(path)}: {lines} lines" for path in MODULES if (lines := len(path.read_text().splitlines())) > 300
    ]
    long += [
        f"{module_name(path)}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


def test_modules_open_with_a_docstring() -> None:
    assert [module_name(path) for path in MODULES if not ast.get_docstring(parsed(path))] == []


def failures() -> list[type[Failure]]:
    return [item for item in vars(failure).values() if isinstance(item, type) and issubclass(item, Failure)]


def test_failures_survive_pickling() -> None:
    assert failures()
    for kind in failures():
        copy = pickle.loads(pickle.dumps(kind("what happened")))  # noqa: S301
        assert type(copy) is kind
        assert copy.args == ("what happened",)


def test_failures_are_raised_with_one_message() -> None:
    names = {kind.__name__ for kind in failures()}
    wrong = [
        f"{module_name(path)}: {ast.unparse(call)}"
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Raise)
        and isinstance(call := node.exc, ast.Call)
        and ast.unparse(call.func) in names
        and (len(call.args) != 1 or call.keywords or isinstance(call.args[0], ast.Starred))
    ]
    assert wrong == []


def test_one_place_prints() -> None:
    """What reaches a terminal goes through the sanitiser of `jobs.display`; other processes write to pipes and logs."""
    elsewhere = {"jobs.display.terminal", "jobs.display.consoles", "actors.engines.probe", "cluster.dashboard"}
    printing = re.compile(r"(?<![\w.])print\(|sys\.std(?:out|err)\.write|(?<![\w.`])Console\(")
    found = {module_name(path) for path in MODULES if printing.search(path.read_text())}
    assert {name for name in found - elsewhere if not name.startswith("actors.grading")} == set()


def test_nothing_is_left_to_do() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" + "XX", "breakpoint" + "()")
    sources = [
        *MODULES,
        *(path for folder in ("tests", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
    ]
    texts = {path: path.read_text() for path in sources}
    found = [f"{path.relative_to(ROOT)}: {word}" for path, text in texts.items() for word in words if word in text]
    assert found == []


def test_sources_are_ascii() -> None:
    assert [str(path) for path in MODULES if not path.read_bytes().isascii()] == []


def test_no_test_folder_shadows_a_package() -> None:
    assert [path for path in (ROOT / "tests").rglob("__init__.py") if path.parent != ROOT / "tests"] == []


def test_every_package_is_shipped() -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    shipped = {ROOT.joinpath(*name.split(".")) for name in find_packages(str(ROOT), include=include)}
    assert {path.parent for path in MODULES} - shipped == set()
