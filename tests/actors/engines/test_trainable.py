"""A PRM in training, of every family and kind: it begins at the old score, learns, and scores the same when saved."""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from actors.engines.formats import PrmFormat, path_ids
from actors.engines.model_files import weight_files
from actors.engines.prm.families import FAMILIES, SEPARATOR, find_family
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.settings import LoraSpec, PrmSettings
from actors.engines.text import read_tokenizer
from actors.engines.training.engine import Batch, TorchTraining
from actors.engines.training.losses import losses
from actors.engines.training.trainable import TrainablePrm
from actors.replicas.preflight import check_prm
from actors.replicas.prm import PathIds
from records.failure import InvalidInput, TrainingFailed
from records.path import PrmScore
from scaling.calibration.heads import HeadSpec, beta_shapes, predict_success
from tests.actors.conftest import REAL_PRM
from tests.scaling.calibration.test_heads import beta_binomial_nll
from tests.support.tiny_prms import make_prm

pytestmark = pytest.mark.slow

QUESTION = "Janet's ducks lay 16 eggs per day. How much does she make?"
STEPS = ["Step 1: She sells 16 - 3 - 4 = 9 eggs.\n\n", "She makes 9 * 2 = $18.\n\n", "The answer is: 18"]
LORA = LoraSpec(rank=2, alpha=32, dropout=0.1, every_nth_layer=2)
KINDS = ("quantile", "beta-binomial")
TRAINED_FOR = {"generator": "some sha", "temperature": 0.7}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are ten times slower with two threads where another process wants a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A PRM of each family; the one of our own is the arithmetic example's."""
    made = {
        family: make_prm(family, tmp_path_factory.mktemp("prms") / family) for family in FAMILIES if family != SEPARATOR
    }
    return {SEPARATOR: Path(REAL_PRM.model), **made}


def settings_of(family: str, folder: Path, dtype: Literal["float32", "bfloat16"] = "float32") -> PrmSettings:
    named = family if family in ("math-shepherd", "rlhflow") else "auto"
    return replace(REAL_PRM, model=str(folder), family=named, dtype=dtype)


def open_prm(family: str, folder: Path, kind: str, lora: LoraSpec = LORA) -> TrainablePrm:
    return TrainablePrm.open(settings_of(family, folder), HeadSpec(kind=kind), lora, device="cpu")


def serve(folder: Path, family: str, paths: Sequence[list[int]]) -> list[PrmScore]:
    """What is served: family and head as a replica reads them, the backbone by plain transformers, path by path."""
    opened = PrmFolder(folder, read_tokenizer(folder / "tokenizer.json"))
    head = find_family(folder, family).head.load(opened)
    backbone = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = [backbone(torch.tensor([ids])).last_hidden_state[0, -1] for ids in paths]
    return [head.read(each.numpy()) for each in hidden]


def published(family: str, folder: Path, target: Path) -> Path:
    """A copy of a published folder that plain transformers can read."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("auto_map", None)
    plain = {"qwen2": "Qwen2ForCausalLM", "mistral": "MistralForCausalLM", "llama": "LlamaForCausalLM"}
    config["architectures"] = [plain[config["model_type"]]]
    shutil.copytree(folder, target)
    (target / "config.json").write_text(json.dumps(config))
    return target


def chain(form: PrmFormat) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """One sequence with the places of all steps, one for the bare question; and every path by itself."""
    paths = [path_ids(form, QUESTION, STEPS[:number]) for number in range(len(STEPS) + 1)]
    return [paths[0], paths[-1]], [[len(paths[0]) - 1], [len(each) - 1 for each in paths[1:]]], paths


def fit(prm: TrainablePrm, num_steps: int = 12, lr: float = 0.02) -> tuple[float, float]:
    """Loss before and after a few steps towards rates far from the old scores; without dropout at both ends."""
    batch, places, _ = chain(prm.form)
    successes, trials = torch.tensor([7, 1, 0, 1]), torch.tensor([8, 8, 8, 1])
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0])

    def loss() -> torch.Tensor:
        return prm.loss(prm.outputs(batch, places), successes, trials, weights)

    before = loss().item()
    optimizer = torch.optim.AdamW(prm.parameters(), lr=lr)
    torch.manual_seed(0)
    prm.train(mode=True)
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    prm.train(mode=False)
    return before, loss().item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_begins_at_the_old_score_learns_and_saves_what_it_is(folders, tmp_path, family, kind):
    prm = open_prm(family, folders[family], kind)
    batch, places, paths = chain(prm.form)
    named = settings_of(family, folders[family]).family
    plain = published(family, folders[family], tmp_path / "plain")
    old = [each.median for each in serve(plain, named, paths)]
    assert max(old) - min(old) > 1e-3
    assert prm.old_scores(batch, places) == pytest.approx(old, abs=1e-5)
    outputs = prm.predicted(batch, places)
    if kind == "quantile":
        assert 1 / (1 + np.exp(-outputs)) == pytest.approx(np.repeat(np.array(old)[:, None], 3, axis=1), abs=1e-5)
    assert predict_success(prm.head, outputs, (0.1, 0.5, 0.9)).mean == pytest.approx(old, abs=1e-5)

    before, after = fit(prm)
    assert after < before - 0.02
    assert prm.old_scores(batch, places) == pytest.approx(old, abs=1e-5)

    saved = tmp_path / "deep" / "calibrated"
    prm.save(saved, trained_for=TRAINED_FOR, notes={"seed": 1}, examples=[(QUESTION, STEPS)], lower_shift=0.01)
    check_prm(settings_of("auto", saved))
    expected = predict_success(
        replace(prm.head, lower_shift=0.01), prm.predicted(batch, places), (0.1, 0.5, 0.9)
    ).quantiles
    assert np.ptp(expected) > 0.02
    served = [[each.lower, each.median, each.upper] for each in serve(saved, "auto", paths)]
    assert np.array(served) == pytest.approx(expected, abs=1e-5)
    (golden,) = json.loads((saved / "golden.json").read_text())
    assert golden["scores"] == pytest.approx([each[1] for each in served], abs=1e-5)
    config = json.loads((saved / "prm_config.json").read_text())
    assert (config["family"], config["trained_for"], config["calibration"]) == (family, TRAINED_FOR, {"seed": 1})
    assert [each.name for each in saved.parent.iterdir()] == ["calibrated"]


def test_batching_and_padding_change_nothing(folders):
    prm = open_prm("qwen2.5-math-prm", folders["qwen2.5-math-prm"], "quantile")
    fit(prm, num_steps=3)
    batch, places, paths = chain(prm.form)
    together = prm.predicted(batch, places)
    alone = [prm.predicted([ids], [[len(ids) - 1]])[0] for ids in paths]
    assert together == pytest.approx(np.array(alone), abs=1e-5)


def test_nothing_but_adapters_and_offset_is_trained(folders):
    prm = open_prm(SEPARATOR, folders[SEPARATOR], "quantile")
    adapted = {name.partition(".lora")[0] for name in prm.state() if "lora" in name}
    assert adapted == {f"layers.{layer}.self_attn.{part}_proj" for layer in (1, 3) for part in "qv"}
    assert {name for name in prm.state() if "lora" not in name} == {"offset.weight", "offset.bias"}
    assert len(prm.parameters()) == len(prm.state()) == 10
    assert {each.dtype for each in prm.state().values()} == {torch.float32}
    frozen = {name: each.clone() for name, each in prm._backbone.named_parameters() if not each.requires_grad}
    before = prm.state()
    fit(prm, num_steps=2)
    assert all(torch.equal(each, frozen[name]) for name, each in prm._backbone.named_parameters() if name in frozen)
    assert not any(torch.equal(each, before[name]) for name, each in prm.state().items() if "lora_B" in name)


def test_rank_0_trains_the_head_alone(folders, tmp_path):
    prm = open_prm(SEPARATOR, folders[SEPARATOR], "quantile", LoraSpec(rank=0))
    assert set(prm.state()) == {"offset.weight", "offset.bias"}
    fit(prm)
    prm.save(tmp_path / "prm", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    old, new = (AutoModel.from_pretrained(folder).state_dict() for folder in (folders[SEPARATOR], tmp_path / "prm"))
    assert all(torch.equal(each, new[name]) for name, each in old.items())


def test_a_checkpoint_goes_on_where_it_was_written(folders):
    prm = open_prm("reasoneval", folders["reasoneval"], "beta-binomial")
    fit(prm, num_steps=2)
    state = prm.state()
    batch, places, _ = chain(prm.form)
    expected = prm.predicted(batch, places)
    again = open_prm("reasoneval", folders["reasoneval"], "beta-binomial")
    again.load_state(state)
    assert again.predicted(batch, places).tolist() == expected.tolist()
    fit(prm, num_steps=2)
    assert prm.predicted(batch, places).tolist() != expected.tolist()
    assert again.predicted(batch, places).tolist() == expected.tolist()
    other = open_prm("reasoneval", folders["reasoneval"], "quantile")
    with pytest.raises(InvalidInput, match=r"offset\.bias"):
        other.load_state(state)


def test_adapters_begin_by_their_seed(folders):
    first, same, other = (
        TrainablePrm.open(settings_of("", folders[SEPARATOR]), HeadSpec(kind="quantile"), LORA, device="cpu", seed=seed)
        for seed in (1, 1, 2)
    )
    names = [name for name in first.state() if "lora_A" in name]
    assert all(torch.equal(first.state()[name], same.state()[name]) for name in names)
    assert not any(torch.equal(first.state()[name], other.state()[name]) for name in names)


@pytest.mark.ci
def test_a_backbone_in_half_precision_has_adapters_in_full(folders, tmp_path):
    prm = TrainablePrm.open(
        settings_of("", folders[SEPARATOR], "bfloat16"), HeadSpec(kind="quantile"), LORA, device="cpu"
    )
    batch, places, _ = chain(prm.form)
    full = open_prm(SEPARATOR, folders[SEPARATOR], "quantile")
    assert prm.predicted(batch, places).dtype == np.float64
    assert prm.outputs(batch, places).dtype == torch.float32
    assert {each.dtype for each in prm.state().values()} == {torch.float32}
    assert prm.old_scores(batch, places) == pytest.approx(full.old_scores(batch, places), abs=2e-2)
    before, after = fit(prm)
    assert after < before - 0.02
    prm.save(tmp_path / "prm", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    (golden,) = json.loads((tmp_path / "prm" / "golden.json").read_text())
    assert golden["dtype"] == "bfloat16"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_as_the_cpu_does(folders, tmp_path):
    on_cpu, on_gpu = (
        TrainablePrm.open(
            settings_of("", folders[SEPARATOR]),
            HeadSpec(kind="beta-binomial"),
            replace(LORA, dropout=0.0),
            device=device,
        )
        for device in ("cpu", "cuda")
    )
    batch, places, paths = chain(on_cpu.form)
    assert on_gpu.predicted(batch, places) == pytest.approx(on_cpu.predicted(batch, places), abs=1e-3)
    assert fit(on_gpu, num_steps=3)[1] == pytest.approx(fit(on_cpu, num_steps=3)[1], abs=1e-2)
    on_gpu.save(tmp_path / "prm", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    served = [score.median for score in serve(tmp_path / "prm", "auto", paths)]
    expected = predict_success(on_gpu.head, on_gpu.predicted(batch, places), [0.5]).quantiles[:, 0]
    assert served == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_what_is_said_of_the_served_head(kind):
    rng = np.random.default_rng(2)
    spec = HeadSpec(kind=kind, levels=(0.05, 0.5, 0.8))
    outputs = rng.normal(scale=3, size=(50, spec.num_outputs))
    trials = rng.integers(1, 20, size=50)
    successes = rng.integers(0, trials + 1)
    found = losses(spec, *map(torch.tensor, (outputs, successes, trials))).numpy()
    if kind == "beta-binomial":
        wanted = beta_binomial_nll(*beta_shapes(outputs), successes, trials)
    else:
        pairs = zip(outputs, successes / trials, strict=True)
        wanted = np.array([slow_pinball(row, spec.levels, p) for row, p in pairs])
    assert found == pytest.approx(wanted, rel=1e-6)


def slow_pinball(outputs: Sequence[float], levels: Sequence[float], rate: float) -> float:
    total = 0.0
    for z, level in zip(outputs, levels, strict=True):
        quantile = 1 / (1 + math.exp(-z))
        total += level * (rate - quantile) if rate >= quantile else (1 - level) * (quantile - rate)
    return total / len(levels)


def test_extreme_outputs_have_finite_losses_and_gradients():
    for kind, size in (("quantile", 3), ("beta-binomial", 2)):
        outputs = torch.tensor([[900.0] * size, [-900.0] * size, [0.0] * size], requires_grad=True)
        found = losses(HeadSpec(kind=kind), outputs, torch.tensor([0, 8, 4]), torch.tensor([8, 8, 8])).sum()
        found.backward()
        assert torch.isfinite(found)
        assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(question=st.text("ab 1.\n", min_size=1), steps=st.lists(st.text("ab 1.\n"), max_size=4))
def test_training_reads_the_token_ids_that_are_served(folders, family, question, steps):
    folder = folders[family]
    form = FAMILIES[family].make_format(PrmFolder(folder, read_tokenizer(folder / "tokenizer.json")))
    path = PathIds(form.question_ids(question))
    for step in steps:
        path = path.extended(form, step)
    assert path_ids(form, question, steps) == path.inputs(form)


@pytest.mark.parametrize(
    ("lora", "words"),
    [
        (LoraSpec(every_nth_layer=5), "has 4 layers"),
        (LoraSpec(target_modules=("q_proj", "w_proj")), "no layer has a `w_proj`"),
    ],
)
def test_layers_that_are_not_there_are_named(folders, lora, words):
    with pytest.raises(InvalidInput, match=words):
        open_prm(SEPARATOR, folders[SEPARATOR], "quantile", lora)


def test_quantised_weights_take_no_adapter(folders, tmp_path):
    folder = Path(shutil.copytree(folders[SEPARATOR], tmp_path / "prm"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    with pytest.raises(InvalidInput, match="quantised"):
        open_prm(SEPARATOR, folder, "quantile")


def test_a_family_of_ones_own_is_not_calibrated(folders):
    asked = replace(settings_of("", folders["reasoneval"]), family="tests.support.plugins:reasoneval_by_another_name")
    with pytest.raises(InvalidInput, match="can be calibrated"):
        TrainablePrm.open(asked, HeadSpec(kind="quantile"), LORA, device="cpu")


def test_a_head_without_quantiles_is_not_trained(folders):
    spec = HeadSpec(kind="probability", levels=(0.5,))
    with pytest.raises(InvalidInput, match=r"head\.kind"):
        TrainablePrm.open(settings_of("", folders[SEPARATOR]), spec, LORA, device="cpu")


def test_what_is_calibrated_is_not_calibrated_again_and_nothing_is_overwritten(folders, tmp_path):
    prm = open_prm("rlhflow", folders["rlhflow"], "quantile")
    prm.save(tmp_path / "prm", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    with pytest.raises(InvalidInput, match="is there already"):
        prm.save(tmp_path / "prm", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    with pytest.raises(InvalidInput, match="is calibrated already"):
        open_prm("", tmp_path / "prm", "quantile")


def test_what_a_killed_save_left_is_in_nobodys_way(folders, tmp_path):
    left = tmp_path / ".prm.partial"
    left.mkdir()
    (left / "model-from-another-time.safetensors").write_bytes(b"cut")
    prm = open_prm(SEPARATOR, folders[SEPARATOR], "quantile")
    prm.save(tmp_path / "prm", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    assert [each.name for each in tmp_path.iterdir()] == ["prm"]
    assert not (tmp_path / "prm" / "model-from-another-time.safetensors").exists()


def saved_shards(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Of a saved PRM: weight file -> its tensors."""
    return {file.name: load_file(file) for file in weight_files(folder)}


def test_weights_are_cut_into_files_that_one_upload_takes(folders, tmp_path, monkeypatch):
    base = Path(shutil.copytree(folders["rlhflow"], tmp_path / "base"))
    (base / "pytorch_model.bin.index.json").write_text("{}")
    prm = open_prm("rlhflow", base, "quantile")
    prm.save(tmp_path / "one", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    whole = saved_shards(tmp_path / "one")
    assert set(whole) == {"model.safetensors"}  # the base has two
    expected = whole["model.safetensors"]
    sizes = sorted(tensor.nbytes for tensor in expected.values())
    limit = 2 * sizes[len(sizes) // 2]
    assert sizes[-1] > limit > sizes[0]  # a tensor that is too large, and several in one file

    monkeypatch.setattr("actors.engines.prm.writer.MAX_SHARD_BYTES", limit)
    prm.save(tmp_path / "many", trained_for=TRAINED_FOR, notes={}, examples=[(QUESTION, STEPS)])
    shards = saved_shards(tmp_path / "many")
    assert list(shards) == [f"model-{at:05d}-of-{len(shards):05d}.safetensors" for at in range(1, len(shards) + 1)]
    assert 2 < len(shards) < len(expected)
    for tensors in shards.values():
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= limit
    found = {name: tensor for tensors in shards.values() for name, tensor in tensors.items()}
    assert sum(map(len, shards.values())) == len(found) == len(expected)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())

    for name, files in (("one", whole), ("many", shards)):
        index = json.loads((tmp_path / name / "model.safetensors.index.json").read_text())
        assert index["weight_map"] == {tensor: file for file, tensors in files.items() for tensor in tensors}
        assert index["metadata"]["total_size"] == sum(sizes)
        assert not (tmp_path / name / "pytorch_model.bin.index.json").exists()
        AutoModel.from_pretrained(tmp_path / name)
    old, new = (AutoModel.from_pretrained(tmp_path / name).state_dict() for name in ("one", "many"))
    assert all(torch.equal(each, new[name]) for name, each in old.items())


def test_old_scores_are_without_dropout_and_tell_what_fills_the_device(folders, monkeypatch):
    prm = open_prm(SEPARATOR, folders[SEPARATOR], "quantile", replace(LORA, dropout=0.5))
    engine = TorchTraining(prm, weight_files(folders[SEPARATOR]), weight_decay=0.0)
    ids, places, _ = chain(prm.form)
    counts = np.array([7, 1, 0, 1])
    batch = Batch(ids=ids, places=places, successes=counts, trials=np.full(4, 8), weights=np.ones(4))
    engine.accumulate(batch, 1.0)
    assert prm._backbone.training
    engine.old_scores(batch)
    assert not prm._backbone.training

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(prm, "_hidden", full)
    with pytest.raises(TrainingFailed, match=r"calibration\.pass_tokens"):
        engine.old_scores(batch)


def test_weights_that_are_missing_are_named(folders, tmp_path):
    folder = Path(shutil.copytree(folders[SEPARATOR], tmp_path / "prm"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(InvalidInput, match=r"norm\.weight"):
        open_prm(SEPARATOR, folder, "quantile")
