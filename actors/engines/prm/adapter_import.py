"""Makes a PRM's folder of a published one and a calibration adapter, as "Know What You Don't Know" publishes them.

Such an adapter (arXiv 2506.09338, code young-j-park/prm-calibration) is a LoRA checkpoint of peft for Qwen2.5-Math-PRM:
on linear layers of the backbone, on `score.0`, and on a `score.2` that gives three logits, of the quantiles at 0.1, 0.5
and 0.9. Before training each of the three is the logit of good less that of bad, so the checkpoint need not hold them,
and a PRM's folder says the same in other words: the offset of output k is row k of the adapter's change of `score.2`.

Where tokens were added for training, peft may store the whole embedding, untrained and of another number of rows. It is
compared with the PRM's and left alone.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.model_files import (
    ADAPTER_CONFIG_FILE,
    ADAPTER_FILE,
    TOKENIZER_FILE,
    TensorHeader,
    read_header,
    read_json,
)
from actors.engines.prm.families import AUTO, QWEN, find_family
from actors.engines.prm.heads import ClassHead, Linear, OffsetHead
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.prm.writer import PrmDescription, refuse_existing, write_prm
from actors.engines.text import read_tokenizer
from records.failure import InvalidInput
from scaling.calibration.heads import QUANTILE, HeadSpec

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = (0.1, 0.5, 0.9)
INNER, LAST = "score.0", "score.2"
EMBEDDING = "model.embed_tokens.weight"
OTHER_FORMS = ("use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "modules_to_save", "lora_bias")
"""Settings under which the change of a weight is another than alpha / r times B A, or not the only one."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An opened checkpoint.

    Attributes:
        file: with the tensors.
        rank: r.
        scale: of B A.
        modules: name of a linear layer -> (its outputs, its inputs).
    """

    file: Path
    rank: int
    scale: float
    modules: dict[str, tuple[int, int]]

    def change(self, module: str) -> "Tensor":
        """What the adapter adds to the module's weight, float32: [outputs, inputs]."""
        from safetensors import safe_open

        with safe_open(self.file, framework="pt") as file:
            a, b = (file.get_tensor(f"base_model.model.{module}.lora_{part}.weight").float() for part in "AB")
        change: Tensor = self.scale * (b @ a)
        return change


def merge_published_adapter(base: Path, adapter: Path, output: Path, *, trained_for: Mapping[str, Any]) -> None:
    """Write the self-contained folder of a calibrated PRM.

    Args:
        base: folder of the published PRM that the adapter was trained on.
        adapter: folder with adapter_config.json and adapter_model.safetensors.
        output: the new folder.
        trained_for: sha256 of the `generator` that the adapter was trained for and its `temperature`; what is not known
            is left out.

    Raises:
        InvalidInput: a file is missing, the two do not fit each other, or the adapter is of a form that this is not.
    """
    refuse_existing(output)
    folder = PrmFolder(base, read_tokenizer(base / TOKENIZER_FILE))
    family = find_family(base, AUTO)
    old = family.head.load(folder)
    if family.name != QWEN or not isinstance(old, ClassHead) or old.inner is None:
        raise InvalidInput(f"{base}: is not a published Qwen2.5-Math-PRM; adapters of others cannot be merged")
    opened = open_adapter(adapter)
    _check_shapes(opened, folder, old)
    _check_embedding(opened, folder)
    inner = Linear(old.inner.weight, old.inner.bias)
    if INNER in opened.modules:
        inner = Linear(old.inner.weight + opened.change(INNER).numpy(), old.inner.bias)
    offset = Linear(opened.change(LAST).numpy(), np.zeros(len(LEVELS), np.float32))
    write_prm(
        folder,
        family,
        output,
        head=OffsetHead(ClassHead(old.bad, old.good, inner), offset, HeadSpec(kind=QUANTILE, levels=LEVELS)),
        changes={
            f"{name}.weight": partial(opened.change, name) for name in opened.modules if name not in (INNER, LAST)
        },
        golden=[],
        description=PrmDescription(trained_for=trained_for, notes={"adapter": adapter.name, "rank": opened.rank}),
    )


def open_adapter(adapter: Path) -> Adapter:
    """Read the configuration of a checkpoint and the header of its tensors.

    Raises:
        InvalidInput: a file is missing, or it is not a LoRA of linear layers alone.
    """
    config_file, file = adapter / ADAPTER_CONFIG_FILE, adapter / ADAPTER_FILE
    config = read_json(config_file)
    if config.get("peft_type") != "LORA":
        raise InvalidInput(f"{config_file}: peft_type is {config.get('peft_type')!r}; LORA can be merged")
    for field in OTHER_FORMS:
        if config.get(field):
            raise InvalidInput(f"{config_file}: {field} is {config[field]!r}; such an adapter cannot be merged")
    if config.get("bias", "none") != "none":
        raise InvalidInput(f"{config_file}: bias is {config['bias']!r}; such an adapter cannot be merged")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise InvalidInput(f"{config_file}: r is {rank!r} and lora_alpha {alpha!r}; both must be numbers above 0")
    header = read_header(file)
    header.pop(f"base_model.model.{EMBEDDING}", None)
    modules = _modules(file, header, rank)
    _check_whole(config_file, config, modules)
    return Adapter(file, rank, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), modules)


def _modules(file: Path, header: Mapping[str, TensorHeader], rank: int) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each linear layer that has an adapter."""
    sizes: dict[str, dict[str, int]] = {}
    for name, tensor in header.items():
        match = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", name)
        if match is None:
            raise InvalidInput(f"{file}: `{name}` is no LoRA of a linear layer; such an adapter cannot be merged")
        module, part = match.groups()
        if len(tensor.shape) != 2 or tensor.shape[0 if part == "A" else 1] != rank:
            raise InvalidInput(
                f"{file}: `{name}` is {list(tensor.shape)}, and {ADAPTER_CONFIG_FILE} says a rank of {rank}"
            )
        sizes.setdefault(module, {})[part] = tensor.shape[1 if part == "A" else 0]
    for module, parts in sizes.items():
        if len(parts) != 2:
            raise InvalidInput(f"{file}: `{module}` has lora_{''.join(parts)} only; copy the checkpoint again")
    return {module: (parts["B"], parts["A"]) for module, parts in sizes.items()}


def _check_whole(config_file: Path, config: Mapping[str, Any], modules: Mapping[str, object]) -> None:
    """Every layer has what one of the layers has: a checkpoint that lacks tensors is another model."""
    if LAST not in modules:
        raise InvalidInput(f"{config_file.parent}: no adapter of `{LAST}`, which tells the quantiles apart")
    layers = config.get("layers_to_transform")
    numbers = [layers] if isinstance(layers, int) else layers or []
    targets = {match[2] for name in modules if (match := re.search(r"\.layers\.(\d+)\.(.+)$", name))}
    for number in numbers:
        for target in sorted(targets):
            if f"model.layers.{number}.{target}" not in modules:
                raise InvalidInput(
                    f"{config_file}: layers_to_transform has {number}, and {ADAPTER_FILE} nothing for its {target}: is "
                    "the checkpoint complete?"
                )


def _check_shapes(adapter: Adapter, folder: PrmFolder, old: ClassHead) -> None:
    """The layers are there, and as large as the adapter's.

    Raises:
        InvalidInput: they are not: the adapter was trained on another PRM.
    """
    for module, shape in adapter.modules.items():
        if module == LAST:
            wanted: tuple[int, ...] = (len(LEVELS), old.good.weight.shape[1])
        elif f"{module}.weight" in folder.tensors:
            wanted = folder.tensors[f"{module}.weight"][1].shape
        else:
            raise InvalidInput(f"{adapter.file}: adapts `{module}`, and {folder.model} has no such layer")
        if shape != wanted:
            raise InvalidInput(
                f"{adapter.file}: `{module}` gives {shape[0]} outputs of {shape[1]} inputs, and for {folder.model} it "
                f"has to be {' of '.join(map(str, wanted))}: was the adapter trained on this PRM?"
            )


def _check_embedding(adapter: Adapter, folder: PrmFolder) -> None:
    """An embedding that lies in the checkpoint is the PRM's own, up to rounding and the number of rows.

    Raises:
        InvalidInput: it was trained, or is another model's.
    """
    from safetensors import safe_open

    name = f"base_model.model.{EMBEDDING}"
    if name not in read_header(adapter.file):
        return
    own = folder.read_tensor(EMBEDDING)
    with safe_open(adapter.file, framework="pt") as file:
        stored = file.get_tensor(name).float().numpy()
    rows = min(len(stored), len(own))
    if stored.shape[1] != own.shape[1] or not np.allclose(stored[:rows], own[:rows], rtol=2**-8, atol=1e-6):
        raise InvalidInput(
            f"{adapter.file}: `{name}` is not the embedding of {folder.model}; such an adapter cannot be merged"
        )
