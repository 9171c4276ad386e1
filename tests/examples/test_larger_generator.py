"""The embedded example's larger generator: how it is grown, what it is trained on, and what is committed."""

import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import LlamaForCausalLM

from examples.arithmetic.common import HERE, prompt_text, solution_text
from examples.arithmetic.grow_generator import grown
from examples.arithmetic.guesses import guessing_solution
from examples.arithmetic.problems import LEVELS, draw_problem, parse_question
from examples.arithmetic.tokenizer import build_tokenizer
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import as_json

LARGE = HERE / "generator-large"
MAX_BYTES = 10_000_000


@pytest.fixture(scope="module")
def small() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(HERE / "generator", dtype=torch.float32)


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    steps = ["7*3=21 so 12-21+40", "12-21=-9 so -9+40", "-9+40=31 so 31", "\\boxed{31}"]
    text = prompt_text("Compute 12-7*3+40.") + solution_text(steps)
    return torch.tensor([build_tokenizer()(text)["input_ids"]])


def test_growing_keeps_the_function(small, tokens):
    larger = grown(small)
    assert (larger.config.num_hidden_layers, larger.config.intermediate_size) == (8, 768)
    with torch.no_grad():
        torch.testing.assert_close(larger(tokens).logits, small(tokens).logits, atol=1e-4, rtol=0)


def test_every_new_weight_that_is_zero_gets_a_gradient(small, tokens):
    larger = grown(small)
    torch.autograd.backward(larger(tokens, labels=tokens).loss)
    silent = {name: value for name, value in larger.named_parameters() if not value.detach().any(dim=-1).all()}
    assert len(silent) == 8, "the outputs of 4 attentions and 4 MLPs"
    assert all(value.grad is not None and value.grad.any() for value in silent.values())
    columns = larger.get_parameter("model.layers.0.mlp.down_proj.weight")
    assert not columns.detach()[:, 512:].any()
    assert columns.grad is not None
    assert columns.grad[:, 512:].any(dim=0).all()


def test_a_width_below_the_old_one_is_refused(small):
    with pytest.raises(ValueError, match="cannot be grown to 256"):
        grown(small, mlp_units=256)


def guessed_share(scale: float) -> float:
    rng = random.Random(1)
    questions = [draw_problem(rng, LEVELS[6], "train")[0] for _ in range(1000)]
    steps = [step for question in questions for step in guessing_solution(rng, parse_question(question), scale)[:-1]]
    return sum("~" in step for step in steps) / len(steps)


def test_the_scale_multiplies_the_guesses():
    assert guessed_share(0.0) == 0
    assert guessed_share(0.5) == pytest.approx(guessed_share(1.0) / 2, rel=0.1)


def test_the_committed_weights_are_small_and_of_the_same_tokenizer():
    weights = LARGE / "model.safetensors"
    assert weights.stat().st_size < MAX_BYTES
    with safe_open(weights, framework="pt") as saved:
        assert {saved.get_tensor(name).dtype for name in saved.keys()} == {torch.bfloat16}  # noqa: SIM118
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (LARGE / name).read_bytes() == (HERE / "generator" / name).read_bytes()


def test_the_recipes_differ_in_the_generator_alone():
    def without_generator(path: Path) -> dict[str, object]:
        return {name: value for name, value in as_json(load_recipe(path)).items() if name != "generator"}

    assert without_generator(HERE / "best-of-16.toml") == without_generator(HERE / "large-best-of-16.toml")
