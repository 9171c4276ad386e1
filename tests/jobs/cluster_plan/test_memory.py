"""Memory of weights and KV cache, read off model files: against what the same numbers give by hand."""

import json
import re
import struct
from pathlib import Path

import pytest

from jobs.cluster_plan.memory import BYTES_PER_GIB, RESERVED_GIB, memory_fit, model_memory
from jobs.recipes.generator import GeneratorSection

CONFIG = {
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "hidden_size": 3584,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}


def model(
    folder: Path, *, config: dict[str, object] | None = None, dtype: str = "BF16", numel: int = 7 * 2**30
) -> Path:
    """A folder with a header of so many numbers and no number in it (a hole, as an outline has)."""
    numel = 7 * 2**30
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    size = {"BF16": 2, "F32": 4, "I8": 1}[dtype]
    header = json.dumps({"w": {"dtype": dtype, "shape": [numel], "data_offsets": [0, numel * size]}}).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + numel * size)
    return folder


def section(**settings: object) -> GeneratorSection:
    return GeneratorSection(model="m", **settings)  # type: ignore[arg-type]


def test_weights_and_a_tokens_cache_are_those_of_the_shapes(tmp_path):
    found = model_memory(model(tmp_path / "m"), section())
    assert found.weights_bytes == 14 * BYTES_PER_GIB
    assert found.kv_bytes_per_token == 2 * 28 * 4 * 128 * 2
    assert found.max_model_len == 4096


@pytest.mark.parametrize(
    ("stored", "dtype", "weights_gib"), [("F32", "bfloat16", 14), ("BF16", "float32", 28), ("I8", "bfloat16", 7)]
)
def test_weights_count_as_they_are_loaded_and_quantised_ones_as_stored(tmp_path, stored, dtype, weights_gib):
    assert (
        model_memory(model(tmp_path / "m", dtype=stored), section(dtype=dtype)).weights_bytes
        == weights_gib * BYTES_PER_GIB
    )


@pytest.mark.parametrize(("parts", "heads"), [(2, 2), (4, 1), (8, 1)])
def test_tensor_parallelism_divides_weights_and_heads(tmp_path, parts, heads):
    found = model_memory(model(tmp_path / "m"), section(tensor_parallel_size=parts))
    assert found.weights_bytes == 14 * BYTES_PER_GIB // parts
    assert found.kv_bytes_per_token == 2 * 28 * heads * 128 * 2


def test_a_configuration_within_another_is_found_and_one_that_says_nothing_is_unknown(tmp_path):
    inner = {"text_config": CONFIG, "num_hidden_layers": 1}
    assert model_memory(model(tmp_path / "a", config=inner), section()).kv_bytes_per_token == 2 * 28 * 4 * 128 * 2
    silent = {"hidden_size": None, "num_attention_heads": None, "num_key_value_heads": None}
    assert model_memory(model(tmp_path / "b", config=silent), section()).kv_bytes_per_token is None


def test_what_is_left_is_the_cache(tmp_path):
    found = model_memory(model(tmp_path / "m"), section())
    fit = memory_fit(found, section(), 40.0)
    assert fit.problem is None
    assert fit.kv_gib == pytest.approx(36 - 14 - RESERVED_GIB)
    assert fit.kv_tokens == int(fit.kv_gib * BYTES_PER_GIB / (2 * 28 * 4 * 128 * 2))


@pytest.mark.parametrize(
    ("settings", "gpu_gib", "said"),
    [
        ({}, 16.0, "weights of 14.0 GiB .* more than the 14.4 GiB"),
        ({"kv_cache_gib": 30.0}, 40.0, "set kv_cache_gib to 20.0 or less"),
        ({"max_model_len": 100_000}, 22.5, "one call may take max_model_len = 100000"),
        ({"gpu_memory_utilization": 0.3}, 40.0, "gpu_memory_utilization = 0.3 allows"),
    ],
)
def test_what_does_not_fit_is_said_with_what_to_do(tmp_path, settings, gpu_gib, said):
    chosen = section(**settings)
    problem = memory_fit(model_memory(model(tmp_path / "m"), chosen), chosen, gpu_gib).problem
    assert problem is not None
    assert re.search(said, problem)
