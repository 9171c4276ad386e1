"""A LoRA adapter changes what the model says as merging it into the weights does; one that does not fit is told."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from actors.engines.adapter import adapter_rank, check_adapter, num_multiplied_parameters
from actors.engines.model_size import num_active_parameters
from actors.engines.protocol import EngineSample, SampleRequest
from actors.engines.serving.vllm_generator import VllmGenerator
from actors.engines.settings import GeneratorSettings
from actors.replicas.preflight import check_generator
from jobs.scoring.models import checked_model
from records.calls import Sampling
from records.failure import InvalidInput
from records.request import Until
from records.run_folder.reader import read_run
from tests.actors.conftest import REAL_GENERATOR

ROOT = Path(__file__).parents[4]
MODEL = Path(REAL_GENERATOR.model)
LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.3.mlp.down_proj")
RANK, ALPHA = 4, 8.0


def matrices(model: Path = MODEL, layers: tuple[str, ...] = LAYERS) -> dict[str, np.ndarray]:
    """Random pairs, large enough that the model says something else."""
    weights, rng, found = load_file(model / "model.safetensors"), np.random.default_rng(7), {}
    for layer in layers:
        outputs, inputs = weights[f"{layer}.weight"].shape
        down, up = rng.normal(size=(RANK, inputs)) * 0.2, rng.normal(size=(outputs, RANK)) * 0.2
        found[f"base_model.model.{layer}.lora_A.weight"] = down.astype(np.float32)
        found[f"base_model.model.{layer}.lora_B.weight"] = up.astype(np.float32)
    return found


def write(folder: Path, found: Mapping[str, np.ndarray], **config: object) -> Path:
    folder.mkdir(parents=True)
    save_file(dict(found), folder / "adapter_model.safetensors")
    written = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"} | config
    targets = sorted({name.split(".")[-3] for name in found})
    (folder / "adapter_config.json").write_text(json.dumps({"target_modules": targets} | written))
    return folder


def merged(folder: Path, found: Mapping[str, np.ndarray]) -> Path:
    """The model with the adapter in its weights."""
    shutil.copytree(MODEL, folder)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in found if name.endswith("lora_A.weight")]:
        layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        change = found[name.replace("lora_A", "lora_B")] @ found[name]
        weights[f"{layer}.weight"] = (weights[f"{layer}.weight"] + ALPHA / RANK * change).astype(np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


async def greedy(settings: GeneratorSettings) -> tuple[EngineSample, str | None, int]:
    engine = VllmGenerator(settings)
    prompt = engine.tokenizer.encode("What is 12 + 7 * 3?\n\n", special=True)
    request = SampleRequest(
        prompt_ids=tuple(prompt), until=Until.TOKENS, max_tokens=24, seed=1, sampling=Sampling(temperature=0.0)
    )
    sample = await engine.sample(request)
    facts = engine.facts
    await engine.close()
    return sample, facts.model_sha256, facts.num_parameters


@pytest.mark.vllm
def test_an_adapter_is_as_good_as_its_model_merged(tmp_path: Path) -> None:
    found = matrices()
    adapter = write(tmp_path / "adapter", found)
    adapted = replace(REAL_GENERATOR, adapter=str(adapter))
    plain, plain_sha256, size = asyncio.run(greedy(REAL_GENERATOR))
    sample, sha256, adapted_size = asyncio.run(greedy(adapted))
    whole, _, _ = asyncio.run(greedy(replace(REAL_GENERATOR, model=str(merged(tmp_path / "merged", found)))))
    assert sample.token_ids == whole.token_ids != plain.token_ids
    assert sample.logprobs == pytest.approx(whole.logprobs, abs=1e-4)
    assert sha256 != plain_sha256
    assert adapted_size - size == sum(matrix.size for matrix in found.values())


@pytest.mark.vllm
@pytest.mark.ray
@pytest.mark.ci
def test_a_run_with_an_adapter_from_the_command_line(tmp_path: Path) -> None:
    adapter = write(tmp_path / "adapter", matrices())
    words = [sys.executable, "-m", "jobs.cli", "score", "examples/arithmetic/test.jsonl", "--limit", "2"]
    words += ["--recipe", "examples/arithmetic/sample.toml", "--output", str(tmp_path / "run")]
    subprocess.run([*words, "--set", f"generator.adapter={adapter}"], cwd=ROOT, check=True, timeout=300)
    refused = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode == 2, "a run is resumed with the adapter that it was begun with"
    assert "generator.adapter" in refused.stderr
    manifest: Any = read_run(tmp_path / "run").manifest
    assert manifest.recipe["generator"]["adapter"] == str(adapter)
    plain = checked_model(REAL_GENERATOR, check_generator)
    adapted = checked_model(replace(REAL_GENERATOR, adapter=str(adapter)), check_generator)
    assert manifest.models["generator"].model_sha256 == adapted.model_sha256 != plain.model_sha256


def test_what_is_counted_of_an_adapter(tmp_path: Path) -> None:
    found = matrices()
    adapter = write(tmp_path / "adapter", found)
    check_adapter(adapter, MODEL)
    assert adapter_rank(adapter) == RANK
    counted = num_multiplied_parameters(replace(REAL_GENERATOR, adapter=str(adapter)))
    assert counted == num_active_parameters(MODEL) + sum(matrix.size for matrix in found.values())
    assert num_multiplied_parameters(replace(REAL_GENERATOR, adapter=str(adapter), active_parameters=5)) == 5


DOWN = f"base_model.model.{LAYERS[0]}.lora_A.weight"
OTHER = "base_model.model.model.layers.9.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "config", "said"),
    [
        ({}, {"peft_type": "IA3"}, "peft_type is 'IA3'; only LORA is served"),
        ({}, {"use_dora": True}, "use_dora: vLLM does not serve"),
        ({}, {"modules_to_save": ["embed_tokens"]}, "modules_to_save: vLLM does not serve"),
        ({}, {"bias": "all"}, 'bias: vLLM serves adapters with bias = "none" only'),
        ({DOWN: None}, {}, "is no matrix of a pair"),
        ({DOWN: np.zeros((RANK, 7), np.float32)}, {}, "it was made for another model"),
        ({DOWN: np.zeros((RANK + 1, 192), np.float32)}, {}, "have different ranks"),
        ({DOWN: np.zeros(7, np.float32)}, {}, "is no matrix of a pair"),
        (
            {
                f"{OTHER}.lora_A.weight": np.zeros((4, 192), np.float32),
                f"{OTHER}.lora_B.weight": np.zeros((192, 4), np.float32),
            },
            {},
            "changes model.layers.9.self_attn.q_proj, which",
        ),
        ({"base_model.model.lm_head.lora_embedding_A": np.zeros((4, 192), np.float32)}, {}, "is no matrix of a pair"),
    ],
)  # fmt: skip
def test_an_adapter_that_does_not_fit(
    tmp_path: Path, change: dict[str, np.ndarray | None], config: dict[str, object], said: str
) -> None:
    found = {name: matrix for name, matrix in (matrices() | change).items() if matrix is not None}
    with pytest.raises(InvalidInput) as raised:
        check_adapter(write(tmp_path / "adapter", found, **config), MODEL)
    assert said in str(raised.value)
    assert str(raised.value).startswith("generator.adapter: ")


def test_an_adapter_that_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder; an adapter is a folder as peft saves it"):
        check_adapter(tmp_path / "none", MODEL)
    adapter = write(tmp_path / "adapter", matrices())
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(InvalidInput, match="no such file; save the adapter as safetensors"):
        check_adapter(adapter, MODEL)
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(InvalidInput, match=r"adapter_config\.json: cannot be read"):
        check_adapter(adapter, MODEL)
