"""Writes a calibrated PRM's folder: self-contained, and either whole or not there.

The backbone keeps the tensor names that it was published with, in files that one upload takes. A tensor that an adapter
changes is written in float32, so that nothing of a small change is rounded away before the engine chooses its own
precision; all others stay as they are. What the old head was lies in head.safetensors, with what was trained.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.model_files import CONFIG_FILE, HEAD_FILE, PRM_CONFIG_FILE, read_json, weight_files
from actors.engines.prm.families import FORMAT_VERSION, Family, plain_architecture
from actors.engines.prm.head_file import save_head
from actors.engines.prm.heads import OffsetHead
from actors.engines.prm.public_heads import PrmFolder, stored_tensors
from records.failure import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

GOLDEN_FILE = "golden.json"
INDEX_FILE = "model.safetensors.index.json"
NOT_COPIED = (CONFIG_FILE, PRM_CONFIG_FILE, HEAD_FILE, GOLDEN_FILE, INDEX_FILE, "pytorch_model.bin.index.json")
NOT_COPIED_TYPES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".py")
"""Weights, which are written anew or lie there twice, and the code of an architecture that the folder no longer has."""
MAX_SHARD_BYTES = 4_000_000_000
"""Of the tensors in one file: S3 takes 5 GiB in one PUT. A larger tensor has a file of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrmDescription:
    """What prm_config.json says beside family and head.

    Attributes:
        trained_for: sha256 of the `generator` and its `temperature`; None where unknown.
        notes: under `calibration`.
    """

    trained_for: Mapping[str, Any]
    notes: Mapping[str, Any]


def refuse_existing(target: Path) -> None:
    """Refuse a place where something is.

    Raises:
        InvalidInput: there is a file or a folder already.
    """
    if target.exists():
        raise InvalidInput(f"{target}: is there already; name another folder, or remove it")


def write_prm(
    base: PrmFolder,
    family: Family,
    target: Path,
    *,
    head: OffsetHead,
    changes: "Mapping[str, Callable[[], Tensor]]",
    golden: list[dict[str, Any]],
    description: PrmDescription,
) -> None:
    """Write the folder of a PRM that was made from another.

    Args:
        base: the folder that it was made from.
        family: of it.
        target: the new folder; what it lies in is made.
        head: the new head.
        changes: name of a stored tensor -> a function that gives what is added to it, in its shape, on the CPU.
        golden: entries of golden.json; no file if empty.
        description: what else prm_config.json says.

    Raises:
        InvalidInput: there is something at `target`.
    """
    refuse_existing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    for file in base.model.iterdir():
        if file.is_file() and file.name not in NOT_COPIED and file.suffix not in NOT_COPIED_TYPES:
            shutil.copyfile(file, partial / file.name)
    _write_weights(base, partial, changes, family.head.prefixes)
    config = {name: value for name, value in base.config.items() if name != "auto_map"}
    _write_json(partial / CONFIG_FILE, config | {"architectures": [plain_architecture(base)]})
    save_head(partial, head)
    old_config = read_json(base.model / PRM_CONFIG_FILE) if (base.model / PRM_CONFIG_FILE).is_file() else {}
    separator = {"separator": old_config["separator"]} if "separator" in old_config else {}
    described = {
        "format_version": FORMAT_VERSION,
        "family": family.name,
        **separator,
        "head": head.spec.to_json(),
        "trained_for": dict(description.trained_for),
        "calibration": dict(description.notes),
    }
    _write_json(partial / PRM_CONFIG_FILE, described)
    if golden:
        _write_json(partial / GOLDEN_FILE, golden)
    partial.rename(target)


def _write_weights(
    base: PrmFolder, target: Path, changes: "Mapping[str, Callable[[], Tensor]]", left_out: tuple[str, ...]
) -> None:
    """Write the weights in shards, and always their index: without one vLLM takes head.safetensors for weights too."""
    from safetensors.torch import save_file

    shards: list[tuple[Path, list[str]]] = []
    total_size = 0
    for tensors in _shards(_tensors(base, changes, left_out)):
        file = target / f"model-{len(shards) + 1:05d}.safetensors"  # how many there will be is not known yet
        save_file(tensors, file, metadata={"format": "pt"})
        shards.append((file, list(tensors)))
        total_size += sum(tensor.nbytes for tensor in tensors.values())
        del tensors  # before the next shard is read
    weight_map: dict[str, str] = {}
    for number, (file, names) in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        file.rename(target / name)
        weight_map |= dict.fromkeys(names, name)
    index = {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(weight_map.items()))}
    _write_json(target / INDEX_FILE, index)


def _shards(tensors: "Iterator[tuple[str, Tensor]]") -> "Iterator[dict[str, Tensor]]":
    """Groups of tensors in order, each of at most `MAX_SHARD_BYTES` or of one tensor."""
    shard: dict[str, Tensor] = {}
    num_bytes = 0
    for name, tensor in tensors:
        if shard and num_bytes + tensor.nbytes > MAX_SHARD_BYTES:
            yield shard
            shard, num_bytes = {}, 0
        shard[name] = tensor
        num_bytes += tensor.nbytes
    if shard:
        yield shard


def _tensors(
    base: PrmFolder, changes: "Mapping[str, Callable[[], Tensor]]", left_out: tuple[str, ...]
) -> "Iterator[tuple[str, Tensor]]":
    """The backbone's tensors with their changes, file by file; of a name that is in several files, the last."""
    from safetensors import safe_open

    stored = stored_tensors(base.model)
    for source in weight_files(base.model):
        with safe_open(source, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                if stored[name][0] == source and not (left_out and name.startswith(left_out)):
                    tensor = file.get_tensor(name)
                    yield name, tensor.float() + changes[name]() if name in changes else tensor


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
