"""Parameters that a token is multiplied with: of plain, packed and expert weights, from headers alone."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from actors.engines.model_size import num_active_parameters
from jobs.scoring.models import checked_model
from records.failure import InvalidInput
from tests.support.fakes import GENERATOR_SETTINGS

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "I64": 8, "U8": 1, "F8_E4M3": 1}


def folder(tmp_path: Path, config: dict, **tensors: tuple[str, list[int]]) -> Path:
    """A model's folder with tensors of zeros; `__` in a name stands for a dot."""
    header, offset = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = BYTES[dtype]
        for length in shape:
            size *= length
        header[name.replace("__", ".")] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_plain_weights_count_as_they_are(tmp_path):
    model = folder(tmp_path, {}, model__embed__weight=("F32", [10, 4]), model__norm__weight=("F32", [4]))
    assert num_active_parameters(model) == 44


@pytest.mark.parametrize(
    ("quantization", "tensors"),
    [
        (
            {"quant_method": "gptq", "bits": 4},
            {"l__qweight": ("I32", [8, 32]), "l__qzeros": ("I32", [1, 4]), "l__scales": ("F16", [1, 32]),
             "l__g_idx": ("I32", [64])},
        ),
        (
            {"quant_method": "awq", "bits": 4},
            {"l__qweight": ("I32", [64, 4]), "l__qzeros": ("I32", [1, 4]), "l__scales": ("F16", [1, 32])},
        ),
        (
            {"quant_method": "gptq", "bits": 8},
            {"l__qweight": ("I32", [16, 32]), "l__qzeros": ("I32", [1, 8]), "l__scales": ("F16", [1, 32])},
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
            {"l__weight_packed": ("I32", [64, 4]), "l__weight_scale": ("BF16", [64, 1]),
             "l__weight_shape": ("I64", [2])},
        ),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            {"l__weight": ("U8", [1024, 1]), "l__weight__absmax": ("F32", [32]), "l__weight__quant_map": ("F32", [16]),
             "l__weight__quant_state__bitsandbytes__nf4": ("U8", [80])},
        ),
        ({"quant_method": "mxfp4"}, {"l__proj_blocks": ("U8", [64, 1, 16]), "l__proj_scales": ("U8", [64, 1])}),
        ({"quant_method": "fp8"}, {"l__weight": ("F8_E4M3", [64, 32]), "l__weight_scale_inv": ("F32", [1, 1])}),
    ],
)  # fmt: skip
def test_packed_weights_count_as_what_they_unpack_to(tmp_path, quantization, tensors):
    """A layer of 64 by 32, however it is stored, and a bias of 32."""
    model = folder(tmp_path, {"quantization_config": quantization}, l__bias=("F16", [32]), **tensors)
    assert num_active_parameters(model) == 64 * 32 + 32


def test_of_experts_what_a_token_passes_through(tmp_path):
    config = {"num_local_experts": 8, "num_experts_per_tok": 2}
    experts = {f"m__experts__{at}__up__weight": ("BF16", [4, 4]) for at in range(8)}
    model = folder(
        tmp_path, config, m__gate__weight=("BF16", [8, 4]), m__shared_experts__up__weight=("BF16", [4, 4]), **experts
    )
    assert num_active_parameters(model) == 8 * 4 + 16 + 2 * 16


def test_experts_stacked_in_one_tensor_of_a_model_with_several_modes(tmp_path):
    config = {"text_config": {"num_experts": 4, "num_experts_per_tok": 1}, "quantization_config": {"bits": 4}}
    model = folder(tmp_path, config, m__experts__gate_up_blocks=("U8", [4, 8, 1, 16]),
                   m__experts__gate_up_scales=("U8", [4, 8, 1]))  # fmt: skip
    assert num_active_parameters(model) == 4 * 8 * 32 // 4


@pytest.mark.parametrize(
    ("config", "tensors", "named"),
    [
        ({}, {"l__qweight": ("I32", [8, 32])}, "bits"),
        ({"quantization_config": {"bits": "four"}}, {"l__qweight": ("I32", [8, 32])}, "bits"),
        ({"num_experts": 4}, {"m__experts__0__up__weight": ("F32", [2, 2])}, "num_experts_per_tok"),
        ({"num_experts": 4, "num_experts_per_tok": 8}, {"m__experts__0__up__weight": ("F32", [2, 2])}, "how many"),
    ],
)
def test_files_that_do_not_say_enough_are_refused(tmp_path, config, tensors, named):
    with pytest.raises(InvalidInput, match=named):
        num_active_parameters(folder(tmp_path, config, **tensors))


def test_a_user_may_say_what_the_files_do_not(tmp_path):
    settings = replace(GENERATOR_SETTINGS, model=str(folder(tmp_path, {}, l__qweight=("I32", [8, 32]))))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInput, match="set active_parameters"):
        checked_model(settings, lambda _: None)
    assert checked_model(replace(settings, active_parameters=2048), lambda _: None).num_parameters == 2048
