"""Models by their name on a hub: `org/name` or `org/name@revision`, fetched once by huggingface_hub into its own cache.

    org/name --> org/name@commit        resolved before a run begins; the commit stands in the manifest
    org/name@commit --> folder          on each machine that needs it, downloaded once

`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they always do. Without a connection what the cache
holds is used.
"""

import re
from functools import cache
from pathlib import Path

from records.failure import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")
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


@cache
def _fetched(model: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, _, revision = model.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise InvalidInput(
            f"{model}: the hub gives it to those who have agreed to its terms; log in: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise InvalidInput(f"{model}: the hub has no revision {revision!r} of it") from error
    except RepositoryNotFoundError as error:
        raise InvalidInput(
            f"{model}: there is no such folder here, and no such model on the hub (or it is private: hf auth login)"
        ) from error
    except LocalEntryNotFoundError as error:
        raise InvalidInput(f"{model}: it is not here, and the hub cannot be reached; {_command(model)}") from error
    except HfHubHTTPError as error:
        raise InvalidInput(f"{model}: the hub refuses it ({error})") from error


def _command(model: str) -> str:
    name, _, revision = model.partition("@")
    pin = f" --revision {revision}" if revision else ""
    return (
        f"where it can be: `hf download {name}{pin} --local-dir FOLDER`, and then the model is that folder, here or in "
        "an object store"
    )
