"""A LoRA adapter of a generator: what its folder says without loading it, and whether it fits its model.

The folder is as peft saves it: `adapter_config.json`, and `adapter_model.safetensors` with a pair of matrices
`MODULE.lora_A.weight` [r, inputs] and `MODULE.lora_B.weight` [outputs, r] for each linear layer that it changes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.engines.model_files import (
    ADAPTER_CONFIG_FILE,
    ADAPTER_FILE,
    TensorHeader,
    read_header,
    read_json,
    weight_files,
)
from actors.engines.model_size import num_active_parameters
from actors.engines.settings import EngineSettings, GeneratorSettings
from records.bounded import quoted
from records.failure import InvalidInput

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""That vLLM makes room for; an adapter has the least that is not below its own."""
_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_UNSERVED = {
    "use_dora": "weight-decomposed adapters (DoRA)",
    "modules_to_save": "layers that the adapter brings along whole",
    "lora_bias": "adapters with a bias",
    "layer_replication": "repeated layers",
    "alora_invocation_tokens": "activated adapters (aLoRA)",
}
"""What peft knows and vLLM does not serve, by the setting that says so."""


def adapter_rank(adapter: Path) -> int:
    """The largest rank of its pairs, as `check_adapter` finds them. Raises as that, but for the model."""
    return _rank(_tensors(adapter))


def check_adapter(adapter: Path, model: Path) -> None:
    """Check an adapter's folder, and that each layer that it changes is one of the model's, of its shape.

    Raises:
        InvalidInput: names the file and what does not fit.
    """
    config = read_json(adapter / ADAPTER_CONFIG_FILE) if adapter.is_dir() else None
    if config is None:
        raise InvalidInput(f"generator.adapter: {adapter}: no such folder; an adapter is a folder as peft saves it")
    _check_kind(adapter / ADAPTER_CONFIG_FILE, config)
    tensors = _tensors(adapter)
    if _rank(tensors) > RANKS[-1]:
        raise InvalidInput(f"generator.adapter: {adapter}: its rank is above {RANKS[-1]}, the most that vLLM serves")
    weights = {name: header for file in weight_files(model) for name, header in read_header(file).items()}
    layers = {name.rpartition(".")[0] for name in weights}
    for name, header in tensors.items():
        layer = name.removeprefix(_PREFIX).removesuffix(_DOWN).removesuffix(_UP)
        if layer not in layers:
            said = f"changes {quoted(layer, 120)}, which {model} does not have"
            raise InvalidInput(f"generator.adapter: {adapter}: {said}")
        _check_fits(adapter, name, header, weights.get(f"{layer}.weight"), model)


def _rank(tensors: Mapping[str, TensorHeader]) -> int:
    return max(header.shape[0] for name, header in tensors.items() if name.endswith(_DOWN))


def _check_kind(file: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InvalidInput(f"generator.adapter: {file}: peft_type is {quoted(repr(kind), 40)}; only LORA is served")
    for key, what in _UNSERVED.items():
        if config.get(key):
            raise InvalidInput(f"generator.adapter: {file}: {key}: vLLM does not serve {what}; merge it into the model")
    if config.get("bias", "none") != "none":
        raise InvalidInput(f'generator.adapter: {file}: bias: vLLM serves adapters with bias = "none" only')


def _tensors(adapter: Path) -> dict[str, TensorHeader]:
    """The matrices, in pairs. Raises `InvalidInput` where something else is among them, or none."""
    file = adapter / ADAPTER_FILE
    if not file.is_file():
        raise InvalidInput(f"generator.adapter: {file}: no such file; save the adapter as safetensors")
    found = read_header(file)
    for name, header in found.items():
        down = name.endswith(_DOWN)
        partner = name.removesuffix(_DOWN) + _UP if down else name.removesuffix(_UP) + _DOWN
        if not (down or name.endswith(_UP)) or len(header.shape) != 2 or partner not in found:
            raise InvalidInput(
                f"generator.adapter: {file}: {quoted(name, 120)} is no matrix of a pair lora_A, lora_B of a linear "
                "layer: merge this adapter into the model"
            )
        if header.shape[0 if down else 1] != found[partner].shape[1 if down else 0]:
            raise InvalidInput(f"generator.adapter: {file}: {quoted(name, 120)} and its partner have different ranks")
    if not found:
        raise InvalidInput(f"generator.adapter: {file}: holds no matrix")
    return found


def _check_fits(adapter: Path, name: str, header: TensorHeader, whole: TensorHeader | None, model: Path) -> None:
    """One matrix against the weight that it changes; of packed ones (None, or of integers) the shape is not known."""
    side = 1 if name.endswith(_DOWN) else 0
    if whole is None or len(whole.shape) != 2 or not whole.dtype.startswith(("F", "BF")):
        return
    if header.shape[side] != whole.shape[side]:
        raise InvalidInput(
            f"generator.adapter: {adapter}: {quoted(name, 120)} is of {header.shape[side]} values, and that layer of "
            f"{model} takes {whole.shape[side]}: it was made for another model"
        )


def _adapter_of(settings: EngineSettings) -> Path | None:
    """The adapter of a replica; None: it has none, or is a PRM."""
    adapter = settings.adapter if isinstance(settings, GeneratorSettings) else None
    return None if adapter is None else Path(adapter)


def adapter_files_of(settings: EngineSettings) -> list[Path]:
    """What decides how a replica's adapter changes its model; empty where it has none."""
    adapter = _adapter_of(settings)
    return [] if adapter is None else [adapter / ADAPTER_CONFIG_FILE, adapter / ADAPTER_FILE]


def num_multiplied_parameters(settings: EngineSettings) -> int:
    """Parameters that a replica multiplies each token with, those of its adapter among them."""
    adapter = _adapter_of(settings)
    if settings.active_parameters is not None:
        return settings.active_parameters
    own = 0 if adapter is None else sum(math.prod(header.shape) for header in _tensors(adapter).values())
    return num_active_parameters(Path(settings.model)) + own
