"""The image: linted by hadolint, of the pinned lists, not root; built where a builder reaches a registry."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"
HADOLINT = Path(sys.executable).parent / "hadolint"
BUILD_S = 3600


def lint(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, file], capture_output=True, text=True, timeout=60, check=False)


def test_hadolint_has_nothing_to_say():
    done = lint(DOCKERFILE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("line", ["RUN cd /tmp", "RUN pip install numpy", "FROM debian:latest", "USER root", "RUNN ls"])
def test_hadolint_would_say_it(tmp_path, line):
    file = tmp_path / "Dockerfile"
    file.write_text(f"{DOCKERFILE.read_text()}\n{line}\n")
    assert lint(file).returncode != 0


def test_the_image_is_made_in_stages_of_the_pinned_lists_and_runs_as_nobody_special():
    text = DOCKERFILE.read_text()
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2
    [uid] = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert uid == "1000:1000"
    assert "runAsUser: 1000" in (ROOT / "deploy/kuberay/base/cluster/raycluster.yaml").read_text()
    assert re.findall(r"requirements/(\w+)\.txt", text) == ["cpu", "cpu", "rest", "rest", "rest"]
    assert '"requirements/${DEVICE}.txt"' in text
    assert text.count("--no-deps") == 2  # nothing is resolved
    assert "ARG PYTHON_IMAGE=python:3.11-" in text


def test_what_is_left_out_of_the_image_is_not_needed_in_it():
    left_out = (ROOT / ".dockerignore").read_text().split("\n", 1)[1].split()
    assert not {"examples", "jobs", "cluster", "actors", "scaling", "records", "requirements"} & set(left_out)
    assert {".git", ".venv", "runs"} <= set(left_out)


def builder() -> str | None:
    """A program that builds images here; None if none answers."""
    for program in ("docker", "podman", "buildah"):
        if shutil.which(program):
            answer = subprocess.run([program, "info"], capture_output=True, timeout=60, check=False)
            if answer.returncode == 0:
                return program
    return None


@pytest.mark.long
def test_the_image_is_built_and_has_a_command_line():
    program = builder()
    if program is None:
        pytest.skip("no builder of images: docker, podman or buildah, that answers")
    base = "docker.io/library/python:3.11-slim-bookworm"
    if subprocess.run([program, "pull", base], capture_output=True, timeout=600, check=False).returncode != 0:
        pytest.skip(f"{program} reaches no registry that has {base}")
    tag = "parsimony-test:cpu"
    build = [program, "build", "--file", DOCKERFILE, "--build-arg", "DEVICE=cpu", "--tag", tag, ROOT]
    built = subprocess.run(build, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    say = "id -u && parsimony --version && ray --version && python -m jobs.score --help"
    told = subprocess.run(
        [program, "run", "--rm", tag, "bash", "-lc", say], capture_output=True, text=True, timeout=300, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("1000\nparsimony 0.1.0\n")
