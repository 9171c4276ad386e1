"""How many parameters a token is multiplied with, from a model's files alone: what FLOPs are counted by.

What is stored is not always what is meant. Two cases are told apart by the names and types of the stored tensors:

- **Packed weights.** Quantised layers keep several weights in one stored integer, with scales and zero points beside
  them: GPTQ and AWQ (`qweight`, int32), compressed-tensors (`weight_packed`, with its true shape in `weight_shape`),
  bitsandbytes (uint8 `weight` with a `quant_state` beside it), MXFP4 (`*_blocks`, two to a byte). Counted is what they
  unpack to; scales and zero points are no parameters of their own.
- **Experts.** A token passes through `num_experts_per_tok` of a layer's experts, so of each expert tensor that share
  counts. Shared experts, routers and everything else count in full.

A model whose files do not say enough (packed weights without a number of bits, experts without how many are used) is
not counted wrongly, because what is called cheapest rests on it: its user says how many (`active_parameters`).
"""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from actors.engines.model_files import CONFIG_FILE, TensorHeader, read_header, read_json, weight_files
from records.failure import InvalidInput

_STORED_BITS = {"I8": 8, "U8": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64}
_PACKED = (".qweight", ".weight_packed")
_BESIDE_PACKED = (
    ".qzeros",
    ".scales",
    ".g_idx",
    ".weight_shape",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_zero_point",
    ".weight_global_scale",
    ".weight_g_idx",
    ".input_scale",
    ".input_global_scale",
    ".SCB",
    "_scales",
)
_OF_EXPERTS = re.compile(r"\.experts\.")
_MOST_BITS = 16
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_top_k")
_SET_IT = "set active_parameters in the recipe's section of the model"


def num_active_parameters(model: Path) -> int:
    """Parameters that one token is multiplied with; a matrix that two layers share counts once.

    Raises:
        InvalidInput: the files cannot be read, or do not say enough.
    """
    config = read_json(model / CONFIG_FILE)
    text = config.get("text_config")
    settings: Mapping[str, Any] = config | (text if isinstance(text, dict) else {})
    tensors = {name: header for file in weight_files(model) for name, header in read_header(file).items()}
    total = Fraction(0)
    for name, header in tensors.items():
        if not _is_beside_weights(name, tensors):
            total += _num_weights(name, header, tensors, settings, model) * _share_used(name, settings, model)
    return int(total)


def _is_beside_weights(name: str, tensors: Mapping[str, TensorHeader]) -> bool:
    """Whether a tensor says how to unpack another one."""
    if any(
        marker in name for marker in (".absmax", ".quant_map", ".quant_state.", ".nested_absmax", ".nested_quant_map")
    ):
        return True
    if not name.endswith(_BESIDE_PACKED):
        return False
    if name.endswith("_scales"):  # `.scales` of GPTQ ends otherwise
        return name.removesuffix("_scales") + "_blocks" in tensors
    return True


def _num_weights(
    name: str, header: TensorHeader, tensors: Mapping[str, TensorHeader], config: Mapping[str, Any], model: Path
) -> int:
    stored = math.prod(header.shape)
    if name.endswith("_blocks") and name.removesuffix("_blocks") + "_scales" in tensors:
        return 2 * stored
    if name.endswith(".weight") and any(other.startswith(f"{name}.quant_state.") for other in tensors):
        return stored * _STORED_BITS.get(header.dtype, 8) // _bits_of(config, model)
    if name.endswith(_PACKED):
        return stored * _STORED_BITS.get(header.dtype, 32) // _bits_of(config, model)
    return stored


def _bits_of(config: Mapping[str, Any], model: Path) -> int:
    """Bits of one packed weight, by the model's configuration."""
    section = config.get("quantization_config")
    found = _bits_in(section) if isinstance(section, dict) else None
    if found is None:
        raise InvalidInput(
            f"{model / CONFIG_FILE}: the weights are packed, and quantization_config does not say how many bits one "
            f"has (bits, or config_groups with num_bits), which FLOPs are counted by; {_SET_IT}"
        )
    return found


def _bits_in(section: Mapping[str, Any]) -> int | None:
    groups = section.get("config_groups")
    widths = {section.get(name) for name in ("bits", "w_bit", "num_bits")} - {None}
    widths |= {4} if section.get("load_in_4bit") or section.get("_load_in_4bit") else set()
    widths |= {8} if section.get("load_in_8bit") or section.get("_load_in_8bit") else set()
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        widths |= {weights.get("num_bits")} - {None} if isinstance(weights, dict) else set()
    [*found] = widths
    is_known = len(found) == 1 and isinstance(found[0], int) and 1 <= found[0] <= _MOST_BITS
    return found[0] if is_known else None


def _share_used(name: str, config: Mapping[str, Any], model: Path) -> Fraction:
    """Of a tensor, what one token passes through."""
    if _OF_EXPERTS.search(name) is None:
        return Fraction(1)
    num_experts, num_used = (_first_count(config, keys) for keys in (_EXPERTS, _EXPERTS_USED))
    if num_experts is None or num_used is None or num_used > num_experts:
        raise InvalidInput(
            f"{model / CONFIG_FILE}: the model has experts ({name}), and the configuration does not say how many there "
            f"are ({' or '.join(_EXPERTS)}) and how many a token uses ({' or '.join(_EXPERTS_USED)}), which FLOPs are "
            f"counted by; {_SET_IT}"
        )
    return Fraction(num_used, num_experts)


def _first_count(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    counts = [config[key] for key in keys if isinstance(config.get(key), int) and config[key] > 0]
    return counts[0] if counts else None
