"""What a model's folder says without loading the model: identity, size, shapes. Standard library only."""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from records.bounded import check_regular, parse_json, quoted, read_file
from records.failure import InvalidInput

HEAD_FILE = "head.safetensors"
PRM_CONFIG_FILE = "prm_config.json"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"
ADAPTER_CONFIG_FILE = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
MAX_CONFIG_BYTES = 16 * 2**20
"""Of a JSON file other than the tokenizer's."""
MAX_HEADER_BYTES = 16 * 2**20
"""Of a safetensors file; a hundred thousand tensors take about as much."""
MAX_DIMENSIONS = 16


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
    content = read_json_value(file)
    if not isinstance(content, dict):
        raise InvalidInput(f"{file}: holds {type(content).__name__}, not an object")
    return content


def read_json_value(file: Path) -> Any:
    """What a JSON file holds, which may be no object. Raises as `read_json`."""
    try:
        return parse_json(read_file(file, MAX_CONFIG_BYTES), constants=True)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror}); is the model's folder complete?") from error
    except ValueError as error:
        raise InvalidInput(f"{file}: is not JSON that can be read ({quoted(error)})") from error


def read_header(file: Path) -> dict[str, TensorHeader]:
    """Names, types and shapes of the tensors in a safetensors file.

    Raises:
        InvalidInput: the file cannot be read, or is cut short.
    """
    try:
        size = check_regular(file)
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            # One byte more than may be is enough to be refused.
            header = parse_json(stream.read(min(length, size, MAX_HEADER_BYTES + 1)), max_bytes=MAX_HEADER_BYTES)
        tensors, end = _tensors(header)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, struct.error) as error:
        raise InvalidInput(f"{file}: is no safetensors file ({quoted(error)})") from error
    if size - 8 - length != end:
        raise InvalidInput(f"{file}: is cut short; copy it again")
    return tensors


def _tensors(header: object) -> tuple[dict[str, TensorHeader], int]:
    """The tensors of a header, and where the last one's bytes end. Raises `ValueError` where it is none."""
    if not isinstance(header, dict):
        raise ValueError(f"its header is {type(header).__name__}, not an object")  # noqa: TRY004 (its content)
    tensors, ends = {}, [0]
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        fields = entry if isinstance(entry, dict) else {}
        dtype, shape, offsets = (fields.get(field) for field in ("dtype", "shape", "data_offsets"))
        if not (isinstance(dtype, str) and _are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2):
            raise ValueError(f"of {quoted(name, 80)!r} its header gives no dtype, shape and data_offsets")
        tensors[name] = TensorHeader(dtype, tuple(shape))
        ends.append(offsets[1])
    return tensors, max(ends)


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    """Whether it is a short list of whole numbers that fit 63 bits."""
    return (
        isinstance(value, list)
        and len(value) <= MAX_DIMENSIONS
        and all(type(number) is int and 0 <= number < 2**63 for number in value)
    )


def sha256_of(files: list[Path]) -> str:
    """Of the files' bytes, one after the other; of one file it is what `sha256sum` says. About a second per GB."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def architectures_of(config: dict[str, Any]) -> list[str]:
    """The names of the classes that a configuration says the model is of; none where it says none."""
    found = config.get("architectures")
    return [quoted(name, 100) for name in found if isinstance(name, str)] if isinstance(found, list) else []


def context_length(model: Path) -> int | None:
    """The longest sequence that the model was made for, in tokens; None where its configuration does not say."""
    return _size_in(read_json(model / CONFIG_FILE), "max_position_embeddings")


def vocabulary_size(model: Path) -> int | None:
    """Tokens that the model tells apart; None where its configuration does not say."""
    return _size_in(read_json(model / CONFIG_FILE), "vocab_size")


def _size_in(config: dict[str, Any], key: str) -> int | None:
    size = config.get(key)
    return size if type(size) is int and 0 < size < 2**31 else None
