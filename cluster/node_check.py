"""What a node must have before a replica begins on it: the driver's own code, and the folders of models.

The driver says what it expects (`Expected`); a node says what it finds. On a node that was there at the start a task
asks (`cluster.nodes.unfit`), before anything is loaded anywhere; on one that comes later the replica's own process,
before it reads what its builder is: another version of the code could not even read that.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("records", "scaling", "actors", "cluster", "jobs")
MODEL_FILE, MARK_OF_ADAPTER = "config.json", "adapter_config.json"
"""Every folder of a model has one, and every folder of an adapter."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What every node has to have: this code, and these folders, each with the setting that names it."""

    code: str
    folders: tuple[tuple[str, str], ...] = ()


@cache
def code_identity() -> str:
    """The version of Parsimony here, with a hash of its sources: a checkout changes without its version."""
    try:
        version = metadata.version("parsimony")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{file.relative_to(ROOT).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{version}, code {digest.hexdigest()[:12]}"


def mistakes(expected: Expected) -> list[str]:
    """What this node lacks, a sentence each without a subject; empty where it has all."""
    found = code_identity()
    if _sources(found) != _sources(expected.code):
        both = f"runs Parsimony {found}, and the driver runs {expected.code}"
        return [f"{both}: give all nodes the same one, by their image or by the working directory of parsimony submit"]
    said = (_folder_mistake(key, Path(folder)) for key, folder in expected.folders)
    return [sentence for sentence in said if sentence is not None]


def mistakes_as_told(code: str, folders: Sequence[tuple[str, str]]) -> list[str]:
    """`mistakes` by plain values: whoever has another version of this module reads them too."""
    return mistakes(Expected(code, tuple((str(key), str(folder)) for key, folder in folders)))


def _sources(identity: str) -> str:
    """The hash in an identity: what a checkout says of its version does not count."""
    return identity.rpartition(" ")[2]


def _folder_mistake(key: str, folder: Path) -> str | None:
    if not folder.is_dir():
        return f"has no folder {folder}, which {key} names: put it there, or name one under s3://"
    adapter = key.endswith(".adapter")
    file, what = (MARK_OF_ADAPTER, "adapter") if adapter else (MODEL_FILE, "model")
    if not (folder / file).is_file():
        return f"has a folder {folder}, which {key} names, without {file}: put the whole {what} there"
    return None
