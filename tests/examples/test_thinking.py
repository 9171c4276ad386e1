"""The example of a reasoning model: what its synthetic thoughts promise, and what is trained on."""

import random
import re
from argparse import Namespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoTokenizer

from examples.arithmetic.common import read_problems
from examples.arithmetic.problems import draw_problem, parse_question, solve, split_of
from examples.arithmetic.tokenizer import build_tokenizer as arithmetic_tokenizer
from examples.thinking.documents import (
    CONTEXT,
    IGNORED,
    Document,
    draw_documents,
    make_batch,
    packed_by_length,
    training_mix,
)
from examples.thinking.problems import HERE, write_files
from examples.thinking.thoughts import MAX_ATTEMPTS, Thinker
from examples.thinking.tokenizer import END_THINK, PHRASES, THINK, build_tokenizer
from examples.thinking.train import DEFAULT_SEED, train
from jobs.recipes.load import load_recipe

STATED = re.compile(r"(?:Perhaps|So it is|Still) (-?\d+)\.")
RECIPES = sorted(HERE.glob("*.toml"))


def thought(seed: int) -> tuple[Thinker, str, int]:
    rng = random.Random(seed)
    question, _, answer = draw_problem(rng, training_mix(rng), "train")
    thinker = Thinker(rng, parse_question(question))
    return thinker, thinker.think(), answer


@given(seed=st.integers(0, 10**9))
def test_a_thought_ends_with_the_answer_that_it_believes_in(seed):
    thinker, belief, _ = thought(seed)
    assert STATED.fullmatch(thinker.paragraphs[-1])[1] == belief
    stated = [found[1] for paragraph in thinker.paragraphs if (found := STATED.fullmatch(paragraph))]
    assert len(stated) == len(thinker.results) <= MAX_ATTEMPTS
    confirmed = next((at for at, result in enumerate(thinker.results) if result in thinker.results[:at]), None)
    if confirmed is not None:  # what was seen twice stays, whatever the checks after it came to
        assert set(stated[confirmed:]) == {thinker.results[confirmed]} == {belief}


def test_attempts_are_worked_out_from_the_numbers_that_they_have_written():
    for seed in range(200):
        thinker, _, _ = thought(seed)
        for paragraph in thinker.paragraphs:
            if "=" in paragraph:
                done, rest = paragraph.split("=")
                [operator] = re.findall(r"(?<=\d)[*+-]", done)
                left, right = re.split(rf"(?<=\d)\{operator}", done)
                steps = solve([left, operator, right])
                assert steps is None or rest.split(" so ")[0] == str(steps[1])


def test_lengths_grow_with_difficulty_and_spread():
    by_length: dict[int, list[int]] = {}
    for seed in range(1500):
        thinker, _, _ = thought(seed)
        by_length.setdefault(len(thinker.terms) // 2, []).append(sum(map(len, thinker.paragraphs)))
    means = [sum(lengths) / len(lengths) for _, lengths in sorted(by_length.items())]
    assert means == sorted(means)
    every = sorted(length for lengths in by_length.values() for length in lengths)
    assert every[len(every) * 99 // 100] > 20 * every[len(every) // 100]


def test_what_is_trained_on_and_what_is_asked_share_no_question():
    tokenizer = build_tokenizer()
    for document in draw_documents(tokenizer, 1, 1, 40):
        assert split_of(tokenizer.decode(document.trunk[1 : document.prompt]).strip()) == "train"
    for name, split in (("test", "test"), ("tune", "calibration")):
        problems = read_problems(HERE / f"{name}.jsonl")
        assert {split_of(problem.question) for problem in problems} == {split}
        assert len({problem.question for problem in problems}) == len(problems)
    assert len(read_problems(HERE / "test.jsonl")) == 300


def test_the_problem_files_are_what_the_script_writes(tmp_path):
    write_files(tmp_path, DEFAULT_SEED)
    for name in ("test.jsonl", "tune.jsonl"):
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()


def test_forced_answers_are_right_and_stand_in_the_thought():
    tokenizer = build_tokenizer()
    end = tokenizer.convert_tokens_to_ids(END_THINK)
    for document in draw_documents(tokenizer, 3, 1, 40):
        question = tokenizer.decode(document.trunk[1 : document.prompt])
        solved = solve(parse_question(question.strip()))
        assert len(document.trunk) <= CONTEXT
        for cut, forced in document.branches:
            assert document.prompt < cut <= len(document.trunk)
            assert end not in document.trunk[:cut]
            assert tokenizer.decode(forced) == f"</think>\n\n\\boxed{{{solved[1]}}}<eos>"


def test_a_token_attends_to_its_own_trunk_and_branch():
    """Against the rule in words, token by token."""
    documents = [
        Document([1, 2, 3, 4, 5], 2, [(3, [9, 8]), (4, [9, 7, 6])]),
        Document([11, 12, 13], 1, [(2, [9, 5])]),
    ]
    ids, positions, labels, mask = make_batch([documents], pad=0)
    rows = []  # document, part (0: trunk), place in the text, and which tokens are learned from here
    for number, document in enumerate(documents):
        trunk = document.trunk
        rows += [
            (number, 0, at, trunk[at + 1] if document.prompt <= at + 1 < len(trunk) else IGNORED)
            for at in range(len(trunk))
        ]
        for part, (cut, forced) in enumerate(document.branches, 1):
            rows += [
                (number, part, cut + at, forced[at + 1] if at + 1 < len(forced) else IGNORED)
                for at in range(len(forced))
            ]
    assert ids.shape == (1, len(rows))
    assert positions[0].tolist() == [place for _, _, place, _ in rows]
    assert labels[0].tolist() == [label for *_, label in rows]
    for reader, (number, part, place, _) in enumerate(rows):
        cut = documents[number].branches[part - 1][0] if part else None
        for read, (its_number, its_part, its_place, _) in enumerate(rows):
            before = its_part == 0 and its_place < cut if part and its_part != part else its_part == part
            expected = its_number == number and its_place <= place and before
            assert bool(mask[0, 0, reader, read]) == expected


def test_every_document_is_packed_once():
    documents = draw_documents(build_tokenizer(), 5, 1, 30)
    found = [document for rows in packed_by_length(documents) for row in rows for document in row]
    assert sorted(map(id, found)) == sorted(map(id, documents))


def test_the_tokenizer_is_the_arithmetic_ones_with_marks_of_one_token():
    tokenizer, before = build_tokenizer(), arithmetic_tokenizer()
    shipped = AutoTokenizer.from_pretrained(HERE / "generator")
    text = "<think>7*3=21 so 5+21\n\nPerhaps 26.</think>\n\n\\boxed{26}"
    assert tokenizer(text)["input_ids"] == shipped(text)["input_ids"]
    assert tokenizer("Compute 7*3.\n\n")["input_ids"] == before("Compute 7*3.\n\n")["input_ids"]
    assert all(
        len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1 for word in (THINK, END_THINK, *PHRASES)
    )
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"], skip_special_tokens=True) == text


def test_the_weights_are_small():
    assert sum(file.stat().st_size for file in (HERE / "generator").iterdir()) < 10_000_000


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_its_recipes_are_whole(path):
    recipe = load_recipe(path)
    assert recipe.generator.thinking is not None
    assert recipe.generator.max_tokens < recipe.generator.max_model_len
    assert not recipe.strategy.needs_prm


def test_a_training_that_was_ended_goes_on_as_if_it_had_not_been(tmp_path):
    def trained(name: str, *, every: int, end_after: int | None = None) -> dict[str, torch.Tensor]:
        args = Namespace(
            start=HERE.parent / "arithmetic/generator", output=tmp_path / name, checkpoint=tmp_path / f"{name}-state",
            steps=3, cool_from=2, cool_steps=1, documents=1, peak_rate=1e-3, threads=1, every=every, seed=1,
        )  # fmt: skip
        if end_after is not None:
            train(Namespace(**vars(args) | {"cool_from": end_after - 1}))
        train(args)
        return load_file(tmp_path / name / "model.safetensors")

    whole = trained("whole", every=3)
    ended = trained("ended", every=1, end_after=2)
    assert all(torch.equal(whole[name], ended[name]) for name in whole)
