"""Models and problem files by their name on a hub, fetched once by huggingface_hub into its own cache.

    org/name --> org/name@commit        resolved before a run begins; the commit stands in the manifest
    org/name@commit --> folder          on each machine that needs it, downloaded once
    hf://datasets/org/name[@revision]/path --> the same with a commit --> file
    hf://datasets/org/name@~parquet/config/split --> the one file of that split that the hub itself has made as Parquet

`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they always do. Without a connection what the cache
holds is used.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from records.failure import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")
HUB_FILES = "hf://datasets/"
"""How addresses of files in a hub's datasets begin, as `huggingface_hub` writes them."""
_FILE = re.compile(rf"{HUB_FILES}([\w.-]+/[\w.-]+?)(?:@(~?[\w.-]+))?(?:/(.*))?")
_AS_PARQUET = {"~parquet": "refs/convert/parquet"}
"""What huggingface_hub calls the branch on which a hub keeps each split of a dataset as Parquet, and its name."""
_MAX_NAMED = 10
"""Files of a dataset in a message."""
SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.py")
"""All but weights: what a prompt is made with, and a few megabytes."""
WEIGHT_FILES = ("*.safetensors",)


def is_hub_name(model: str) -> bool:
    """Whether a model is named as hubs do, and is no folder of that name."""
    return _NAME.fullmatch(model) is not None and not Path(model).is_dir()


def pinned_hub_name(model: str) -> str:
    """The name with the commit that it means now; without a connection, the one that the cache holds.

    Raises:
        InvalidInput: there is no such model or revision, it may not be read, or nothing of it is here and the hub
            cannot be reached.
    """
    return f"{model.partition('@')[0]}@{_fetched(model, SMALL_FILES).name}"


def stage_hub_outline(model: str) -> Path:
    """The folder of a model without its weights. Raises as `pinned_hub_name`."""
    return _fetched(model, SMALL_FILES)


def stage_hub_folder(model: str) -> Path:
    """The folder of a model on this machine. Raises as `pinned_hub_name`."""
    folder = _fetched(model, (*SMALL_FILES, *WEIGHT_FILES))
    if not any(folder.glob("*.safetensors")):
        raise InvalidInput(
            f"{model}: no *.safetensors file of it is here: the hub has none, or cannot be reached; {_command(model)}"
        )
    return folder


def pinned_hub_file(address: str) -> str:
    """The address of a file in a dataset with the commit that it means now. Raises as `stage_hub_file`."""
    name, _, _ = _parts(address)
    folders = _fetched_file(address).parts
    at = folders.index("snapshots") + 1
    return f"{HUB_FILES}{name}@{folders[at]}/{'/'.join(folders[at + 1 :])}"


def stage_hub_file(address: str) -> Path:
    """A file of a dataset on this machine.

    Raises:
        InvalidInput: there is no such dataset, revision or file (then those that there are are named), it may not be
            read, or it is not here and the hub cannot be reached.
    """
    return _fetched_file(address)


def _parts(address: str) -> tuple[str, str | None, str]:
    """Name, revision and path within, which may be a folder's."""
    found = _FILE.fullmatch(address)
    if found is None:
        raise InvalidInput(f"{address}: is no file of a dataset; they are written {HUB_FILES}ORG/NAME[@REVISION]/PATH")
    return found[1], _AS_PARQUET.get(found[2], found[2]), (found[3] or "").strip("/")


@cache
def _fetched_file(address: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, revision, path = _parts(address)
    with _told(address, revision, what="dataset"):
        try:
            if path:
                return Path(hf_hub_download(name, path, repo_type="dataset", revision=revision))
        except LocalEntryNotFoundError:  # an EntryNotFoundError too: the hub could not be asked
            raise
        except EntryNotFoundError as error:
            files = _files_of(name, revision)
            below = [file for file in files if file.startswith(f"{path}/")]
            if len(below) == 1:
                return Path(hf_hub_download(name, below[0], repo_type="dataset", revision=revision))
            several = f"{path} has several files: name one" if below else "the dataset has no such file"
            raise InvalidInput(f"{address}: {several}; {_named(below or files)}") from error
        raise InvalidInput(f"{address}: name a file of the dataset; {_named(_files_of(name, revision))}")


def _files_of(name: str, revision: str | None) -> list[str]:
    """The problem files of a dataset."""
    from huggingface_hub import HfApi

    found = HfApi().list_repo_files(name, repo_type="dataset", revision=revision)
    return [file for file in found if file.removesuffix(".gz").endswith((".jsonl", ".csv", ".parquet"))]


def _named(files: list[str]) -> str:
    more = f" and {len(files) - _MAX_NAMED} more" if len(files) > _MAX_NAMED else ""
    return f"it has {', '.join(files[:_MAX_NAMED])}{more}" if files else "it has no .jsonl, .csv or .parquet file"


@cache
def _fetched(model: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = model.partition("@")
    with _told(model, revision, what="model"):
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(patterns)))


@contextmanager
def _told(address: str, revision: str | None, *, what: str) -> Iterator[None]:
    """What a hub refuses, as an `InvalidInput` that names it."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise InvalidInput(
            f"{address}: the hub gives it to those who have agreed to its terms; log in: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise InvalidInput(f"{address}: the hub has no revision {revision!r} of it") from error
    except RepositoryNotFoundError as error:
        here = "there is no such folder here, and no such" if what == "model" else "there is no such"
        raise InvalidInput(f"{address}: {here} {what} on the hub (or it is private: hf auth login)") from error
    except LocalEntryNotFoundError as error:
        raise InvalidInput(f"{address}: it is not here, and the hub cannot be reached; {_command(address)}") from error
    except HfHubHTTPError as error:
        raise InvalidInput(f"{address}: the hub refuses it ({error})") from error


def _command(address: str) -> str:
    """How to get there otherwise."""
    if address.startswith(HUB_FILES):
        name, revision, path = _parts(address)
        pin = f" --revision {revision}" if revision else ""
        return (
            f"where it can be: `hf download --repo-type dataset {name} {path}{pin} --local-dir FOLDER`, and then the "
            "problems are that file, here or in an object store"
        )
    name, _, revision = address.partition("@")
    pin = f" --revision {revision}" if revision else ""
    return (
        f"where it can be: `hf download {name}{pin} --local-dir FOLDER`, and then the model is that folder, here or in "
        "an object store"
    )
