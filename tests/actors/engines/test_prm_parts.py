"""Format and head of a PRM, and the checks of its golden scores, over the fake engine."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from actors.engines.formats import SeparatorFormat
from actors.engines.prm.head_file import load_head, logit_head, save_head
from actors.engines.prm.heads import ClassHead, Linear, OffsetHead
from records.failure import InvalidInput, PreflightFailed
from scaling.calibration.heads import HeadSpec
from tests.support.fakes import PRM_SETTINGS, byte_tokenizer, fake_prm, true_score

SEPARATOR = "\n\n"
FORMAT = SeparatorFormat(byte_tokenizer(), SEPARATOR)


@given(steps=st.lists(st.text(alphabet="ab\n ", max_size=8), max_size=5))
def test_every_step_ends_in_one_separator_token(steps):
    (separator_id,) = byte_tokenizer().encode(SEPARATOR, special=False)
    for step in steps:
        ids = FORMAT.step_ids(step, first=True)
        assert ids == () or ids[-1] == separator_id
        assert ids[:-1] == byte_tokenizer().encode(step.rstrip("\n"), special=False)


def test_a_step_scores_the_same_however_many_newlines_ended_it():
    assert (
        FORMAT.step_ids("a", first=True)
        == FORMAT.step_ids("a\n\n", first=True)
        == FORMAT.step_ids("a\n\n\n", first=True)
        == FORMAT.step_ids("a\n\n\n\n", first=True)
    )


def write_head(folder, head, **tensors):
    (folder / "prm_config.json").write_text(json.dumps({"head": head}))
    named = {name.replace("_", "."): np.asarray(value, dtype=np.float32) for name, value in tensors.items()}
    save_file(named, folder / "head.safetensors")


def offset_tensors(num_outputs, num_features=2):
    """A class head whose score is 1/2 whatever it sees, and no offset."""
    return {
        "bad_weight": np.zeros((1, num_features)),
        "bad_bias": np.zeros(1),
        "good_weight": np.zeros((1, num_features)),
        "good_bias": np.zeros(1),
        "offset_weight": np.zeros((num_outputs, num_features)),
        "offset_bias": np.zeros(num_outputs),
    }


def test_a_probability_head_is_one_sigmoid(tmp_path):
    write_head(tmp_path, {"kind": "probability"}, weight=[[1.0, -2.0]], bias=[0.5])
    score = load_head(tmp_path, 2).read(np.array([3.0, 1.0], dtype=np.float32))
    assert score.lower == score.median == score.upper == pytest.approx(1 / (1 + math.exp(-1.5)))


def test_quantiles_are_sorted_and_read_by_level(tmp_path):
    head = {"kind": "quantile", "levels": [0.1, 0.25, 0.5, 0.9]}
    write_head(tmp_path, head, **offset_tensors(4) | {"offset_bias": [2.0, -1.0, 0.0, 1.0]})
    loaded = load_head(tmp_path, 2)
    score = loaded.read(np.zeros(2, dtype=np.float32))
    sigmoid = [1 / (1 + math.exp(-logit)) for logit in (-1.0, 0.0, 1.0, 2.0)]
    assert [score.lower, score.median, score.upper] == pytest.approx([sigmoid[0], sigmoid[2], sigmoid[3]])
    assert loaded.num_quantiles == 4


def test_the_lower_quantile_is_shifted_as_the_folder_says(tmp_path):
    head = {"kind": "quantile", "levels": [0.1, 0.5, 0.9], "lower_shift": 0.125}
    write_head(tmp_path, head, **offset_tensors(3))
    score = load_head(tmp_path, 2).read(np.zeros(2, dtype=np.float32))
    assert (score.lower, score.median, score.upper) == (0.375, 0.5, 0.5)


def test_an_offset_is_read_from_the_features_behind_the_inner_layer(tmp_path):
    tensors = offset_tensors(2, num_features=3) | {
        "inner_weight": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
        "inner_bias": [0.0, -5.0, 1.0],
        "bad_weight": [[0.25, 1.0, 0.0]],
        "good_weight": [[0.75, 1.0, 0.0]],
        "good_bias": [0.5],
        "offset_weight": [[0.0, 7.0, 0.5], [0.0, 7.0, 0.25]],
        "offset_bias": [-1.0, 2.0],
    }
    write_head(tmp_path, {"kind": "beta-binomial", "levels": [0.1, 0.5, 0.9], "concentration": 3.0}, **tensors)
    outputs = load_head(tmp_path, 2).outputs(np.array([2.0, 4.0], dtype=np.float32))
    features = [2.0, 0.0, 7.0]  # 4 - 5 is below 0
    logit = 0.5 * features[0] + 0.5
    assert outputs == pytest.approx([logit + 3.5 - 1.0, math.log(3.0) + 1.75 + 2.0])


def test_a_written_head_reads_the_same(tmp_path):
    rng = np.random.default_rng(1)
    inner, bad, good, offset = (
        Linear(rng.normal(size=(rows, columns)).astype(np.float32), rng.normal(size=rows).astype(np.float32))
        for rows, columns in ((5, 4), (1, 5), (2, 5), (3, 5))
    )
    for head in (
        OffsetHead(ClassHead(bad, good, inner), offset, HeadSpec(kind="quantile", lower_shift=0.01)),
        OffsetHead(ClassHead(bad, good), offset.rows(0, 2), HeadSpec(kind="beta-binomial", levels=(0.05, 0.5, 0.8))),
    ):
        hidden = rng.normal(size=4 if head.base.inner else 5).astype(np.float32)
        save_head(tmp_path, head)
        (tmp_path / "prm_config.json").write_text(json.dumps({"head": head.spec.to_json()}))
        loaded = load_head(tmp_path, len(hidden))
        assert loaded.spec == head.spec
        assert loaded.read(hidden) == head.read(hidden)


def test_extreme_logits_stay_probabilities():
    head = logit_head(Linear(np.array([[1000.0]], dtype=np.float32), np.zeros(1, dtype=np.float32)))
    assert head.read(np.array([1.0], dtype=np.float32)).median == 1.0
    assert head.read(np.array([-0.6], dtype=np.float32)).median == pytest.approx(0.0)


@pytest.mark.parametrize(
    "head",
    [
        {"kind": "softmax"},
        None,
        {"kind": "quantile"},
        {"kind": "quantile", "levels": [0.5, 0.1]},
        {"kind": "quantile", "levels": [0.1, 0.9]},
        {"kind": "quantile", "levels": [0.0, 0.5]},
        {"kind": "quantile", "levels": [0.1, 0.5, 0.9], "conformal": 0.1},
        {"kind": "quantile", "levels": [0.1, 0.5, 0.9], "lower_shift": "much"},
        {"kind": "beta-binomial", "levels": [0.1, 0.5, 0.9], "concentration": 0},
        {"kind": "probability", "levels": [0.5]},
    ],
)
def test_a_head_that_is_badly_described_is_refused(tmp_path, head):
    write_head(tmp_path, head, **offset_tensors(2), weight=np.zeros((1, 2)), bias=np.zeros(1))
    with pytest.raises(InvalidInput, match=r"prm_config\.json: .*head"):
        load_head(tmp_path, 2)


QUANTILES = {"kind": "quantile", "levels": [0.1, 0.5, 0.9]}


@pytest.mark.parametrize(
    ("head", "tensors", "words"),
    [
        ({"kind": "probability"}, {"weight": np.zeros((1, 3)), "bias": np.zeros(1)}, r"`weight` is F32 \[1, 3\]"),
        ({"kind": "probability"}, {"weight": np.zeros((1, 2))}, "`bias` is missing"),
        (QUANTILES, {"weight": np.zeros((3, 2)), "bias": np.zeros(3)}, "`bad.weight` is missing"),
        (QUANTILES, offset_tensors(2), r"`offset.weight` is F32 \[2, 2\]"),
        (QUANTILES, offset_tensors(3, num_features=3), r"`bad.weight` is F32 \[1, 3\]"),
        (QUANTILES, offset_tensors(3) | {"inner_weight": np.zeros((3, 2))}, "`inner.bias` is missing"),
        (
            QUANTILES,
            offset_tensors(3) | {"inner_weight": np.zeros((3, 2)), "inner_bias": np.zeros(3)},
            r"`bad.weight` is F32 \[1, 2\]",
        ),
        (QUANTILES, offset_tensors(3) | {"good_weight": np.zeros((0, 2))}, "`good.weight`"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path, head, tensors, words):
    write_head(tmp_path, head, **tensors)
    with pytest.raises(InvalidInput, match=words):
        load_head(tmp_path, 2)


def write_golden(folder, shift, **more):
    steps = ["Step 1 of 4: fine", "Step 2 of 4: slip"]
    texts = ["".join(step + SEPARATOR for step in steps[:number]) for number in range(3)]
    scores = [true_score("What?", text).median + shift for text in texts]
    golden = [{"question": "What?", "steps": steps, "scores": scores, **more}]
    (folder / "golden.json").write_text(
        json.dumps([*golden, {"question": "So?", "steps": [], "scores": [true_score("So?", "").median]}])
    )


async def test_golden_scores_are_checked_and_their_error_reported(tmp_path):
    write_golden(tmp_path, 1e-4)
    info = await fake_prm(replace(PRM_SETTINGS, model=str(tmp_path))).hello()
    assert info.details["golden_max_error"] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("dtype", "made_in", "fails"),
    [
        ("float32", {}, True),
        ("float32", {"dtype": "float32"}, True),
        ("float32", {"dtype": "bfloat16"}, False),
        ("bfloat16", {}, False),
        ("bfloat16", {"dtype": "float32"}, False),
    ],
)
async def test_a_wrong_golden_score_stops_the_start_unless_precision_explains_it(tmp_path, dtype, made_in, fails):
    write_golden(tmp_path, 0.01, **made_in)
    replica = fake_prm(replace(PRM_SETTINGS, model=str(tmp_path), dtype=dtype))
    if fails:
        with pytest.raises(PreflightFailed, match=r"golden\.json"):
            await replica.hello()
    else:
        await replica.hello()


async def test_a_prm_without_golden_scores_says_so():
    assert (await fake_prm().hello()).details["golden_max_error"] is None
