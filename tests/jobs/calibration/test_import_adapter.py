"""Published calibration adapters: a checkpoint that peft writes, merged, against the authors' computation in torch."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from actors.engines.formats import path_ids
from actors.engines.model_files import sha256_of, weight_files
from actors.engines.prm.families import find_family
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.text import read_tokenizer
from actors.replicas.preflight import check_prm
from jobs.cli import main, parse
from jobs.command_line.import_adapter import ImportAdapterOptions
from tests.actors.conftest import EXAMPLE
from tests.actors.engines.test_trainable import QUESTION, STEPS, serve, settings_of
from tests.support.tiny_prms import HIDDEN, language_model, make_prm

QWEN = "qwen2.5-math-prm"


class PublishedPrm(torch.nn.Module):
    """Qwen2ForProcessRewardModel after the authors have put their head in: three outputs that begin alike."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        stored = {name: tensor for file in weight_files(folder) for name, tensor in load_file(file).items()}
        backbone: Any = language_model(QWEN, folder).model
        self.model = backbone
        self.score = torch.nn.Sequential(torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 3))
        bad, good = stored["score.2.weight"]
        state = {"0.weight": stored["score.0.weight"], "0.bias": stored["score.0.bias"]}
        state["2.weight"] = (good - bad).repeat(3, 1)
        state["2.bias"] = (stored["score.2.bias"][1] - stored["score.2.bias"][0]).repeat(3)
        self.score.load_state_dict(state)
        self._add_target_tokens()

    def _add_target_tokens(self) -> None:
        """The tokens that stand for 0/8 to 8/8 during training."""
        old = self.model.embed_tokens.weight.data
        self.model.embed_tokens = torch.nn.Embedding(len(old) + 9, HIDDEN)
        self.model.embed_tokens.weight.data[: len(old)] = old

    def get_input_embeddings(self) -> torch.nn.Module:
        """What peft stores beside the adapter."""
        embedding: torch.nn.Module = self.model.embed_tokens
        return embedding

    def get_output_embeddings(self) -> None:
        """A PRM has none."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Three probabilities at the last token."""
        logits: torch.Tensor = self.score(self.model(input_ids).last_hidden_state[0, -1])
        return logits.sigmoid()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_prm(QWEN, tmp_path_factory.mktemp("prms") / "base")


def with_adapter(base: Path, *more_targets: str) -> PeftModel:
    """LoRA as the authors configure it, with weights as if it had been trained."""
    config = LoraConfig(
        r=2,
        lora_alpha=32,
        lora_dropout=0.1,
        target_modules=["q_proj", "v_proj", "score.0", "score.2", *more_targets],
        layers_to_transform=[1],
    )
    torch.manual_seed(4)
    model = get_peft_model(PublishedPrm(base), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    return model.eval()


@pytest.fixture(scope="module")
def trained(base) -> PeftModel:
    return with_adapter(base, "embed_tokens")


@pytest.fixture(scope="module")
def checkpoint(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "calibrated-llama"
    trained.save_pretrained(str(folder), save_embedding_layers=True)
    return Path(folder)


@pytest.fixture(scope="module")
def checkpoint_with_embedding(base, tmp_path_factory) -> Path:
    """What peft writes of a resized model whose embedding is no target."""
    folder = tmp_path_factory.mktemp("adapters") / "calibrated-llama"
    with_adapter(base).save_pretrained(str(folder), save_embedding_layers=True)
    return Path(folder)


def test_the_checkpoint_has_the_published_layout(checkpoint):
    tensors = load_file(checkpoint / "adapter_model.safetensors")
    adapted = {name.removeprefix("base_model.model.").partition(".lora")[0] for name in tensors}
    projections = {f"model.layers.1.self_attn.{part}_proj" for part in "qv"}
    assert adapted == {*projections, "score.0", "score.2"}


def test_a_merged_adapter_scores_as_its_authors_compute(base, checkpoint, trained, tmp_path, capsys):
    output = tmp_path / "prm"
    generator = EXAMPLE / "generator"
    arguments = [str(checkpoint), "--base", str(base), "--output", str(output)]
    more = ["--generator", str(generator), "--temperature", "0.7"]
    assert main(["import-adapter", *arguments, *more]) == 0
    assert str(output) in capsys.readouterr().out
    check_prm(settings_of("auto", output))
    folder = PrmFolder(output, read_tokenizer(output / "tokenizer.json"))
    form = find_family(output, "auto").make_format(folder)
    paths = [path_ids(form, QUESTION, STEPS[:number]) for number in range(len(STEPS) + 1)]
    with torch.no_grad():
        wanted = [sorted(trained(input_ids=torch.tensor([ids])).tolist()) for ids in paths]
    served = [[score.lower, score.median, score.upper] for score in serve(output, "auto", paths)]
    assert np.array(served) == pytest.approx(np.array(wanted), abs=1e-5)
    assert np.ptp(wanted, axis=0).min() > 0.01
    assert np.ptp(wanted, axis=1).max() > 0.01
    with trained.disable_adapter(), torch.no_grad():
        uncalibrated = [trained(input_ids=torch.tensor([ids]))[0].item() for ids in paths]
    assert max(abs(np.array(uncalibrated) - np.array(wanted)[:, 1])) > 0.01
    described = json.loads((output / "prm_config.json").read_text())
    assert described["trained_for"] == {"generator": sha256_of(weight_files(generator)), "temperature": 0.7}
    assert described["head"]["levels"] == [0.1, 0.5, 0.9]


def test_the_rest_of_the_backbone_stays_as_it_is(base, checkpoint, tmp_path):
    assert main(["import-adapter", str(checkpoint), "--base", str(base), "--output", str(tmp_path / "prm")]) == 0
    before = language_model(QWEN, base).model.state_dict()
    after = AutoModel.from_pretrained(tmp_path / "prm").state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {f"layers.1.self_attn.{part}_proj.weight" for part in "qv"}


def test_an_embedding_that_peft_stored_is_compared_and_left_alone(
    base, checkpoint, checkpoint_with_embedding, tmp_path, capsys
):
    assert EMBEDDING in load_file(checkpoint_with_embedding / "adapter_model.safetensors")
    for folder, name in ((checkpoint, "a"), (checkpoint_with_embedding, "b")):
        assert main(["import-adapter", str(folder), "--base", str(base), "--output", str(tmp_path / name)]) == 0
    with_it, without_it = (load_file(tmp_path / name / "head.safetensors") for name in "ab")
    assert all(torch.equal(tensor, without_it[name]) for name, tensor in with_it.items())
    assert sha256_of(weight_files(tmp_path / "a")) == sha256_of(weight_files(tmp_path / "b"))
    edit_tensors(checkpoint_with_embedding, lambda each: each[EMBEDDING].mul_(1.1))
    output = tmp_path / "c"
    assert main(["import-adapter", str(checkpoint_with_embedding), "--base", str(base), "--output", str(output)]) == 2
    assert "embed_tokens.weight` is not the embedding" in capsys.readouterr().err


def edit_config(folder: Path, **fields: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def edit_tensors(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, file)


LAST = "base_model.model.score.2.lora_"
EMBEDDING = "base_model.model.model.embed_tokens.weight"
Q_PROJ = "base_model.model.model.layers.1.self_attn.q_proj.lora_"
BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda folder: (folder / "adapter_config.json").unlink(), r"adapter_config\.json: cannot be read"),
    "no tensors": (lambda folder: (folder / "adapter_model.safetensors").unlink(), r"adapter_model.*cannot be read"),
    "not LoRA": (lambda folder: edit_config(folder, peft_type="IA3"), "IA3"),
    "DoRA": (lambda folder: edit_config(folder, use_dora=True), "use_dora"),
    "whole modules": (lambda folder: edit_config(folder, modules_to_save=["score"]), "modules_to_save"),
    "biases": (lambda folder: edit_config(folder, bias="all"), "bias is 'all'"),
    "ranks by layer": (lambda folder: edit_config(folder, rank_pattern={"score.0": 4}), "rank_pattern"),
    "another rank": (lambda folder: edit_config(folder, r=4), "a rank of 4"),
    "no rank": (lambda folder: edit_config(folder, r=None), "r is None"),
    "more layers": (lambda folder: edit_config(folder, layers_to_transform=[0, 1]), "nothing for its self_attn.q_proj"),
    "half a layer": (lambda folder: edit_tensors(folder, lambda each: each.pop(Q_PROJ + "B.weight")), "lora_A only"),
    "no head": (
        lambda folder: edit_tensors(folder, lambda each: [each.pop(f"{LAST}{part}.weight") for part in "AB"]),
        r"no adapter of `score\.2`",
    ),
    "two classes": (
        lambda folder: edit_tensors(folder, lambda each: each.update({LAST + "B.weight": torch.zeros(2, 2)})),
        "gives 2 outputs of 64 inputs.*has to be 3 of 64",
    ),
    "wider": (
        lambda folder: edit_tensors(folder, lambda each: each.update({Q_PROJ + "A.weight": torch.zeros(2, 128)})),
        "of 128 inputs.*trained on this PRM",
    ),
    "embeddings": (
        lambda folder: edit_tensors(
            folder,
            lambda each: each.update({"base_model.model.model.embed_tokens.lora_embedding_A": torch.zeros(2, 9)}),
        ),
        "embed_tokens.* is no LoRA of a linear layer",
    ),
    "another model": (
        lambda folder: edit_tensors(
            folder,
            lambda each: each.update(
                {name.replace("layers.1", "layers.9"): tensor for name, tensor in each.items() if "q_proj" in name}
            ),
        ),
        r"layers\.9\.self_attn\.q_proj`, and .* has no such layer",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_checkpoint_that_cannot_be_merged_is_named(base, checkpoint, tmp_path, capsys, name):
    break_it, words = BREAKAGES[name]
    folder = Path(shutil.copytree(checkpoint, tmp_path / "adapter"))
    break_it(folder)
    assert main(["import-adapter", str(folder), "--base", str(base), "--output", str(tmp_path / "prm")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(words, captured.err)
    assert not (tmp_path / "prm").exists()


def test_only_the_published_prm_can_be_the_base(checkpoint, tmp_path, capsys):
    other = make_prm("skywork-o1-prm", tmp_path / "other")
    for base in (other, EXAMPLE / "prm"):
        assert main(["import-adapter", str(checkpoint), "--base", str(base), "--output", str(tmp_path / "prm")]) == 2
        assert "is not a published Qwen2.5-Math-PRM" in capsys.readouterr().err


def test_nothing_is_overwritten_and_a_store_is_no_folder(base, checkpoint, tmp_path, capsys):
    for output, words in ((str(tmp_path), "is there already"), ("s3://bucket/prm", "must be a local folder")):
        assert main(["import-adapter", str(checkpoint), "--base", str(base), "--output", output]) == 2
        assert words in capsys.readouterr().err


def test_arguments_become_options():
    line = "import-adapter a --base b --output c --generator d --temperature 0.5"
    options = ImportAdapterOptions(adapter="a", base="b", output="c", generator="d", temperature=0.5)
    assert parse(line.split()) == ("import-adapter", options)
