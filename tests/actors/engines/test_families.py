"""How a PRM's family is found, its head read, and a folder refused that does not hold what the family needs."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import beta

from actors.engines.chat import read_chat_template
from actors.engines.prm.families import FAMILIES, find_family, plain_architecture
from actors.engines.prm.head_file import save_head
from actors.engines.prm.heads import ClassHead, Linear, OffsetHead
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.text import read_tokenizer
from actors.replicas.preflight import check_prm
from records.failure import InvalidInput
from scaling.calibration.heads import HeadSpec
from tests.support.fakes import PRM_SETTINGS
from tests.support.tiny_prms import FAMILY_NAMES, HIDDEN, head_tensors, language_model, make_prm, tokenizer_of

FOUND_BY_THEMSELVES = ("qwen2.5-math-prm", "skywork-o1-prm", "reasoneval")
NAMED = ("math-shepherd", "rlhflow")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {family: make_prm(family, tmp_path_factory.mktemp("prms") / family) for family in FAMILY_NAMES}


def check(folder: Path, family: str = "auto", max_model_len: int = 1024) -> None:
    check_prm(replace(PRM_SETTINGS, model=str(folder), family=family, max_model_len=max_model_len))


def opened(folder: Path) -> PrmFolder:
    return PrmFolder(folder, read_tokenizer(folder / "tokenizer.json"))


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_whole_folder_passes(folders, family):
    check(folders[family], family)


@pytest.mark.parametrize("family", FOUND_BY_THEMSELVES)
def test_a_family_that_shows_is_found(folders, family):
    assert find_family(folders[family], "auto") is FAMILIES[family]
    check(folders[family])


@pytest.mark.parametrize("family", NAMED)
def test_a_family_that_looks_like_a_language_model_has_to_be_named(folders, family):
    with pytest.raises(InvalidInput, match=r"prm_config\.json.*set prm\.family to one of"):
        check(folders[family])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("math-sheperd", "known are auto, separator, qwen2.5-math-prm"),
        ("tests.support.plugins:nobody", "cannot be imported"),
        ("tests.nowhere:nobody", "cannot be imported"),
        ("tests.support.plugins:no_family", "returned str"),
    ],
)
def test_an_unknown_family_is_refused(folders, asked, words):
    with pytest.raises(InvalidInput, match=words):
        check(folders["reasoneval"], asked)


def test_a_family_of_ones_own_is_checked_like_any(folders):
    check(folders["reasoneval"], "tests.support.plugins:reasoneval_by_another_name")


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_wrong_family_is_refused(folders, family):
    for other in set(FAMILY_NAMES) - {family}:
        with pytest.raises(InvalidInput):
            check(folders[family], other)


def test_a_folder_that_says_another_family_is_refused(folders, tmp_path):
    folder = Path(shutil.copytree(folders["reasoneval"], tmp_path / "prm"))
    (folder / "prm_config.json").write_text(json.dumps({"format_version": 1, "family": "reasoneval"}))
    check(folder)
    with pytest.raises(InvalidInput, match=r"leave prm\.family out"):
        check(folder, "math-shepherd")


def change_json(file: Path, **fields: object) -> None:
    """Set fields; None removes one."""
    content = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def without(folder: Path, name: str) -> None:
    for file in folder.glob("*.safetensors"):
        save_file({each: tensor for each, tensor in load_file(file).items() if each != name}, file)


def with_shape(folder: Path, name: str, *shape: int) -> None:
    without(folder, name)
    save_file({name: torch.zeros(shape)}, folder / "model-00003-of-00003.safetensors")


def without_token(folder: Path, text: str) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"] = [each for each in content["added_tokens"] if each["content"] != text]
    (folder / "tokenizer.json").write_text(json.dumps(content))


def unmerged(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["merges"] = []
    (folder / "tokenizer.json").write_text(json.dumps(content))


TOKENIZER_CONFIG = "tokenizer_config.json"
BREAKAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "qwen: no tag": ("qwen2.5-math-prm", lambda folder: without_token(folder, "<extra_0>"), "<extra_0>"),
    "qwen: no head": ("qwen2.5-math-prm", lambda folder: without(folder, "score.2.bias"), "score.2.bias"),
    "qwen: one class": ("qwen2.5-math-prm", lambda folder: with_shape(folder, "score.2.weight", 1, HIDDEN), "1, 64"),
    "qwen: other size": (
        "qwen2.5-math-prm",
        lambda folder: with_shape(folder, "score.0.weight", 8, 7),
        "needs .*any.*, 64",
    ),
    "qwen: no template": (
        "qwen2.5-math-prm",
        lambda folder: change_json(folder / TOKENIZER_CONFIG, chat_template=None),
        "no chat template",
    ),
    "qwen: bad template": (
        "qwen2.5-math-prm",
        lambda folder: change_json(folder / TOKENIZER_CONFIG, chat_template="{{ raise_exception('no system') }}"),
        "refuses a chat of the roles system, user: no system",
    ),
    "qwen: other model": (
        "qwen2.5-math-prm",
        lambda folder: change_json(folder / "config.json", model_type="gpt2"),
        "model_type is 'gpt2'",
    ),
    "shepherd: no tag": ("math-shepherd", unmerged, "not one token"),
    "shepherd: no answers": ("math-shepherd", lambda folder: without(folder, "lm_head.weight"), "lm_head.weight"),
    "shepherd: small head": ("math-shepherd", lambda folder: with_shape(folder, "lm_head.weight", 5, HIDDEN), "5 rows"),
    "rlhflow: one turn": (
        "rlhflow",
        lambda folder: change_json(folder / TOKENIZER_CONFIG, chat_template="{{ messages[-1]['content'] }}"),
        "does not write the turns",
    ),
    "skywork: no begin": (
        "skywork-o1-prm",
        lambda folder: change_json(folder / TOKENIZER_CONFIG, bos_token=None),
        "bos",
    ),
    "skywork: wide": (
        "skywork-o1-prm",
        lambda folder: with_shape(folder, "v_head.summary.weight", 2, HIDDEN),
        "v_head.summary.weight",
    ),
    "reasoneval: no pad": ("reasoneval", lambda folder: change_json(folder / TOKENIZER_CONFIG, pad_token=None), "pad"),
    "reasoneval: two": ("reasoneval", lambda folder: with_shape(folder, "score_head.weight", 2, HIDDEN), "2, 64"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_folder_that_lacks_something_is_refused(folders, tmp_path, name):
    family, break_it, words = BREAKAGES[name]
    folder = Path(shutil.copytree(folders[family], tmp_path / "prm"))
    break_it(folder)
    with pytest.raises(InvalidInput, match=words):
        check(folder, family)


def test_a_context_that_the_prompt_fills_is_refused(folders):
    check(folders["qwen2.5-math-prm"], max_model_len=256)
    with pytest.raises(InvalidInput, match="leaves nothing"):
        check(folders["qwen2.5-math-prm"], max_model_len=100)


def expected_score(family: str, folder: Path, hidden: torch.Tensor) -> float:
    """The authors' way, in torch."""
    tensors = stored(folder)
    if family == "qwen2.5-math-prm":
        inner = torch.relu(hidden @ tensors["score.0.weight"].T + tensors["score.0.bias"])
        return float((inner @ tensors["score.2.weight"].T + tensors["score.2.bias"]).softmax(-1)[1])
    if family == "skywork-o1-prm":
        logit = hidden @ tensors["v_head.summary.weight"].T + tensors["v_head.summary.bias"]
        return float(torch.sigmoid(logit)[0])
    if family == "reasoneval":
        return float((hidden @ tensors["score_head.weight"].T).softmax(-1)[1:].sum())
    tokenizer = tokenizer_of(family)
    answers = [tokenizer.encode(text, add_special_tokens=False).ids[-1] for text in ("+", "-")]
    return float((hidden @ tensors["lm_head.weight"].T)[answers].softmax(-1)[0])


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_head_reads_as_its_authors_do(folders, family):
    head = FAMILIES[family].head.load(opened(folders[family]))
    assert head.num_quantiles == 1
    generator = torch.Generator().manual_seed(1)
    for scale in (0.1, 1.0, 3.0):
        hidden = scale * torch.randn(HIDDEN, generator=generator)
        score = head.read(hidden.numpy())
        assert score.lower == score.median == score.upper
        assert score.median == pytest.approx(expected_score(family, folders[family], hidden), abs=1e-6)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_extreme_hidden_states_give_probabilities(folders, family):
    head = FAMILIES[family].head.load(opened(folders[family]))
    for value in (-1e4, 1e4):
        assert 0 <= head.read(np.full(HIDDEN, value, dtype=np.float32)).median <= 1


def test_a_head_in_half_precision_is_read_in_full(folders, tmp_path):
    folder = Path(shutil.copytree(folders["qwen2.5-math-prm"], tmp_path / "prm"))
    for file in folder.glob("*.safetensors"):
        save_file({name: tensor.bfloat16() for name, tensor in load_file(file).items()}, file)
    hidden = torch.linspace(-2, 2, HIDDEN)
    score = FAMILIES["qwen2.5-math-prm"].head.load(opened(folder)).read(hidden.numpy())
    rounded = {name: tensor.bfloat16().float() for name, tensor in head_tensors("qwen2.5-math-prm").items()}
    inner = torch.relu(hidden @ rounded["score.0.weight"].T + rounded["score.0.bias"])
    wanted = (inner @ rounded["score.2.weight"].T + rounded["score.2.bias"]).softmax(-1)[1]
    assert score.median == pytest.approx(float(wanted), abs=1e-6)


def test_a_tied_output_layer_is_the_embedding(folders, tmp_path):
    folder = Path(shutil.copytree(folders["rlhflow"], tmp_path / "prm"))
    change_json(folder / "config.json", tie_word_embeddings=True)
    without(folder, "lm_head.weight")
    hidden = torch.linspace(-2, 2, HIDDEN)
    tokenizer = tokenizer_of("rlhflow")
    answers = [tokenizer.encode(text, add_special_tokens=False).ids[-1] for text in ("+", "-")]
    wanted = float((hidden @ stored(folder)["model.embed_tokens.weight"].T)[answers].softmax(-1)[0])
    check(folder, "rlhflow")
    assert FAMILIES["rlhflow"].head.load(opened(folder)).read(hidden.numpy()).median == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("kind", ["quantile", "beta-binomial"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_head_of_ones_own_on_a_published_prompt(folders, tmp_path, family, kind):
    """What a calibrated PRM is: the prompt of a published family, and quantiles from head.safetensors."""
    folder = Path(shutil.copytree(folders[family], tmp_path / "prm"))
    published = FAMILIES[family].head.load(opened(folder))
    assert isinstance(published, ClassHead)
    spec = HeadSpec(kind=kind)
    features = len(published.good.weight[0])
    offset = Linear(np.zeros((spec.num_outputs, features), np.float32), np.zeros(spec.num_outputs, np.float32))
    offset.bias[-1] = 1.0
    save_head(folder, OffsetHead(published, offset, spec))
    described = {"format_version": 1, "family": family, "head": spec.to_json()}
    (folder / "prm_config.json").write_text(json.dumps(described))
    check(folder)
    hidden = torch.linspace(-2, 2, HIDDEN)
    score = find_family(folder, "auto").head.load(opened(folder)).read(hidden.numpy())
    old = expected_score(family, folder, hidden)
    if kind == "quantile":
        assert score.lower == score.median == pytest.approx(old, abs=1e-6)
        assert score.upper > score.median
    else:
        concentration = spec.concentration * math.e
        wanted = beta.ppf([0.1, 0.5, 0.9], old * concentration, (1 - old) * concentration)
        assert [score.lower, score.median, score.upper] == pytest.approx(list(wanted), abs=1e-5)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_backbone_is_the_language_model_of_the_published_one(folders, family):
    plain = type(language_model(family, folders[family])).__name__
    assert plain_architecture(opened(folders[family])) == plain


def test_a_template_of_its_own_file_comes_first(folders, tmp_path):
    folder = Path(shutil.copytree(folders["rlhflow"], tmp_path / "prm"))
    (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0]['content'] }}")
    template = read_chat_template(folder)
    assert template is not None
    assert template.render([{"role": "user", "content": "hi"}]) == "<|begin_of_text|>hi"
