"""docs/operations.md: each command that needs no cluster runs as it stands there; what is quoted is said somewhere."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.services.debian import CannotStart
from tests.services.prometheus import program, required
from tests.support.scripted import KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()
EXAMPLE = ROOT / "examples/arithmetic"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line for language, block in BLOCKS for line in block.splitlines() if language == "sh"]
NEEDS = {"docker", "kubectl apply", "kubectl create", "kubectl -n", "export RAY_AUTH_TOKEN", "parsimony submit"}
"""How lines begin that need a cluster, a registry or a dashboard."""
LIMIT_S = 600


def test_only_what_needs_something_else_is_left_out():
    others = [line for language, block in BLOCKS for line in block.splitlines() if language != "sh"]
    assert others
    assert LINES
    assert [line for line in others if not line.startswith(tuple(NEEDS))] == []


@pytest.fixture(scope="module")
def desk() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder like a checkout in which a user works, and the environment in which the page's programs are found."""
    with tempfile.TemporaryDirectory(prefix="operations-") as made:
        folder = Path(made)
        programs = [Path(sys.executable).parent]
        try:
            programs.append(program(folder).parent)
        except CannotStart as why:
            if required():
                raise
            pytest.skip(f"no promtool: {why}")
        work = folder / "work"
        work.mkdir()
        for name in ("deploy", "cluster"):
            (work / name).symlink_to(ROOT / name)
        problems = (EXAMPLE / "test.jsonl").read_text().splitlines(keepends=True)
        (work / "my.jsonl").write_text("".join(problems[:20]))
        (work / "my.toml").write_text(
            "".join(f'{role}.kind = "scripted"\n' for role in ("generator", "prm"))
            + f'script.answers = "{EXAMPLE / "test.jsonl"}"\n'
            + '[strategy]\nname = "best-of-n"\nnum_samples = 4\n[grader]\nkind = "numeric"\n'
        )
        assert len(KINDS) == 2
        path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
        yield work, {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.parametrize("line", dict.fromkeys(LINES), ids=lambda line: " ".join(line.split()[:3]))
def test_a_command_of_the_page_runs(desk, line):
    work, environment = desk
    if shutil.which(line.split()[0], path=environment["PATH"]) is None:
        assert line.startswith("kubectl"), line  # the one program that no package of ours brings
        pytest.skip("no kubectl")
    done = subprocess.run(
        ["/bin/bash", "-ec", line],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


SYMPTOMS = re.findall(r'^\| "([^"]+)" \|', PAGE, re.MULTILINE)


@pytest.mark.parametrize("quoted", SYMPTOMS)
def test_a_message_that_the_page_quotes_is_said(quoted):
    packages = ("actors", "cluster", "jobs", "records", "scaling")
    sources = (file.read_text() for package in packages for file in (ROOT / package).rglob("*.py"))
    assert any(quoted in re.sub(r'"\s*\n\s*f?"', "", source) for source in sources)


def test_every_alert_is_on_the_page_with_its_severity():
    [group] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    told = dict(re.findall(r"^\| `(Parsimony\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in group["rules"]}
    assert f"has {['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'][len(told)]}," in PAGE
