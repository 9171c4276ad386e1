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
from actors.engines.heads import Head, load_head
from records.failure import InvalidInput, PreflightFailed
from tests.fakes import PRM_SETTINGS, byte_tokenizer, fake_prm, true_score

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


def write_head(folder, head, weight, bias):
    (folder / "prm_config.json").write_text(json.dumps({"head": head}))
    save_file({"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}, folder / "head.safetensors")


def test_a_probability_head_is_one_sigmoid(tmp_path):
    write_head(tmp_path, {"kind": "probability"}, np.array([[1.0, -2.0]]), np.array([0.5]))
    score = load_head(tmp_path, 2).read(np.array([3.0, 1.0], dtype=np.float32))
    assert score.lower == score.median == score.upper == pytest.approx(1 / (1 + math.exp(-1.5)))


def test_quantiles_are_sorted_and_read_by_level(tmp_path):
    head = {"kind": "quantile", "levels": [0.1, 0.25, 0.5, 0.9]}
    write_head(tmp_path, head, np.zeros((4, 2)), np.array([2.0, -1.0, 0.0, 1.0]))
    score = load_head(tmp_path, 2).read(np.zeros(2, dtype=np.float32))
    sigmoid = [1 / (1 + math.exp(-logit)) for logit in (-1.0, 0.0, 1.0, 2.0)]
    assert [score.lower, score.median, score.upper] == pytest.approx([sigmoid[0], sigmoid[2], sigmoid[3]])


def test_extreme_logits_stay_probabilities():
    head = Head(weight=np.array([[1000.0]], dtype=np.float32), bias=np.zeros(1, dtype=np.float32), median_at=0)
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
        {"kind": "quantile", "levels": [0.1, 0.5, 0.9]},  # three levels for one row of weights
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path, head):
    write_head(tmp_path, head, np.zeros((1, 2)), np.zeros(1))
    with pytest.raises(InvalidInput):
        load_head(tmp_path, 2)


def test_a_head_for_another_backbone_is_refused(tmp_path):
    write_head(tmp_path, {"kind": "probability"}, np.zeros((1, 2)), np.zeros(1))
    with pytest.raises(InvalidInput, match="hidden size of 3"):
        load_head(tmp_path, 3)


def write_golden(folder, shift):
    steps = ["Step 1 of 4: fine", "Step 2 of 4: slip"]
    texts = ["".join(step + SEPARATOR for step in steps[:number]) for number in range(3)]
    scores = [true_score("What?", text).median + shift for text in texts]
    golden = [{"question": "What?", "steps": steps, "scores": scores}]
    (folder / "golden.json").write_text(
        json.dumps([*golden, {"question": "So?", "steps": [], "scores": [true_score("So?", "").median]}])
    )


async def test_golden_scores_are_checked_and_their_error_reported(tmp_path):
    write_golden(tmp_path, 1e-4)
    info = await fake_prm(replace(PRM_SETTINGS, model=str(tmp_path))).hello()
    assert info.details["golden_max_error"] == pytest.approx(1e-4)


@pytest.mark.parametrize(("dtype", "fails"), [("float32", True), ("bfloat16", False)])
async def test_a_wrong_golden_score_stops_the_start_unless_precision_explains_it(tmp_path, dtype, fails):
    write_golden(tmp_path, 0.01)
    replica = fake_prm(replace(PRM_SETTINGS, model=str(tmp_path), dtype=dtype))
    if fails:
        with pytest.raises(PreflightFailed, match=r"golden\.json"):
            await replica.hello()
    else:
        await replica.hello()


async def test_a_prm_without_golden_scores_says_so():
    assert (await fake_prm().hello()).details["golden_max_error"] is None
