"""What a model's folder says without loading the model: identity, size, shapes. Standard library only."""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records.failure import InvalidInput

HEAD_FILE = "head.safetensors"
PRM_CONFIG_FILE = "prm_config.json"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """Type and shape of a stored tensor."""

    dtype: str
    shape: tuple[int, ...]


def weight_files(model: Path) -> list[Path]:
    """The model's weights in order of their names, a PRM's head left out."""
    return sorted(file for file in model.glob("*.safetensors") if file.name != HEAD_FILE)


def identity_files(model: Path) -> list[Path]:
    """What decides a model's outputs: its weights, and of a PRM its own head and description."""
    return [*weight_files(model), *(model / name for name in (HEAD_FILE, PRM_CONFIG_FILE) if (model / name).is_file())]


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidInput: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror}); is the model's folder complete?") from error
    except ValueError as error:
        raise InvalidInput(f"{file}: is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{file}: holds {type(content).__name__}, not an object")
    return content


def read_header(file: Path) -> dict[str, TensorHeader]:
    """Names, types and shapes of the tensors in a safetensors file.

    Raises:
        InvalidInput: the file cannot be read, or is cut short.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, file.stat().st_size)))
            payload = file.stat().st_size - 8 - length
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, struct.error) as error:
        raise InvalidInput(f"{file}: is no safetensors file ({error})") from error
    header.pop("__metadata__", None)
    if payload != max((entry["data_offsets"][1] for entry in header.values()), default=0):
        raise InvalidInput(f"{file}: is cut short; copy it again")
    return {name: TensorHeader(entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}


def sha256_of(files: list[Path]) -> str:
    """Of the files' bytes, one after the other; of one file it is what `sha256sum` says. About a second per GB."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def context_length(model: Path) -> int | None:
    """The longest sequence that the model was made for, in tokens; None where its configuration does not say."""
    length = read_json(model / CONFIG_FILE).get("max_position_embeddings")
    return length if isinstance(length, int) else None


def vocabulary_size(model: Path) -> int | None:
    """Tokens that the model tells apart; None where its configuration does not say."""
    size = read_json(model / CONFIG_FILE).get("vocab_size")
    return size if isinstance(size, int) else None
